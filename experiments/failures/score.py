"""How the doctor's findings compare with the labels: shares with their intervals, lead, confusion matrix. Pure."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from experiments.failures.label import RULES

HEALTHY = "healthy"
FINDINGS = (*RULES, HEALTHY)
Z = 1.96  # of a 95 % interval


class Case(NamedTuple):
    """A run: what it is (label.Label, in three fields) and what was said of it: finding -> the first step it was said at."""

    kind: str
    half: str
    seed: int
    verdict: str
    truth: frozenset[str]
    broken_at: int | None
    said: dict[str, int]


class Share(NamedTuple):
    """hits of n, as a share with its 95 % interval (Wilson 1927)."""

    hits: int
    n: int

    def interval(self) -> tuple[float, float]:
        """Low and high end, 0..1."""
        if not self.n:
            return 0.0, 1.0
        p, n = self.hits / self.n, self.n
        middle = p + Z**2 / (2 * n)
        half = Z * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
        scale = 1 + Z**2 / n
        return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)

    def __str__(self) -> str:
        """As a table shows it."""
        if not self.n:
            return "none"
        low, high = self.interval()
        share = self.hits / self.n
        return f"{self.hits} of {self.n} = {share:.1%} ({low:.1%} to {high:.1%})"


def alarms(case: Case) -> set[str]:
    """What the doctor said but that all is well."""
    return set(case.said) - {HEALTHY}


def right(case: Case) -> bool:
    """Whether one of the findings names what is wrong."""
    return bool(alarms(case) & case.truth)


def of(cases: Sequence[Case], verdict: str) -> list[Case]:
    """The runs with this verdict."""
    return [case for case in cases if case.verdict == verdict]


def found(cases: Sequence[Case]) -> Share:
    """Share of the failing runs with a right finding."""
    failing = of(cases, "failing")
    return Share(sum(map(right, failing)), len(failing))


def alarmed(cases: Sequence[Case]) -> Share:
    """Share of the healthy runs with any alarm."""
    healthy = of(cases, HEALTHY)
    return Share(sum(bool(alarms(case)) for case in healthy), len(healthy))


def first_right(case: Case) -> int:
    """The step of the first right finding. The case must have one."""
    return min(step for name, step in case.said.items() if name in case.truth)


def leads(cases: Sequence[Case]) -> list[tuple[int, int]]:
    """(step of the first right finding, step at which the samples are broken) of failing runs that have both."""
    return [
        (first_right(case), case.broken_at)
        for case in of(cases, "failing")
        if right(case) and case.broken_at is not None
    ]


def median_lead(cases: Sequence[Case]) -> tuple[float, float, float] | None:
    """Medians: the doctor's step, the samples', and their difference (below 0: the doctor is first)."""
    pairs = leads(cases)
    if not pairs:
        return None
    spoke, broke = zip(*pairs, strict=True)
    return (
        statistics.median(spoke),
        statistics.median(broke),
        statistics.median(a - b for a, b in pairs),
    )


def matrix(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """Rows: what runs are, a failing run in the row of each of its names. Columns: in how many of them a finding was said.

    The column "runs" counts the row. "healthy" is said where nothing else is.
    """
    table = {}
    for truth in FINDINGS:
        mine = [c for c in cases if truth in c.truth or truth == c.verdict == HEALTHY]
        row = {name: sum(name in alarms(c) for c in mine) for name in RULES}
        silent = sum(not alarms(c) for c in mine)
        table[truth] = {"runs": len(mine), **row, HEALTHY: silent}
    return table
