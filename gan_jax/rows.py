"""Reading a run folder, whatever has become of it: config.json, and the JSON-lines files of rows.

A file may end in the middle of a line (a kill), or hold rubbish and zeros in its middle (a power loss). Readers name
the line; a run that goes on drops it and says what is lost. Rows carry no digest: a digit that was flipped is not seen.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_jax.files import naming, sync_folder, write_atomic

ROWS = ("metrics.jsonl", "findings.jsonl", "eval.jsonl")
_NUMBER = (int, float, type(None))  # and no bool
_NEEDS = {
    "eval.jsonl": {"metric": str, "value": _NUMBER},
    "findings.jsonl": {"finding": str},
}
_CADENCE = {"metrics.jsonl": ["log_every"], "eval.jsonl": ["eval", "every"]}
_FACTS = {"digest": str, "shape": list, "label_names": list}
_FACTS |= {"source_shape": list, "paired": bool}
_LOST, _AGAIN = "is LOST", "will be written again"
_PERHAPS = "may be LOST"
_MOST = 2**24  # bytes of a JSON file of ours
_DEPTH = 64  # of its nesting
_SAID = 8  # warnings for a file


class RecordError(RuntimeError):
    """A run folder cannot be read; the message names the file and what to do."""


def read_config(workdir: str | Path, facts: Sequence[str] = ()) -> dict[str, Any]:
    """Return the whole of config.json: keys config, versions, git, command, data.

    Raises RecordError when it is missing or damaged, or when its `data` lacks one of `facts`.
    """
    path = Path(workdir) / "config.json"
    said = read_object(path, "restore it from a copy, or choose another --workdir")
    data = said.setdefault("data", {})
    if isinstance(data, dict):  # older folders do not say what they all had
        data = said["data"] = {"source_shape": [], "paired": False} | data
    wrong = [f"data.{fact}" for fact in facts if not _is_fact(data, fact)]
    if wrong or not isinstance(said.get("config"), dict):
        raise RecordError(
            f"{path} holds no {(wrong or ['config'])[0]}: restore it from a copy, or choose another --workdir"
        )
    return said


def read_object(path: Path, advice: str) -> dict[str, Any]:
    """A file that holds one JSON object. Raises RecordError, with the advice, for anything else."""
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        said = json.loads(path.read_bytes())
        if not isinstance(said, dict) or _deep(said):
            raise ValueError("it is no object of this program")
        return said
    except FileNotFoundError:
        problem = f"is missing: give the folder of a run as --workdir, or {advice}"
    except (ValueError, RecursionError) as error:
        problem = f"is damaged ({error}): {advice}"
    raise RecordError(f"{path} {problem}")


def columns(path: str | Path, strict: bool = True) -> dict[str, list[Any]]:
    """Read a JSON-lines file as columns of equal length, in order of first appearance.

    None stands for what a row lacks and for a number that was not finite (`np.array(column, float)` makes both
    NaN). A partial last line is skipped; no file is {}. Raises RecordError naming a damaged line; not strict: leaves it
    out, as one with other than numbers for metrics, and says so.
    """
    path = Path(path)
    rows = _rows(path)
    if not strict:
        rows = _sound(path, rows)
    if None in rows:
        number = rows.index(None) + 1
        raise RecordError(
            f"{path}, line {number} is damaged: remove it to read on (a run that goes on does, and says what is lost)"
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _sound(path: Path, rows: Sequence[Any]) -> list[Any]:
    """The rows that are whole and have what their file's rows have."""
    sound = [row for row in rows if _checked(path.name, row)]
    if len(sound) < len(rows):
        warn(f"{path}: {len(rows) - len(sound)} damaged lines are left out")
    return sound


def of_layer(name: str) -> bool:
    """Whether a column of metrics.jsonl is of one layer, as "grad/gen/Dense_0" is: there may be hundreds."""
    return name.count("/") > 1


def _is_fact(data: Any, name: str) -> bool:
    return isinstance(data, dict) and isinstance(data.get(name), _FACTS[name])


def _deep(value: Any) -> bool:
    """Whether a value is nested deeper than any of ours: Python would end in RecursionError somewhere."""
    level = [value]
    for _ in range(_DEPTH):
        inside = [x.values() if isinstance(x, dict) else x for x in level]
        level = [x for many in inside for x in many if isinstance(x, dict | list)]
    return bool(level)


def _lines(data: bytes) -> list[bytes]:
    """The lines, each with its end. What a kill left of the last one is none; one that only lacks its end is."""
    *whole, rest = data.split(b"\n")
    whole += [rest] if _parse(rest) else []
    return [line + b"\n" for line in whole]


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a row, or None for a line that is not a JSON object with a step."""
    try:
        row = json.loads(line.decode())
        return row if type(row["step"]) is int and row["step"] >= 0 else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _rows(path: Path) -> list[dict[str, Any] | None]:
    return [
        _parse(line) for line in _lines(path.read_bytes() if path.exists() else b"")
    ]


def open_rows(path: Path) -> Any:
    """Open for appending, unbuffered; end or drop a partial last line, which would swallow the next row."""
    data = path.read_bytes() if path.exists() else b""
    whole = b"".join(_lines(data))
    if whole != data:
        write_atomic(path, whole)
    with naming(path):
        file = open(path, "ab", buffering=0)
        sync_folder(path.parent)
    return file


def cut(path: Path, step: int) -> None:
    """Drop the rows later than `step`, those that are there twice, and damage, saying the last two."""
    data = path.read_bytes() if path.exists() else b""
    lines = _lines(data)
    rows = [_checked(path.name, _parse(line)) for line in lines]
    kept, seen, said = [], set(), []
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), start=1):
        if row is None:
            fate = _fate(path, rows, number - 1, step)
            said.append(f"{path}, line {number} damaged: dropped; its row {fate}")
        elif row["step"] <= step and (key := _key(path.name, row, number)) in seen:
            said.append(
                f"{path}, line {number}: step {row['step']} is there twice: dropped"
            )
        elif row["step"] <= step:
            seen.add(key)
            kept.append(line)
    fate = _fate(path, rows, len(rows), step)
    if len(data) > sum(map(len, lines)) and fate != _AGAIN:
        said.append(f"{path} ends in the middle of a line: dropped; its row {fate}")
    for text in said[:_SAID]:
        warn(text)
    if said[_SAID:]:
        warn(f"{path}: {len(said) - _SAID} more lines like these")
    if b"".join(kept) != data:
        write_atomic(path, b"".join(kept))


def check_tail(path: Path, step: int) -> None:
    """Say on stderr when a file of rows ends before the last one that was due at `step` or before."""
    every = _every(path.parent, *_CADENCE[path.name])
    last = max((row["step"] for row in _rows(path) if row), default=0)
    if every and last + every <= step:
        warn(
            f"{path} ends at step {last} and the checkpoint is of step {step}: the rows between are LOST "
            "(unless log_every was changed)"
        )


def check_saved(workdir: Path) -> None:
    """Raise RecordError when a run without checkpoints has gone so far that it had one: its rows would be lost."""
    path, every = workdir / "metrics.jsonl", _every(workdir, "checkpoint_every")
    last = max((row["step"] for row in _rows(path) if row), default=0)
    # a save is on the disk when the next one begins
    if every and last > 2 * every:
        raise RecordError(
            f"{workdir / 'checkpoints'} holds no checkpoint, and {path.name} goes to step {last}: put the checkpoints "
            "back from a copy, or choose another --workdir"
        )


def _checked(name: str, row: dict[str, Any] | None) -> dict[str, Any] | None:
    """A row that has what its file's rows have, else None."""
    needs = _NEEDS.get(name, {}).items()
    if row is None or any(not isinstance(row.get(k), kind) for k, kind in needs):
        return None
    numbers = name != "metrics.jsonl" or {*map(type, row.values())} <= {*_NUMBER}
    return row if numbers else None


def _key(name: str, row: dict[str, Any], number: int) -> Any:
    """What only one row of a file has: in those that training writes a step, or a step and a metric."""
    if name == "metrics.jsonl":
        return row["step"]
    measured = name == "eval.jsonl" and row.get("by") == "training"
    return (row["step"], row["metric"]) if measured else (number,)


def _fate(path: Path, rows: Sequence[Any], place: int, step: int) -> str:
    """What becomes of the row of a damaged line, judged by its neighbours and by how often rows are due."""
    before, after = (
        [row["step"] for row in part if row and row.get("by") != "eval"]
        for part in (rows[:place], rows[place + 1 :])
    )
    last, counts = max(before, default=0), Counter(before)
    every = _every(path.parent, *_CADENCE.get(path.name, []))
    one = path.name == "metrics.jsonl"  # row a step; of evaluations there are several
    if after and after[0] <= step:
        return _LOST
    if last > step or not step or one and last == step:
        return _AGAIN
    if not every or not one and len(counts) == 1:
        return _PERHAPS
    whole = one or not counts or counts[last] == max(counts.values())
    return _AGAIN if whole and (last // every + 1) * every > step else _LOST


def _every(workdir: Path, *names: str) -> int:
    """A cadence that config.json says; 0 when it says none."""
    try:
        value: Any = read_config(workdir)["config"]
    except (RecordError, OSError):
        return 0
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def warn(text: str) -> None:
    """A line on stderr about what is not as it should be, while the run goes on."""
    print(f"WARNING: {text}", file=sys.stderr, flush=True)
