"""What to try against a finding: overrides of the run's own config, each with its reason."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

WAYS = 2  # that are named

Config = Mapping[str, Any]  # dotted name -> value


def always(config: Config) -> bool:
    """Fits every config."""
    return True


class Try(NamedTuple):
    """A remedy: the field, what to make of its value (None: this one is of no use), why, and which configs allow it."""

    field: str
    to: Callable[[Any], Any]
    why: str
    fits: Callable[[Config], bool] = always


def remedy(ways: Sequence[Try], config: Config) -> str:
    """The first of the ways that change something, as overrides; "" where none does."""
    said = []
    for field, to, why, fits in ways:
        now = config.get(field)
        value = to(now)
        if value is not None and fits(config):
            value = str(value).lower() if isinstance(value, bool) else value
            was = "" if now in (None, "") else f"; now {now}"
            said.append(f"--config.{field}={value} ({why}{was})")
    return " or ".join(said[:WAYS])


def at_least(least: float | int) -> Callable[[Any], Any]:
    """A weight: this one, or ten times what is there already."""
    return lambda now: least if now is None or now < least else 10 * now


def times(factor: float | int) -> Callable[[Any], Any]:
    """A rate or a count: so many times what it is; None where that is not known."""

    def to(now: Any) -> Any:
        if not now:
            return None
        value = factor * now
        return max(1, round(value)) if type(now) is int else float(f"{value:.3g}")

    return to


def instead(value: Any) -> Callable[[Any], Any]:
    """This value, unless it is there already."""
    return lambda now: None if now == value else value


def has_logits(config: Config) -> bool:
    """D gives logits, which every loss but those of energies takes."""
    return config.get("loss") not in ("began", "energy_margin")


def of_noise_alone(config: Config) -> bool:
    """G is fed latents and nothing else."""
    objective = config.get("objective", "noise_to_image")
    told = config.get("model.condition", "none")
    return has_logits(config) and (objective, told) == ("noise_to_image", "none")


SMOOTH = Try("penalty.r1", at_least(1.0), "a smoother D")
SLOW_DISC = Try("optim.disc.lr", times(0.25), "a slower D")
SLOW_GEN = Try("optim.gen.lr", times(0.25), "a slower G")
MORE_DISC = Try("n_disc", times(2), "more D updates")
SLOPE = Try(
    "loss", instead("non_saturating"), "G learns most where D is sure", has_logits
)
PAIRED = Try("loss", instead("rp"), "each fake against a real one", has_logits)
PACKED = Try("trick.packing", instead(2), "D sees samples in pairs", of_noise_alone)
SPREAD = Try(
    "model.minibatch", instead("stddev"), "D sees the spread of a batch", of_noise_alone
)
CALM = Try("optim.gen.b1", instead(0.0), "G without momentum")
NARROW = Try("model.init_std", instead(0.02), "narrower first weights")
ALIVE = Try("model.init", instead("he_normal"), "weights that keep ReLUs alive")
VARIED = Try("augment.translation", instead(True), "more than the data are")
SMALL = Try("model.width", times(0.5), "a smaller network")
