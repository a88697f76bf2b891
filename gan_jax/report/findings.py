"""The section of what the doctor found."""

import json
from collections.abc import Sequence
from typing import Any

from gan_jax.doctor import FINDINGS, PAGE
from gan_jax.report.gather import Run
from gan_jax.report.markup import Html, cell, number, section, table, tag

_MOST = 500  # rows


def findings(runs: Sequence[Run]) -> Html | None:
    """What findings.jsonl says: how many runs have each finding, and all rows; None where no run has one."""
    found = [(run, row) for run in runs for row in run.findings]
    if not found:
        return None
    rows = [
        tag(
            "tr",
            cell(run.name),
            cell(row["step"]),
            cell(_text(row["finding"])),
            cell(_evidence(row)),
            cell(_text(row.get("remedy"))),
        )
        for run, row in found[:_MOST]
    ]
    more = f" The first {_MOST} of {len(found):,}." if len(found) > _MOST else ""
    words = f"A finding lasts until a row says healthy. {PAGE} has the rules.{more}"
    note = tag("p", words, class_="note")
    heads = ["run", "step", "finding", "evidence", "remedy"]
    shown = table(heads, rows, sortable=True, caption="Findings")
    return section("Findings", "findings", _summary(runs), note, shown)


def _summary(runs: Sequence[Run]) -> Html:
    """A row for each finding, in the doctor's order: its runs, the median step at which it began, what it means."""
    begun: dict[str, dict[str, int]] = {name: {} for name in FINDINGS}
    for run in runs:
        for row in run.findings:
            steps = begun.setdefault(_text(row["finding"]), {})
            steps.setdefault(run.name, row["step"])
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            cell(len(steps), f"{len(steps)} of {len(runs)}"),
            cell(sorted(steps.values())[len(steps) // 2]),
            cell(FINDINGS[name].meaning if name in FINDINGS else ""),
        )
        for name, steps in begun.items()
        if steps
    ]
    heads = ["finding", "runs", "first at step (median)", "meaning"]
    return table(heads, rows, caption="Runs by finding")


def _evidence(row: dict[str, Any]) -> str:
    """Names and numbers; of a halt the first array that was not finite."""
    known = row.get("evidence")
    if not isinstance(known, dict):
        return _text(known)
    said = [
        f"{name} {number(x) if isinstance(x, int | float) else _text(x)}"
        for name, x in known.items()
    ]
    return ", ".join([*said, _text(row.get("first_bad"))]).removesuffix(", ")


def _text(value: Any) -> str:
    return (
        value if isinstance(value, str) else "" if value is None else json.dumps(value)
    )
