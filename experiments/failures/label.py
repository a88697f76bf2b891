"""What a run is, decided by rule from its truth (measure.py) alone: healthy, failing and by which names, or neither.

An evaluation is summed up with its neighbours: numbers are medians over the last third of a run's evaluations. The limits were
set by looking at samples, not at what the doctor said of them. A run is neither, and counts in no rate, whose samples are
between GOOD and BAD, or are bad though nothing is wrong that a rule can name: it was too short, or its networks too small. Names that border on each other overlap: a doctor may call 2 modes of 8 either way.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Row = dict[str, Any]

LATE = 1 / 3  # of the evaluations: the end of a run
GRACE = 0.25  # of the steps in which a good recipe's samples are bad too
# error: below GOOD samples are good, above BAD they are broken. Real pictures of the two sets blurred by a std of 1 pixel
# have 0.1, by 2 pixels 0.36 and 0.51, clothes of 5 of the 10 classes 0.35, uniform noise 0.52 and 0.71
GOOD = {"points": 0.4, "pictures": 0.25}
BAD = {"points": 0.6, "pictures": 0.4}
# spread: of unsharp pictures that show every class the classifier makes 0.7 to 0.9
WHOLE = {"points": 0.85, "pictures": 0.75}
PARTIAL = {"points": 0.75, "pictures": 0.6}
FEW, ONE = 0.35, 0.15
CONSTANT = 1e-5  # still, disc_std: no more than rounding
APART, ALIKE = 0.99, 0.6  # auc
DEAD = 0.05  # push
HOPS = 0.35  # change of the histogram between evaluations
GROWN = 8.0  # first layer over its first norm
FAR = 10.0  # reach
BY_HEART = 0.75  # overfit
COPIES = 0.5  # copies


class Label(NamedTuple):
    """verdict: healthy, failing or neither. findings: what a doctor may call a failing run. broken_at: the first evaluation
    from which on its samples are broken, None where they are not at the end.
    """

    verdict: str
    findings: frozenset[str]
    broken_at: int | None


class Summary(NamedTuple):
    """A run's end in numbers: medians, the mean distance of successive histograms, growth of the first layers."""

    family: str
    finite: bool
    value: dict[str, float]
    hop: float
    growth: float

    def get(self, name: str, missing: float) -> float:
        """A median, or `missing` where the family has none."""
        return self.value.get(name, missing)


def hop(hists: Sequence[Sequence[float]]) -> float:
    """Mean total variation between successive histograms, 0 to 1."""
    steps = zip(hists[:-1], hists[1:], strict=True)
    moves = [0.5 * float(np.abs(np.subtract(a, b)).sum()) for a, b in steps]
    return statistics.fmean(moves) if moves else 0.0


def growth(rows: Sequence[Row], last: Row) -> float:
    """How many times its first norm the first layer of a player has, the larger of both; a layer of zeros counts once."""
    ratios = [
        last[name] / rows[0][name] if rows[0][name] > 0 else 1.0
        for name in ("first_gen", "first_disc")
    ]
    return max(ratios)


def summed(family: str, rows: Sequence[Row], halted: bool) -> Summary:
    """The end of a run's truth, rows by step from step 0 on, which says nothing of the end."""
    later = rows[1:]
    late = list(later[-max(2, round(LATE * len(later))) :])
    sound = [row for row in late if row["finite"]]
    names = [n for n, x in (sound[0] if sound else {}).items() if n not in NO_NUMBERS]
    return Summary(
        family,
        len(sound) == len(late) and not halted,
        {n: statistics.median(row[n] for row in sound) for n in names},
        hop([row["hist"] for row in sound]),
        growth(rows, rows[-1]),
    )


NO_NUMBERS = ("step", "finite", "hist")


def garbage(s: Summary) -> bool:
    """Samples unlike the data."""
    return s.get("error", 0.0) > BAD[s.family]


def diverged(s: Summary) -> bool:
    """Not finite, or samples far outside the data."""
    return not s.finite or s.get("reach", 0.0) > FAR


def collapsed(s: Summary) -> bool:
    """Few modes, or one sample."""
    return s.get("spread", 1.0) < FEW or s.get("still", 1.0) < CONSTANT


def partly(s: Summary) -> bool:
    """Some modes are missing."""
    return ONE < s.get("spread", 1.0) < PARTIAL[s.family]


def apart(s: Summary) -> bool:
    """D knows every sample from every example."""
    return s.get("auc", 0.5) > APART


# finding -> whether it breaks a run by itself, and whether a summary shows it
RULES: dict[str, tuple[bool, Callable[[Summary], bool]]] = {
    "divergence": (True, diverged),
    "mode_collapse": (True, collapsed),
    "partial_mode_collapse": (True, partly),
    "memorisation": (True, lambda s: s.get("copies", 1.0) < COPIES),
    "discriminator_overfit": (True, lambda s: s.get("overfit", 0.5) > BY_HEART),
    "oscillation": (False, lambda s: s.hop > HOPS),
    "discriminator_wins": (False, apart),
    "vanishing_generator_gradient": (
        False,
        lambda s: apart(s) and s.get("push", 1.0) < DEAD,
    ),
    "generator_wins": (False, lambda s: s.get("auc", 1.0) < ALIKE),
    "first_layer_dead": (
        False,
        lambda s: min(s.get("still", 1.0), s.get("disc_std", 1.0)) < CONSTANT,
    ),
    "first_layer_exploding": (False, lambda s: s.growth > GROWN),
}


def healthy(s: Summary) -> bool:
    """Good samples of all modes."""
    return (
        s.get("error", 0.0) < GOOD[s.family] and s.get("spread", 1.0) > WHOLE[s.family]
    )


def broken(s: Summary) -> bool:
    """Whether something is wrong with the samples, or D or G knows the training set by heart."""
    return garbage(s) or any(hurts and shows(s) for hurts, shows in RULES.values())


def label(family: str, rows: Sequence[Row], halted_at: int | None = None) -> Label:
    """The label of a run of `family` with truth `rows`. halted_at: the last good step of a run that stopped."""
    end = summed(family, rows, halted_at is not None)
    names = frozenset(name for name, (_, shows) in RULES.items() if shows(end))
    if broken(end) and names:
        return Label("failing", names, broken_at(family, rows, halted_at))
    verdict = "healthy" if healthy(end) and not broken(end) else "neither"
    return Label(verdict, frozenset(), None)


def broken_at(family: str, rows: Sequence[Row], halted_at: int | None) -> int | None:
    """The first step, after GRACE of the run, from which on no evaluation is sound; None if the last one is."""
    found = None if halted_at is None else halted_at + 1  # the step that failed
    begin = GRACE * rows[-1]["step"]
    for i in reversed(range(1, len(rows))):
        alone = summed(family, [rows[0], rows[i], rows[i]], False)
        if rows[i]["step"] < begin or not broken(alone):
            break
        found = rows[i]["step"]
    return found
