"""Numbers over seeds: means with Student's interval, differences with Welch's, and whether they bear a claim out."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy

from experiments.ablation.unit import Claim
from gan_jax.report.stats import half_width

Values = Sequence[float]
YES, NO, OPEN = "yes", "the other way", "undecided"
WORDS = ("Holds", "Holds only if", "Does not hold", "Undecided")
NOT_RUN = "Not run yet"


class Interval(NamedTuple):
    """A mean and half the width of its 95 % interval; None for fewer than two values."""

    mean: float
    half: float | None

    def against(self, number: float) -> int:
        """1 if the whole interval is above a number, -1 if it is below, 0 if it is not known."""
        if self.half is None or abs(self.mean - number) <= self.half:
            return 0
        return 1 if self.mean > number else -1


def mean(values: Values) -> Interval:
    """The mean of independent normal values: +- t(0.975, n - 1) s / sqrt(n)."""
    return Interval(float(np.mean(values)), half_width(values))


def difference(a: Values, b: Values) -> Interval:
    """mean a - mean b of independent normal values of unequal variances, at least one of each.

    Welch 1947 (Biometrika 34): +- t(0.975, v) sqrt(p + q), p = s_a^2 / n_a, q likewise, and by Satterthwaite
    v = (p + q)^2 / (p^2 / (n_a - 1) + q^2 / (n_b - 1)).
    """
    apart = float(np.mean(a) - np.mean(b))
    if min(len(a), len(b)) < 2:
        return Interval(apart, None)
    p, q = (float(np.var(x, ddof=1)) / len(x) for x in (a, b))
    if p + q == 0:
        return Interval(apart, 0.0)
    freedom = (p + q) ** 2 / (p**2 / (len(a) - 1) + q**2 / (len(b) - 1))
    t = float(scipy.special.stdtrit(freedom, 0.975))
    return Interval(apart, t * math.sqrt(p + q))


def effect(claim: Claim, values: dict[str, dict[str, Values]]) -> Interval:
    """How far a claim's measure is above what it is compared with. values: setting -> measure -> values over seeds."""
    mine = values[claim.setting][claim.measure]
    if isinstance(claim.than, str):
        return difference(mine, values[claim.than][claim.measure])
    own = mean(mine)
    return Interval(own.mean - claim.than, own.half)


def outcome(claim: Claim, values: dict[str, dict[str, Values]]) -> str:
    """Whether the 95 % interval of a claim's effect lies on the claimed side of 0, on the other one, or on both."""
    side = effect(claim, values).against(0.0)
    return {claim.sign: YES, -claim.sign: NO, 0: OPEN}[side]


def verdict(outcomes: Sequence[str]) -> str:
    """The words that the outcomes of an ablation's claims allow: one of WORDS."""
    whole, in_part, against, unknown = WORDS
    if set(outcomes) == {YES}:
        return whole
    if YES in outcomes:
        return in_part
    return against if NO in outcomes else unknown
