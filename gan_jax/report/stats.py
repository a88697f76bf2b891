"""Numbers over seeds: curves with their band, means with Student's interval, cells of a heat map."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy

from gan_jax.report.gather import Run
from gan_jax.report.markup import said

Line = dict[int, float | None]  # step -> value, None where it is missing or not finite


class Curve(NamedTuple):
    """Mean, smallest and largest value over runs at each step, [steps]; n: the most runs at a step."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int


class Estimate(NamedTuple):
    """A mean over the n of `of` runs that have a finite value at a step, None for n = 0.

    half: half the width of its 95 % interval, None for n < 2.
    """

    mean: float | None
    half: float | None
    n: int
    of: int
    step: int


def curve(lines: Iterable[Line], most: int = 400) -> Curve | None:
    """The curve over runs, of about `most` points at most; None where there is no finite value.

    Each step is over the runs that have it; one that fewer than half of n have is left out. Of a long curve each interval keeps its smallest and largest mean.
    """
    table: dict[int, list[float]] = {}
    for line in lines:
        for step, value in line.items():
            if value is not None:
                table.setdefault(step, []).append(value)
    if not table:
        return None
    n = max(map(len, table.values()))
    steps = sorted(step for step, values in table.items() if 2 * len(values) >= n)
    mean = np.array([np.mean(table[s]) for s in steps])
    keep = _thin(mean, most)
    low, high = (np.array([f(table[s]) for s in steps]) for f in (min, max))
    return Curve(np.array(steps)[keep], mean[keep], low[keep], high[keep], n)


def _thin(values: np.ndarray, most: int) -> np.ndarray:
    """Indices of the points to draw: the first, the last, and two of each of most / 2 intervals."""
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 2 + 1).astype(int)
    keep = {0, len(values) - 1}
    for a, b in zip(edges, edges[1:], strict=False):
        keep |= {a + int(values[a:b].argmin()), a + int(values[a:b].argmax())}
    return np.array(sorted(keep))


def half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % interval of a mean of independent normal values: t(0.975, n - 1) std / sqrt(n), ddof 1."""
    n = len(values)
    if n < 2:
        return None
    return float(
        scipy.special.stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(n)
    )


class Series(NamedTuple):
    """One thing that was evaluated: a metric and the whole of how (JSON, sorted keys)."""

    metric: str
    protocol: str


def series_of(runs: Sequence[Run]) -> list[Series]:
    """All that was evaluated, in order of appearance."""
    return list(dict.fromkeys(_series(row) for run in runs for row in run.evals))


def lines_of(runs: Sequence[Run], series: Series) -> list[Line]:
    """Each run's values of a series, for the runs that have any; the later of two at a step counts."""
    lines = [
        {row["step"]: row["value"] for row in run.evals if _series(row) == series}
        for run in runs
    ]
    return [line for line in lines if line]


def estimate(lines: Sequence[Line]) -> Estimate | None:
    """The mean at the latest step that most runs have, also where a value was not finite there."""
    table: dict[int, list[float | None]] = {}
    for line in lines:
        for step, value in line.items():
            table.setdefault(step, []).append(value)
    if not table:
        return None
    step = max(table, key=lambda s: (len(table[s]), s))
    values = [value for value in table[step] if value is not None]
    mean = float(np.mean(values)) if values else None
    return Estimate(mean, half_width(values), len(values), len(table[step]), step)


def _series(row: dict[str, Any]) -> Series:
    protocol = row.get("protocol") or {}
    return Series(str(row["metric"]), json.dumps(protocol, sort_keys=True))


DIVERGED = "diverged"
_SHARE = "share that diverged"
_PLACES, _INTERVALS = 12, 8


class Cell(NamedTuple):
    """A mean over the members of a cell that have a value; n of them, of `of` members. None: there is no value."""

    mean: float | None
    n: int
    of: int


def number_fields(runs: Sequence[Run], fields: Sequence[str]) -> list[str]:
    """The swept fields, seed aside, with two or more values, all of them numbers."""
    out = []
    for name in fields:
        values = [run.config.get(name) for run in runs]
        numbers = all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in values
        )
        if name != "seed" and numbers and len(set(values)) > 1:
            out.append(name)
    return out


def value_names(runs: Sequence[Run]) -> list[str]:
    """What a heat map can show."""
    names = dict.fromkeys(name for run in runs for name in run.values)
    some = [n for n in names if any(run.values.get(n) is not None for run in runs)]
    return [*some, _SHARE]


def places(values: Iterable[float | int]) -> dict[float | int, str]:
    """The row or column of each value of a swept field, named, in order of size.

    More than 12 values (a random search) are cut into 8 intervals, of equal ratio where positive values span two
    powers of ten, else of equal width.
    """
    every = sorted(set(values))
    if len(every) <= _PLACES:
        return {value: said(value) for value in every}
    low, high = every[0], every[-1]
    wide = low > 0 and high / low > 100
    edges = (np.geomspace if wide else np.linspace)(low, high, _INTERVALS + 1)
    at = np.searchsorted(edges[1:-1], every, side="right")
    names = [f"{a:.2g} to {b:.2g}" for a, b in zip(edges, edges[1:], strict=False)]
    return {value: names[i] for value, i in zip(every, at.tolist(), strict=True)}


def heat(
    runs: Sequence[Run], down: str, across: str, name: str
) -> dict[tuple[str, str], Cell]:
    """Cells by (place on the field `down`, on `across`): means over all members there, those that diverged left out."""
    rows, columns = (places(run.config[f] for run in runs) for f in (down, across))
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        place = rows[run.config[down]], columns[run.config[across]]
        groups.setdefault(place, []).append(run)
    return {place: _cell(group, name) for place, group in groups.items()}


def _cell(group: Sequence[Run], name: str) -> Cell:
    if name == _SHARE:
        ended = [r.status == DIVERGED for r in group if r.status != "not started"]
        return Cell(float(np.mean(ended)) if ended else None, len(ended), len(group))
    kept = [run.values.get(name) for run in group if run.status != DIVERGED]
    finite = [value for value in kept if value is not None]
    return Cell(float(np.mean(finite)) if finite else None, len(finite), len(group))
