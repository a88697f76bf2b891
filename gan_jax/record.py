"""The run folder: config.json, metrics.jsonl and its kin, TensorBoard, sample pictures, the progress line.

The JSON-lines files are the record of truth: one fsynced line a row (0.2 ms on a virtual disk, some
milliseconds on a spinning one), cut back to the resumed step. Event files are for looking at: a flipped bit
in one loses its later rows, so each start opens a new one. Reading needs no jax, so reports work anywhere.
"""

import importlib.metadata
import json
import math
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gan_jax import images
from gan_jax.files import sync_folder, write_atomic
from gan_jax.version import __version__

ROWS = ("metrics.jsonl", "findings.jsonl", "eval.jsonl")
PACKAGES = "jax jaxlib flax optax orbax-checkpoint numpy".split()
NOTHING: Mapping[str, Any] = MappingProxyType({})


class RecordError(RuntimeError):
    """A run folder cannot be read; the message names the file and what to do."""


class Record:
    """Writes one run folder. Files open at their first use; `close` may be followed by more writing."""

    def __init__(self, workdir: str | Path, board: bool = True):
        """Make the folder if it is not there; write nothing yet. board: whether TensorBoard is written too."""
        self.board = board
        self.workdir = Path(workdir)
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, Any] = {}
        self._writer: Any = None
        self._purge: int | None = None

    def write_config(
        self, config: Mapping[str, Any], command: str, data: Mapping[str, Any] = NOTHING
    ) -> None:
        """Write config.json: the nested config, package versions, git commit (or null), the command, the data."""
        body = {"config": _plain(config), "versions": _versions(), "git": _commit()}
        body |= {"command": command, "data": _plain(data)}
        text = json.dumps(body, indent=2, allow_nan=False) + "\n"
        write_atomic(self.workdir / "config.json", text.encode())

    def log(
        self, step: int, row: Mapping[str, Any], histograms: Mapping[str, Any] = NOTHING
    ) -> None:
        """Append one row of numbers to metrics.jsonl and to TensorBoard; histograms go to TensorBoard only.

        Every number is written as the shortest text of its float64 value: a float32 comes back exactly and
        equal values have equal text. NaN and infinities become null. On return the line is on the disk.
        """
        numbers = {name: float(value) for name, value in row.items() if name != "step"}
        self.append("metrics.jsonl", {"step": step, **numbers})
        if not self.board:
            return
        writer = self._tensorboard()
        for name, value in numbers.items():
            if math.isfinite(value):  # tensorboardX complains on the terminal otherwise
                writer.add_scalar(name, value, step)
        for name, values in histograms.items():
            values = np.asarray(values).astype(np.float64).ravel()
            values = values[np.isfinite(values)]
            if values.size:
                writer.add_histogram(name, values, step)

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """Append one value to eval.jsonl and to TensorBoard."""
        self.append("eval.jsonl", row)
        if self.board and math.isfinite(row["value"]):
            name = f"eval/{row['metric']}"
            self._tensorboard().add_scalar(name, row["value"], row["step"])

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Append one JSON object as a line of the file `name` (findings.jsonl, eval.jsonl, ...) and fsync.

        Arrays become lists, non-finite numbers null. Raises OSError (the file is left without a half line
        where that is possible) when the disk is full.
        """
        if name not in self._files:
            self._files[name] = _open_rows(self.workdir / name)
        file = self._files[name]
        line = json.dumps(_plain(row), allow_nan=False).encode() + b"\n"
        end = file.seek(0, os.SEEK_END)
        if file.write(line) != len(line):
            file.truncate(end)
            raise OSError(f"{self.workdir / name}: disk full, last row not written")
        os.fsync(file.fileno())

    def truncate(self, step: int) -> None:
        """Forget everything later than `step`, as a run that resumes there must.

        Rows of the JSON-lines files, a partial last line, sample pictures; TensorBoard is told to hide its
        later points. A damaged line is dropped with a line on stderr.
        """
        self.close()
        for name in ROWS:
            _cut(self.workdir / name, step)
        later = [p for p in self._samples() if int(p.stem[5:]) > step]
        for path in later:
            path.unlink()
        if later:  # the animation shows them; `gif` makes it anew
            (self.workdir / "samples" / "training.gif").unlink(missing_ok=True)
        self._purge = step + 1

    def image(self, step: int, picture: UInt8[np.ndarray, "h w c"]) -> Path:
        """Save a picture uint8 [H, W, C] as samples/step_00001000.png and to TensorBoard; return its path."""
        path = self.workdir / "samples" / f"step_{step:08d}.png"
        images.save_png(path, picture)
        if self.board:
            self._tensorboard().add_image("samples", picture, step, dataformats="HWC")
        return path

    def gif(self) -> Path | None:
        """Animate the sample pictures into samples/training.gif; None when there are none."""
        pngs, path = self._samples(), self.workdir / "samples" / "training.gif"
        if pngs:
            images.save_gif(path, pngs)
        return path if pngs else None

    def close(self) -> None:
        """Close all files; TensorBoard's queue is written out."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _samples(self) -> list[Path]:
        return sorted((self.workdir / "samples").glob(f"step_{'[0-9]' * 8}.png"))

    def _tensorboard(self) -> Any:
        if self._writer is None:
            self._writer = open_board(self.workdir / "tensorboard", self._purge)
            self._purge = None
        return self._writer


def open_board(folder: Path, purge: int | None) -> Any:
    """A TensorBoard writer that goes on in a folder; points from step `purge` on are hidden."""
    from tensorboardX import SummaryWriter  # slow to import

    # Names carry whole seconds: numbered, so that a quick restart does not write into the old file.
    suffix = f".{len(list(folder.glob('events.out.tfevents.*'))):05d}"
    return SummaryWriter(
        str(folder), purge_step=purge, flush_secs=30, filename_suffix=suffix
    )


def write_hparams(
    folder: Path, table: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> None:
    """Write TensorBoard's HParams view anew: {name: (setting, values)} of every member of a sweep.

    Values that are not finite numbers are left out.
    """
    from tensorboardX import SummaryWriter  # slow to import

    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for name, (setting, values) in table.items():
            kept = {
                k: float(v) for k, v in values.items() if isinstance(v, int | float)
            }
            finite = {k: v for k, v in kept.items() if math.isfinite(v)}
            writer.add_hparams(dict(setting), finite, name=name)


def read_config(workdir: str | Path) -> dict[str, Any]:
    """Return the whole of config.json: keys config, versions, git, command, data.

    Raises RecordError when it is missing or is not JSON.
    """
    path = Path(workdir) / "config.json"
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        advice = "is missing: give the folder of a run as --workdir"
    except ValueError as error:
        advice = f"is damaged ({error}): restore it or start a new run"
    raise RecordError(f"{path} {advice}")


def columns(path: str | Path) -> dict[str, list[Any]]:
    """Read a JSON-lines file as columns of equal length, in order of first appearance.

    None stands for what a row lacks and for a number that was not finite (`np.array(column, float)` makes both
    NaN). A partial last line is skipped; no file is {}. Raises RecordError naming a damaged line.
    """
    path = Path(path)
    data = path.read_bytes() if path.exists() else b""
    rows = [_parse(line) for line in _whole_lines(data)]
    if None in rows:
        number = rows.index(None) + 1
        raise RecordError(f"{path}, line {number} is damaged: remove it to read on")
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _whole_lines(data: bytes) -> list[bytes]:
    """Split off the lines that end; what a kill left of the last one is not a line."""
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a row, or None for a line that is not a JSON object with a step."""
    try:
        row = json.loads(line)
        return row if isinstance(row["step"], int) else None
    except (ValueError, TypeError, KeyError):
        return None


def _open_rows(path: Path) -> Any:
    """Open for appending, unbuffered; drop a partial last line, which would swallow the next row."""
    file = open(path, "ab", buffering=0)
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        file.truncate(data.rfind(b"\n") + 1)
    sync_folder(path.parent)
    return file


def _cut(path: Path, step: int) -> None:
    data = path.read_bytes() if path.exists() else b""
    kept = []
    for number, line in enumerate(_whole_lines(data), start=1):
        row = _parse(line)
        if row is None:
            print(f"WARNING: {path}, line {number} damaged: dropped", file=sys.stderr)
        elif row["step"] <= step:
            kept.append(line)
    if b"".join(kept) != data:
        write_atomic(path, b"".join(kept))


def _plain(value: Any) -> Any:
    """Turn arrays, tuples and NumPy scalars into what JSON has; non-finite numbers into None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy and JAX arrays and scalars, np.float64 too
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "gan_jax": __version__}
    for package in PACKAGES:
        found[package.removesuffix("-checkpoint")] = importlib.metadata.version(package)
    return found


def _commit() -> str | None:
    """Return the commit of the checkout that this file is in; None outside one or without git."""
    # A hook or an outer script may point git elsewhere by its environment.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    here, command = Path(__file__).parent, "git rev-parse --verify -q HEAD".split()
    try:
        done = subprocess.run(command, cwd=here, env=clean, capture_output=True)
    except OSError:
        return None
    return done.stdout.decode().strip() or None
