"""What a loss is worth at its two ends: a D that cannot tell, a D that is always right, a G that D leaves no slope.

Plain numbers of a run's config, so that a series of losses can be judged without jax and whatever the loss is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_LN2 = math.log(2.0)


class Scale(NamedTuple):
    """Values of loss/disc: `even` of a D that cannot tell, `won` of one that is always right (its bound).

    gen_even, gen_dead: loss/gen of a minimax G at an even D, and where D rejects every fake and its slope is zero. NaN: the
    loss has no such value (a critic's differences have no bound, a non-saturating G has no dead end).
    """

    even: float = math.nan
    won: float = math.nan
    gen_even: float = math.nan
    gen_dead: float = math.nan

    def disc_share(self, loss: float | int) -> float:
        """loss/disc as a share: 1 where D cannot tell, 0 where it is always right. NaN without a scale."""
        return (loss - self.won) / (self.even - self.won)

    def gen_share(self, loss: float | int) -> float:
        """What is left of a minimax G's slope: 1 at an even D, 0 where D rejects every fake. NaN without a scale."""
        return (self.gen_dead - loss) / (self.gen_dead - self.gen_even)


def scale_of(config: Mapping[str, Any]) -> Scale:
    """The scale of a run by its config {dotted name: value}; one of NaNs for a loss that has none, or is the user's own."""
    return SCALES.get(config.get("loss", ""), lambda config: Scale())(config)


def number(config: Mapping[str, Any], name: str, default: float | int) -> float:
    """A number of a config, or the default."""
    value = config.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def _entropy(p: float | int) -> float:
    """Of a coin, in nats: the least cross entropy against a label of 1 - p."""
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


def _tricks(config: Mapping[str, Any]) -> tuple[float, float, float]:
    """Smoothing of real and of fake labels, and the share of labels that are exchanged."""
    names = ("label_smooth", "label_smooth_fake", "label_flip")
    real, fake, flip = (number(config, f"trick.{name}", 0.0) for name in names)
    return real, fake, flip


def _cross_entropy(config: Mapping[str, Any]) -> Scale:
    real, fake, flip = _tricks(config)
    exchanged = flip * (1 - real - fake)
    return Scale(2 * _LN2, _entropy(real + exchanged) + _entropy(fake + exchanged))


def _saturating(config: Mapping[str, Any]) -> Scale:
    return _cross_entropy(config)._replace(gen_even=-_LN2, gen_dead=0.0)


def _least_squares(config: Mapping[str, Any]) -> Scale:
    a, b = (number(config, f"loss_args.{n}", float(n == "b")) for n in "ab")
    real, fake, flip = _tricks(config)
    squared = ((b - a) * (1 - real - fake)) ** 2
    return Scale(0.5 * squared, 2 * flip * (1 - flip) * squared)


def _hinge(config: Mapping[str, Any]) -> Scale:
    margin = number(config, "loss_args.margin", 1.0)
    return Scale(2 * margin, 4 * margin * _tricks(config)[2])


SCALES: dict[str, Callable[[Mapping[str, Any]], Scale]] = {
    "saturating": _saturating,
    "non_saturating": _cross_entropy,
    "least_squares": _least_squares,
    "hinge": _hinge,
    "rp": lambda config: Scale(_LN2, 0.0),
    "ra": lambda config: Scale(2 * _LN2, 0.0),
    # an energy above the margin everywhere counts as even too
    "energy_margin": lambda config: Scale(number(config, "loss_args.margin", 1.0), 0.0),
    # of the minimax forms of f-GAN; wasserstein, began and the other divergences have no bound
    "f_kl": lambda config: Scale(gen_even=-1.0, gen_dead=0.0),
    "f_hellinger": lambda config: Scale(0.0, -2.0, 0.0, 1.0),
    "f_js": lambda config: Scale(0.0, -2 * _LN2, 0.0, _LN2),
}
