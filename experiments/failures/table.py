"""The comparison as Markdown."""

from collections.abc import Sequence

from experiments.failures import score
from experiments.failures.score import Case

SHORT = {  # heads of columns
    "divergence": "div",
    "mode_collapse": "coll",
    "partial_mode_collapse": "part",
    "memorisation": "mem",
    "discriminator_overfit": "over",
    "oscillation": "osc",
    "discriminator_wins": "D",
    "vanishing_generator_gradient": "van",
    "generator_wins": "G",
    "first_layer_dead": "dead",
    "first_layer_exploding": "expl",
    score.HEALTHY: "none",
}


def line(cells: Sequence[object]) -> str:
    """A row."""
    return f"| {' | '.join(map(str, cells))} |"


def by_kind(cases: Sequence[Case]) -> list[str]:
    """A line for each kind: verdicts, right findings, alarms in healthy runs, steps."""
    head = (
        "kind",
        "healthy",
        "failing",
        "neither",
        "right",
        "alarms in healthy",
        "doctor at",
        "broken at",
    )
    lines = [line(head), line(["---"] * len(head))]
    for kind in dict.fromkeys(case.kind for case in cases):
        mine = [case for case in cases if case.kind == kind]
        healthy, failing, neither = (
            score.of(mine, verdict) for verdict in (score.HEALTHY, "failing", "neither")
        )
        lead = score.median_lead(mine)
        steps = ("", "") if lead is None else (f"{x:,.0f}" for x in lead[:2])
        right, alarmed = score.found(mine), score.alarmed(mine)
        counts = len(healthy), len(failing), len(neither), right.hits, alarmed.hits
        lines.append(line([f"`{kind}`", *counts, *steps]))
    return lines


def confusion(cases: Sequence[Case]) -> list[str]:
    """Rows: what runs are. Columns: in how many of them the doctor says what."""
    lines = [line(["is", "runs", *SHORT.values()]), line(["---"] * (2 + len(SHORT)))]
    for truth, row in score.matrix(cases).items():
        cells = [row[name] or "" for name in SHORT]
        lines.append(line([truth, row["runs"], *cells]))
    return lines


def summary(cases: Sequence[Case]) -> list[str]:
    """The numbers that the benchmark is for."""
    counts = [
        f"{len(score.of(cases, v))} {v}" for v in (score.HEALTHY, "failing", "neither")
    ]
    lines = [
        f"runs: {', '.join(counts)}",
        f"failing runs with a right finding: {score.found(cases)}",
        f"healthy runs with any alarm: {score.alarmed(cases)}",
    ]
    lead = score.median_lead(cases)
    if lead is not None:
        spoke, broke, between = lead
        lines.append(
            f"medians: first right finding at step {spoke:,.0f}, samples broken from step {broke:,.0f}, "
            f"difference {between:+,.0f}"
        )
    return lines


def report(cases: Sequence[Case]) -> str:
    """All of it."""
    parts = [summary(cases), by_kind(cases), confusion(cases)]
    return "\n\n".join("\n".join(part) for part in parts)
