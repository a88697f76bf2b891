"""Symptoms: pure functions of a few logged rows, each the evidence for one way in which a GAN fails, or None.

Everything is relative: to the loss's own scale, to the run's own early rows, to the real batch. A row that lacks a column, or
a number that was not finite, silences the rules that need it: every comparison with NaN is false.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gan_jax.scales import Scale

Row = Mapping[str, Any]
Series = Sequence[float | int] | np.ndarray
Evidence = dict[str, float | int]
NAN = math.nan
NOTHING: Row = MappingProxyType({})


class Limits(NamedTuple):
    """Every threshold of the doctor; docs/doctor.md says how each was found."""

    won: float = 0.05  # D's loss, as a share of the way from its bound to that of a D that cannot tell
    sure: float = 0.97  # D's accuracy when it wins
    fooled: float = 0.4  # D's accuracy when G wins: below chance
    blind: float = 0.6  # D's accuracy that says little
    worse: float = 1.5  # D's loss, of that of a D that cannot tell
    slope: float = 0.01  # of a minimax G's slope that is left
    faded: float = 0.001  # G's gradient, of its early level
    collapsed: float = 0.15  # distance between fakes, of that between reals
    narrow: float = 0.5  # the same, for a partial collapse
    copies: float = 0.1  # fakes that are nearly another fake's double
    risen: float = 1.25  # growth within the window that counts as progress
    burst: float = 100.0  # growth of a loss or a gradient over its early level
    dead: float = 0.9  # of a first layer's channels, that are off for a whole batch
    grown: float = 4.0  # a first layer's norm, in times of its first logged one
    stir: float = 0.3  # how far the samples' spread goes to and fro, of its median
    luck: float = 2.0  # how far D's accuracy does, in times of what chance gives it
    turns: int = 12  # rows without which no frequency is looked for
    overfit: float = 0.5  # real less held-out, of real less fake
    copying: float = 0.9  # memorisation_copying
    nearer: float = (
        0.5  # fakes' distance to the train set, of that of held-out examples
    )


LIMITS = Limits()


class Case(NamedTuple):
    """What is known of a run beside the rows at hand: its loss's scale, how many answers of D an accuracy is of,
    the sizes of its first rows ("early": medians of absolute values, as a critic's loss changes its sign), the very first values.
    """

    scale: Scale
    answers: int = 128
    early: Row = NOTHING
    first: Row = NOTHING


class View:
    """What a rule sees: the rows of a window, of the longer past that it ends, and the case."""

    def __init__(self, case: Case, rows: Sequence[Row], past: Sequence[Row] = ()):
        """Rows in order of steps, at least one."""
        self.case, self.rows, self.past = case, rows, past
        self._known: dict[str, list[float | int]] = {}

    def values(self, name: str) -> list[float | int]:
        """The finite values of a column."""
        if name not in self._known:
            self._known[name] = finite(self.rows, name)
        return self._known[name]

    def mid(self, name: str) -> float | int:
        """The median of a column; NaN where fewer than half of the rows have it."""
        values = self.values(name)
        return median(values) if 2 * len(values) >= len(self.rows) else NAN

    def early(self, name: str) -> float | int:
        """The column's early size."""
        return self.case.early.get(name, NAN)

    def growth(self, name: str) -> float | int:
        """Median of the window's last third over that of its first."""
        values = self.values(name)
        third = len(values) // 3
        if not third:
            return NAN
        first, last = median(values[:third]), median(values[-third:])
        return last / first if first else NAN

    def told(self, *names: str, **more: float | int) -> Evidence:
        """Medians of columns, and other numbers, as evidence: four digits of what is known."""
        found = {name: self.mid(name) for name in names} | more
        return {k: float(f"{x:.4g}") for k, x in found.items() if math.isfinite(x)}


def finite(rows: Sequence[Row], name: str) -> list[float | int]:
    """A column's finite numbers."""
    values = [row.get(name) for row in rows]
    return [x for x in values if x is not None and math.isfinite(x)]


def median(values: Sequence[float | int]) -> float | int:
    """The upper median; NaN of nothing."""
    return sorted(values)[len(values) // 2] if values else NAN


def discriminator_wins(view: View) -> Evidence | None:
    """D is right everywhere and as good as sure; where its loss has no bound, right everywhere and G's gradient is gone."""
    share = view.case.scale.disc_share(view.mid("loss/disc"))
    fading = view.mid("grad/gen") < LIMITS.faded * view.early("grad/gen")
    beaten = fading if math.isnan(share) else share < LIMITS.won
    if beaten and view.mid("disc/accuracy") > LIMITS.sure:
        names = "loss/disc", "loss/gen", "disc/accuracy", "grad/gen"
        return view.told(*names, share=share)
    return None


def vanishing_generator_gradient(view: View) -> Evidence | None:
    """A minimax G on the flat end of its loss; with any loss a gradient that is gone while D is sure."""
    left = view.case.scale.gen_share(view.mid("loss/gen"))
    gone = (
        view.mid("grad/gen") / view.early("grad/gen") if view.early("grad/gen") else NAN
    )
    faded = gone < LIMITS.faded and view.mid("disc/accuracy") > LIMITS.sure
    if left < LIMITS.slope or faded:
        return view.told(
            "loss/gen", "grad/gen", "disc/accuracy", slope=left, of_early=gone
        )
    return None


def generator_wins(view: View) -> Evidence | None:
    """D is wrong more often than right; or it cannot tell, although fakes are unlike, or much worse than that for it.

    A critic whose loss has no scale may be wrong of good fakes for long: it counts only where they are unlike.
    """
    share = view.case.scale.disc_share(view.mid("loss/disc"))
    accuracy, ratio = view.mid("disc/accuracy"), view.mid("diversity/ratio")
    unlike = share > LIMITS.worse or ratio < LIMITS.narrow or ratio > 1 / LIMITS.narrow
    below = share >= 1 and accuracy < LIMITS.fooled
    if below or accuracy < LIMITS.blind and unlike:
        names = "disc/accuracy", "loss/disc", "loss/gen", "diversity/ratio"
        return view.told(*names, share=share)
    return None


def mode_collapse(view: View) -> Evidence | None:
    """Fakes are nearly one sample, and are not growing apart."""
    ratio = view.mid("diversity/ratio")
    if ratio < LIMITS.collapsed and not _rising(view):
        return view.told("diversity/ratio", "diversity/nearest", "diversity/duplicates")
    return None


def partial_mode_collapse(view: View) -> Evidence | None:
    """Fakes are much nearer to one another than reals are, or many are doubles; they are not growing apart.

    Doubles alone tell little of points: G puts a mode's samples on a curve, many of them close together, few far apart.
    """
    ratio, nearest = view.mid("diversity/ratio"), view.mid("diversity/nearest")
    narrow = LIMITS.collapsed <= ratio < LIMITS.narrow
    close = ratio >= LIMITS.collapsed and nearest < LIMITS.narrow
    doubles = close and view.mid("diversity/duplicates") > LIMITS.copies
    if (narrow or doubles) and not _rising(view):
        return view.told("diversity/ratio", "diversity/nearest", "diversity/duplicates")
    return None


def _rising(view: View) -> bool:
    return view.growth("diversity/ratio") > LIMITS.risen


def oscillation(view: View) -> Evidence | None:
    """The samples' spread grows and shrinks again and again, and D is now more, now less often right than chance lets expect.

    Over the last half of the steps. Either alone is found in good runs: D's accuracy swings where G improves by steps, the spread
    of a small batch by chance. chance: the standard deviation of as many coin tosses. period: of the accuracy's
    strongest frequency, in rows.
    """
    accuracy, ratio = (
        finite(view.past, name) for name in ("disc/accuracy", "diversity/ratio")
    )
    if min(len(accuracy), len(ratio)) < LIMITS.turns:
        return None
    mean, far = sum(accuracy) / len(accuracy), swing(accuracy)
    chance = math.sqrt(max(mean * (1 - mean), 0.0) / view.case.answers)
    stirred = swing(ratio) / (median(ratio) or NAN)
    if not (stirred > LIMITS.stir and far > LIMITS.luck * chance):
        return None
    named = {"stirred": stirred, "swing": far, "chance": chance}
    names = "disc/accuracy", "game/rotation", "diversity/ratio"
    return view.told(*names, **named, period=period(accuracy))


def swing(values: Series) -> float:
    """How far a series [n] goes to and fro: 1.05 times the median of |d - median d|, d = x(t + k) - x(t), the largest of
    k = 1, 2, 4, ... <= n / 4.

    About the standard deviation of independent normal values, up to twice that of a wave, 0 of a straight line. A step,
    however high, is in fewer than half of the differences and so counts for nothing.
    """
    x, found = np.asarray(values), []
    for k in (2**i for i in range(len(x).bit_length()) if 2**i <= len(x) // 4):
        d = x[k:] - x[:-k]
        found.append(1.05 * float(np.median(np.abs(d - np.median(d)))))
    return max(found)


def period(values: Series) -> float:
    """The period of the strongest frequency of a series [n] about its least-squares line, in samples."""
    x, t = np.asarray(values), np.arange(len(values)) - (len(values) - 1) / 2
    x = x - x.mean() - t * (t @ x) / (t @ t)
    power = np.abs(np.fft.rfft(x)[1:]) ** 2
    return len(x) / (1 + int(np.argmax(power)))


def divergence(view: View) -> Evidence | None:
    """A loss or a gradient a hundred times its early level, and still growing."""
    for name in ("loss/disc", "loss/gen", "grad/disc", "grad/gen"):
        size = abs(view.mid(name)) / (view.early(name) or NAN)
        if size > LIMITS.burst and view.growth(name) > LIMITS.risen:
            return view.told(name, times=size)
    return None


def first_layer_dead(view: View) -> Evidence | None:
    """Hardly a channel of a player's first layer is ever on."""
    names = "dead/gen", "dead/disc"
    if any(view.mid(name) > LIMITS.dead for name in names):
        return view.told(*names)
    return None


def first_layer_exploding(view: View) -> Evidence | None:
    """A player's first layer is many times as large as when the run first logged it."""
    for who in ("gen", "disc"):
        name = f"weight/{who}_first"
        growth = view.mid(name) / (view.case.first.get(name) or NAN)
        if growth > LIMITS.grown:
            return view.told(name, f"update/{who}", growth=growth)
    return None


def discriminator_overfit(view: View) -> Evidence | None:
    """D takes real examples that it was not trained on for fakes: Karras et al. 2020 (arXiv:2006.06676), eq. 1, r_v."""
    real, fake, held = (view.mid(f"logit/{n}") for n in ("real", "fake", "held_out"))
    share = (real - held) / (real - fake) if real > fake else NAN
    if share > LIMITS.overfit and view.mid("disc/accuracy") > LIMITS.blind:
        return view.told("logit/real", "logit/held_out", "logit/fake", share=share)
    return None


def memorisation(measures: Mapping[str, float | int], of: str) -> Evidence | None:
    """Fakes are nearer to the train set than held-out examples are, by chance and by distance (metrics.memorisation).

    of: the end of the measures' names, the features that they were measured in ("_classifier").
    """
    kinds = "copying", "fake_to_train", "held_out_to_train"
    names = [f"memorisation_{kind}{of}" for kind in kinds]
    share, fake, held = (measures.get(name, NAN) for name in names)
    if share > LIMITS.copying and not fake > LIMITS.nearer * held:
        return {n: float(f"{measures[n]:.4g}") for n in names if n in measures}
    return None
