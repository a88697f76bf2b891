"""How everything is measured and told: ways that take turns, rows with ratios, a Markdown table, a JSON file.

Ways of doing the same work run in turn, round after round, in one process: what else the machine does then hurts all
alike. A ratio is the median over rounds of the base's value by the way's value in the same round: above 1 the way is
faster (or takes less) than the base.
"""

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax

from gan_jax.record import versions

CORES = len(os.sched_getaffinity(0))
TORCH = find_spec("torch") is not None
_MOST_CALLS = 1000  # of a way in a round
_MOST_SECONDS = 60.0  # of a way in all rounds, after which it takes no more turns
_WARM = 2  # calls at the beginning of a turn that do not count, and the least that do
_OTHERS = "torch", "torch-fidelity", "scipy"  # what is compared with, where it is there


class Way(NamedTuple):
    """call() does the work or sends it off; wait(what the last call gave) returns when it is done; units: in a call."""

    call: Callable[[], Any]
    units: int = 1
    wait: Callable[[Any], Any] = jax.block_until_ready


@dataclass(frozen=True)
class Plan:
    """What is asked of a suite. suite: "cpu" or "gpu"; peak: TFLOP/s of the device, 0 if unknown; quick: all is tiny.

    cases, precisions: of the group `step`, by name; () for the suite's. keep: freed memory stays with the process, as in launch.py
    (gan_jax/heap.py), for every way, those of others too.
    """

    suite: str = "cpu"
    rounds: int = 5
    quick: bool = False
    peak: float = 0.0
    cases: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    keep: bool = True

    @property
    def least(self) -> float:
        """Seconds of a way in a round, by as many calls as that takes."""
        return 0.0 if self.quick else 0.2

    @property
    def width(self) -> int:
        """Of the networks; 0: their own."""
        return 8 if self.quick else 0

    def size(self, full: int, quick: int = 8) -> int:
        """Either, as asked."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Row:
    """A line of the results: `values` in `unit`, one a round. batch 0, precision "" and note "" say nothing."""

    group: str
    case: str
    way: str
    values: Sequence[float]
    base: str
    ratio: float
    unit: str = "ms"
    batch: int = 0
    precision: str = ""
    note: str = ""


def seconds(way: Way, calls: int = 1) -> float:
    """Of so many calls in a row, until all of it is done."""
    begin = time.perf_counter()
    for _ in range(calls):
        told = way.call()
    way.wait(told)
    return time.perf_counter() - begin


def interleaved(ways: dict[str, Way], plan: Plan) -> dict[str, list[float]]:
    """Milliseconds a unit of each way and round. Each way has run twice before: the first call compiles.

    A turn begins with calls that do not count: training follows upon training, and not upon the others' turns, after
    which memory has to be fetched again (half a second, where the system is a guest that gives back what is free).
    """
    warm = 1 if plan.quick else _WARM
    calls, spent, times = {}, dict.fromkeys(ways, 0.0), {name: [] for name in ways}
    for name, way in ways.items():
        seconds(way)
        wanted = math.ceil(plan.least / max(seconds(way), 1e-9))
        calls[name] = min(max(wanted, warm), _MOST_CALLS)
    for _ in range(plan.rounds):
        for name, way in ways.items():
            if spent[name] < _MOST_SECONDS:
                warming = seconds(way, warm)
                took = seconds(way, calls[name])
                spent[name] += warming + took
                times[name].append(1e3 * took / calls[name] / way.units)
    return times


def ratio(base: Sequence[float], values: Sequence[float]) -> float:
    """How many times less the values are: the median over the rounds that both have."""
    return statistics.median(b / x for b, x in zip(base, values, strict=False))


def rows_of(
    group: str, case: str, values: dict[str, Sequence[float]], base: str = "", **facts
) -> list[Row]:
    """A row for each way beside the base, by default the first one. facts: the other fields of Row."""
    base = base if base in values else next(iter(values))
    return [
        Row(group, case, way, list(x), base, ratio(values[base], x), **facts)
        for way, x in values.items()
    ]


def told_rate(row: Row, units: int, what: str) -> Row:
    """The row with `units` a median of its milliseconds, as a rate a second, for its note."""
    rate = 1e3 * units / statistics.median(row.values)
    return replace(row, note=f"{short(rate)} {what}")


def short(x: float) -> str:
    """About three digits, without exponents for what is not tiny."""
    return (
        f"{x:.{2 - min(2, max(0, math.floor(math.log10(x))))}f}"
        if x >= 1
        else f"{x:.3g}"
    )


def spread(values: Sequence[float]) -> str:
    """Median (min - max)."""
    if len(values) == 1:
        return short(values[0])
    ends = f"{short(min(values))} - {short(max(values))}"
    return f"{short(statistics.median(values))} ({ends})"


def table(rows: Sequence[Row]) -> str:
    """A Markdown table of some rows; columns that are empty in all of them are left out."""
    if not rows:
        return ""
    columns = {
        "case": [row.case for row in rows],
        "batch": [str(row.batch or "") for row in rows],
        "precision": [row.precision for row in rows],
        "way": [row.way for row in rows],
        "median (min - max)": [f"{spread(row.values)} {row.unit}" for row in rows],
        "times base": [short(row.ratio) for row in rows],
        "note": [row.note for row in rows],
    }
    kept = {head: cells for head, cells in columns.items() if any(cells)}
    lines = [list(kept), ["---"] * len(kept), *zip(*kept.values(), strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def say(text: str) -> None:
    """A line for the person at the terminal; standard output has the tables."""
    print(text, file=sys.stderr, flush=True)


def facts() -> dict[str, Any]:
    """The machine, the versions of what is compared, the date. Starts JAX's devices."""
    with open("/proc/cpuinfo") as file:
        named = [line.partition(":")[2] for line in file if "model name" in line]
    found = {name: number for name in _OTHERS if (number := version_of(name))}
    device = jax.devices()[0]
    kind = f"{device.platform} ({device.device_kind})"
    cpu = named[0].strip() if named else "unknown"
    machine = {"cpu": cpu, "cores": CORES, "device": kind}
    return {
        "machine": machine,
        "versions": versions() | found,
        "date": date.today().isoformat(),
    }


def version_of(package: str) -> str:
    """Of an installed package; "" without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def write(path: str | Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """The results as JSON: `about` (see `facts`) and the rows, whose values stand under the name of their unit."""
    body = []
    for row in rows:
        told = asdict(row)
        body.append(told | {told["unit"]: told.pop("values")})
    Path(path).write_text(json.dumps(about | {"rows": body}, indent=1) + "\n")


def read(path: str | Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows and the facts of a file that `write` wrote."""
    about = json.loads(Path(path).read_text())
    names = {field.name for field in fields(Row)} - {"values"}
    rows = [
        Row(values=told[told["unit"]], **{name: told[name] for name in names})
        for told in about.pop("rows")
    ]
    return rows, about
