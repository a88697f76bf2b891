"""A space to search, and the next settings that Optuna proposes in it (Akiba et al. 2019, arXiv:1907.10902)."""

import math
from typing import Any, NamedTuple

from gan_jax.config import ConfigError, check_value, known
from gan_jax.settings import DRAWS, Setting, factor
from gan_jax.types import UserError

SEED = 2020  # of proposals
ROUNDS = 20  # times that a proposal which was made before is asked for anew


class Space(NamedTuple):
    """ranges: field -> (low, high, whether its logarithm is uniform). choices: field -> values. seeds: of each proposal."""

    ranges: dict[str, tuple[float, float, bool]]
    choices: dict[str, list[Any]]
    seeds: list[int]


Told = list[
    tuple[Setting, float | None]
]  # settings without seed and their values, None: diverged


def space_of(text: Any) -> Space:
    """The space that `FIELD=log:LOW:HIGH;FIELD=uniform:LOW:HIGH;FIELD=A,B,C;seed=0..2` asks for.

    Raises ConfigError for what is none.
    """
    if not isinstance(text, str) or text.endswith(".csv"):
        raise ConfigError("a search needs a text of ranges and lists as --sweep")
    ranges, choices = {}, {}
    for part in filter(None, (x.strip() for x in text.split(";"))):
        name, _, values = (x.strip() for x in part.partition("="))
        kind, _, rest = values.partition(":")
        if known(name) in ranges | choices:
            raise ConfigError(f"the sweep names {name} twice")
        if kind in DRAWS and rest:
            ranges[name] = interval(name, kind, rest)
            continue
        columns = factor(part)
        if len(columns[0]) > 1:
            raise ConfigError(f"{part!r}: a search has no lists side by side")
        choices[name] = [row[name] for row in columns]
    seeds = choices.pop("seed", [])
    if not ranges and not choices:
        raise ConfigError("there is nothing to search: name a field besides seed")
    return Space(ranges, choices, seeds)


def interval(name: str, kind: str, text: str) -> tuple[float, float, bool]:
    """LOW:HIGH of a field of floats."""
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise ConfigError(
            f"{name}={kind}:{text} is written {kind}:LOW:HIGH in a search"
        ) from None
    if not low < high or (kind == "log" and low <= 0):
        raise ConfigError(
            f"{name}={kind}:{text}: LOW must be below HIGH (above 0 for log)"
        )
    for value in (low, high):
        check_value(name, value)
    return low, high, kind == "log"


def proposals(space: Space, told: Told, up: bool, count: int) -> list[Setting]:
    """The next settings to try, at most `count`, a pure function of the arguments; none twice, so none in an emptied space.

    told: what was tried. up: whether values are better when higher. Raises UserError without Optuna.
    """
    optuna = imported()
    kind = optuna.distributions
    kinds: dict[str, Any] = {
        name: kind.FloatDistribution(low, high, log=log)
        for name, (low, high, log) in space.ranges.items()
    }
    for name, values in space.choices.items():
        kinds[name] = kind.CategoricalDistribution(values)
    sampler = optuna.samplers.TPESampler(seed=SEED + len(told), constant_liar=True)
    study = optuna.create_study(
        sampler=sampler, direction="maximize" if up else "minimize"
    )
    worst = -math.inf if up else math.inf
    for setting, value in told:
        value = worst if value is None else value
        study.add_trial(
            optuna.trial.create_trial(params=setting, distributions=kinds, value=value)
        )
    seen, found = [setting for setting, _ in told], []
    for _ in range(count * ROUNDS):
        setting = study.ask(kinds).params
        if setting not in seen:
            seen.append(setting)
            found.append(setting)
        if len(found) == count:
            break
    return found


def imported() -> Any:
    """Optuna, quiet. Raises UserError where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise UserError("a search needs Optuna: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
