"""Run folders and sweep folders as plain data. Whatever cannot be read is one sentence (RecordError)."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.record import RecordError, columns, read_config
from gan_jax.rows import of_layer, read_object

_SAMPLE = re.compile(r"step_(\d{8})\.png")
_PNG = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"  # how a whole file begins and ends
_TITLES = 4  # most names in a title
WAITING = "not started"


class Run(NamedTuple):
    """One run folder.

    config: dotted name -> value. about: config.json without the config. metrics: name -> {step: number or None}.
    evals, findings: rows. samples: step -> PNG. values: a name -> a number or None, for tables and heat maps.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    about: dict[str, Any]
    metrics: dict[str, dict[int, float | None]]
    evals: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    samples: dict[int, Path]
    status: str
    step: int
    values: dict[str, float | None]


class Report(NamedTuple):
    """What a page is about. command: how a sweep was started, "" without one; fields: those it swept."""

    title: str
    runs: list[Run]
    command: str = ""
    fields: Sequence[str] = ()
    groups: Sequence[dict[str, Any]] = ()
    notes: Sequence[str] = ()


def read(folders: Sequence[Path]) -> Report:
    """Read run folders, or one sweep folder. Raises RecordError for what is missing or damaged."""
    folders = list({folder.resolve(): folder for folder in folders}.values())
    sweeps = [folder for folder in folders if (folder / "sweep.json").is_file()]
    if sweeps and len(folders) > 1:
        raise RecordError(
            f"{sweeps[0]} is a sweep: give it alone, or the folders of its members"
        )
    if sweeps:
        return _sweep(sweeps[0])
    names = _names(folders)
    runs = [_run(f, name) for f, name in zip(folders, names, strict=True)]
    title = ", ".join(names) if len(runs) <= _TITLES else f"{len(runs)} runs"
    return Report(title, runs, notes=_notes(runs))


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested config by dotted names."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        nested = isinstance(value, dict) and value
        out |= flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return out


def _names(folders: list[Path]) -> list[str]:
    """Short names that differ: the last parts of the paths, as many as it takes."""
    paths = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            break
    return names


def _run(folder: Path, name: str) -> Run:
    if not (folder / "config.json").is_file() and folder.is_dir():
        inside = sorted(path.parent.name for path in folder.glob("*/config.json"))
        if inside:
            raise RecordError(
                f"{folder} holds no run itself, but {', '.join(inside[:8])}: name them, --workdir={folder / inside[0]},..."
            )
    about = read_config(folder)
    config = flat(about.pop("config"))
    metrics = _metrics(folder / "metrics.jsonl")
    evals = _rows(folder / "eval.jsonl", ("metric", "value"))
    for row in evals:
        row["value"] = _number(row["value"], folder / "eval.jsonl", row["step"])
    samples = {
        int(match[1]): path
        for path in sorted((folder / "samples").glob("step_*.png"))
        if (match := _SAMPLE.fullmatch(path.name))
    }
    saved = [int(p.name) for p in folder.glob("checkpoints/*") if p.name.isdecimal()]
    step = max([*saved, *(s for line in metrics.values() for s in line)], default=0)
    findings = _rows(folder / "findings.jsonl", ("finding",))
    status = _status(config, metrics, findings, step)
    values = _values(metrics, evals)
    return Run(
        name,
        folder,
        config,
        about,
        metrics,
        evals,
        findings,
        samples,
        status,
        step,
        values,
    )


def _metrics(path: Path) -> dict[str, dict[int, float | None]]:
    table = columns(path)
    steps = table.pop("step", [])
    return {
        name: {s: _number(x, path, s) for s, x in zip(steps, column, strict=True)}
        for name, column in table.items()
    }


def _rows(path: Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    """A JSON-lines file as rows that have the keys needed; a key that a row lacks is None."""
    table = columns(path)
    rows = [
        dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)
    ]
    for row in rows:
        for name in needed:
            if name not in row or row[name] is None and name != "value":
                raise RecordError(
                    f"{path}: a row of step {row['step']} has no {name!r}: mend or remove it"
                )
    return rows


def _number(value: Any, path: Path, step: int) -> float | None:
    """A number, None for what is missing or not finite."""
    if value is None:
        return None
    try:
        if isinstance(value, str | bool):
            raise TypeError
        return float(value) if math.isfinite(value) else None
    except (TypeError, OverflowError):
        raise RecordError(
            f"{path}: {value!r} in a row of step {step} is no number: mend or remove it"
        ) from None


def _status(config: Any, metrics: Any, findings: Any, step: int) -> str:
    """What the files tell of a run that no sweep has judged."""
    losses = [line for name, line in metrics.items() if name.startswith("loss/")]
    if any(line and line[max(line)] is None and max(line) == step for line in losses):
        return "diverged"
    if any(row.get("first_bad") for row in findings):
        return "diverged"
    steps = config.get("steps")
    return "done" if isinstance(steps, int) and 0 < steps <= step else "unfinished"


def _values(metrics: Any, evals: list[dict[str, Any]]) -> dict[str, float | None]:
    """The last value of each metric that was evaluated and of each that was logged, but for those of layers."""
    last = {f"final/{row['metric']}": row["value"] for row in evals}
    for name, line in metrics.items():
        if name != "seconds" and line and not of_layer(name):
            last[f"final/{name}"] = line[max(line)]
    return last


def _notes(runs: list[Run]) -> list[str]:
    return [
        f"{run.name} is not finished: its files end at step {run.step:,} of {run.config.get('steps', '?')} "
        "(interrupted, stopped early, or still training)"
        for run in runs
        if run.status == "unfinished"
    ]


def _sweep(folder: Path) -> Report:
    path = folder / "sweep.json"
    try:
        plan = read_object(path, "restore it, or start the sweep again")
        members = [(str(m["name"]), dict(m["setting"])) for m in plan["members"]]
        fields, command = [str(name) for name in plan["fields"]], str(plan["command"])
        groups = [dict(group) for group in plan.get("groups", [])]
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(
            f"{path} is damaged ({type(error).__name__}: {error}): restore it, or start the sweep again"
        ) from None
    if not members:
        raise RecordError(f"{path} names no members: there is nothing to report")
    results, found = _results(folder / "results.csv", fields), []
    for name, setting in members:
        inside = folder / "members" / name
        if (inside / "config.json").is_file():
            run = _run(inside, name)
        else:
            run = Run(name, inside, {}, {}, {}, [], [], {}, WAITING, 0, {})
        # The plan's own values: a config may have gone through float32.
        found.append(_judged(run, results.get(name, {}), run.config | flat(setting)))
    base = next((run.config for run in found if run.about), {})
    runs = [
        run if run.about else run._replace(config=base | run.config) for run in found
    ]
    return Report(folder.resolve().name, runs, command, fields, groups)


def _judged(run: Run, row: dict[str, str], config: dict[str, Any]) -> Run:
    """A member with what results.csv says of it."""
    status = run.about and row.get("status") or run.status
    step = int(row["step"]) if row.get("step", "").isdecimal() else run.step
    values = {name: _parsed(text) for name, text in row.items() if "/" in name}
    values = run.values | values
    return run._replace(config=config, status=status, step=step, values=values)


def _results(path: Path, fields: list[str]) -> dict[str, dict[str, str]]:
    """results.csv: member -> column -> text; a line without an end is still being written and is skipped."""
    data = path.read_bytes() if path.exists() else b""
    text = data[: data.rfind(b"\n") + 1].decode(errors="replace")
    try:
        lines = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise RecordError(f"{path} is damaged ({error}): remove it") from None
    if not lines:
        return {}
    head = lines[0]
    if "member" not in head:
        raise RecordError(f"{path} has no column 'member': restore it or remove it")
    rows = {}
    for count, line in enumerate(lines[1:], start=2):
        if len(line) != len(head):
            raise RecordError(
                f"{path}, line {count} has {len(line)} columns of {len(head)}: mend or remove it"
            )
        row = {k: v for k, v in zip(head, line, strict=True) if k not in fields}
        rows[row["member"]] = row
    return rows


def _parsed(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def whole_png(path: Path) -> bytes | None:
    """The bytes of a picture; None for a file that is not a whole PNG."""
    data = path.read_bytes()
    return data if data.startswith(_PNG[0]) and data.endswith(_PNG[1]) else None
