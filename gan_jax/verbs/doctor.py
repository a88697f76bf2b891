"""`python launch.py doctor`: what is wrong with a run or the members of a sweep, by the numbers that they logged."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.config import ConfigError, flatten
from gan_jax.doctor import FINDINGS, HALTED, HEALTHY, PAGE, Episode, Found, diagnose
from gan_jax.plan import PLAN
from gan_jax.record import RecordError, columns, read_config

SHORT = "too short to judge"
MEMBERS = 6  # that a line names


class Patient(NamedTuple):
    """A run: its last logged step, the steps of its config, and what was found."""

    name: str
    step: int
    steps: int
    episodes: list[Episode]

    @property
    def ills(self) -> list[Episode]:
        """What is not healthy."""
        return [one for one in self.episodes if one.found.finding != HEALTHY]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        found = [one.found.row() | {"end": one.end} for one in self.episodes]
        return {"run": self.name, "step": self.step, "findings": found}


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of doctor."""
    parser.add_argument(
        "--workdir", required=True, help="the folder of a run or of a sweep"
    )
    parser.add_argument(
        "--json", action="store_true", help="a JSON object for each run, one a line"
    )


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Read the files and print the findings."""
    del command
    if overrides:
        raise ConfigError("doctor takes no --config.*: a run's config is in its folder")
    folder = Path(args.workdir)
    sweep = (folder / PLAN).is_file()
    inside = sorted((folder / "members").glob("*/config.json")) if sweep else []
    if sweep and not inside:
        raise RecordError(f"{folder} has no member that was started yet")
    patients = [patient(path.parent) for path in inside] or [patient(folder)]
    if args.json:
        lines = [json.dumps(one.plain()) for one in patients]
    else:
        lines = by_finding(patients) if sweep else by_step(patients[0])
    print("\n".join(lines))
    return 0


def patient(folder: Path) -> Patient:
    """Examine a run folder. Raises RecordError without a readable config.json; rows that are damaged are left out aloud."""
    config = flatten(read_config(folder)["config"])
    steps = config.get("steps")
    metrics, evaluations, written = (
        columns(folder / f"{name}.jsonl", strict=False)
        for name in ("metrics", "eval", "findings")
    )
    episodes = diagnose(metrics, evaluations, config) + halts(written)
    step = max(metrics.get("step", []), default=0)
    whole = steps if type(steps) is int else step
    return Patient(folder.resolve().name, step, whole, episodes)


def halts(written: Mapping[str, Any]) -> list[Episode]:
    """What only the run itself could see, from its findings.jsonl: the step and the array that were not finite."""
    names = *Found._fields[:4], "first_bad"
    rows = zip(*(written.get(name, []) for name in names), strict=False)
    return [
        Episode(Found(step, HALTED, {}, str(cure), str(bad)))
        for step, finding, _, cure, bad in rows
        if finding == HALTED and bad
    ]


def by_step(one: Patient) -> list[str]:
    """A run's findings with their steps, evidence and remedy."""
    lines = [f"{one.name}: logged to step {one.step:,} of {one.steps:,}"]
    for found, end in one.ills:
        until = f"to {end:,}" if end else "to the end"
        known = [f"{name} {x:g}" for name, x in found.evidence.items()]
        known += [found.first_bad] if found.first_bad else []
        lines += [f"\n{found.finding}, from step {found.step:,} {until}"]
        lines += [f"  {FINDINGS[found.finding].meaning}: {', '.join(known)}"]
        lines += [f"  try {found.remedy}"] if found.remedy else []
        lines += [f"  {PAGE}#{found.finding}"]
    if not one.ills:
        well = [episode.found.step for episode in one.episodes]
        lines += [f"{HEALTHY} since step {well[0]:,}" if well else SHORT]
    return lines


def by_finding(patients: list[Patient]) -> list[str]:
    """A sweep's members by finding: how many, the median step at which it began, which."""
    begun: dict[str, dict[str, int]] = {name: {} for name in (*FINDINGS, SHORT)}
    for one in patients:
        for found, _ in one.ills or one.episodes[:1]:
            begun[found.finding].setdefault(one.name, found.step)
        if not one.episodes:
            begun[SHORT][one.name] = one.step
    lines = [f"{'finding':30} members  median step  which"]
    for name, steps in begun.items():
        if steps:
            middle = sorted(steps.values())[len(steps) // 2]
            which = " ".join(list(steps)[:MEMBERS])
            which += f" and {len(steps) - MEMBERS} more" if len(steps) > MEMBERS else ""
            lines.append(f"{name:30} {len(steps):7}  {middle:11,}  {which}")
    return [*lines, f"of {len(patients)} members; {PAGE} says what to do"]
