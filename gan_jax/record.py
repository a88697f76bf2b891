"""The run folder: config.json, metrics.jsonl and its kin, TensorBoard, sample pictures.

The JSON-lines files are the record of truth: one fsynced line a row (0.2 ms on a virtual disk, some milliseconds on a
spinning one), cut back to the resumed step; a row that cannot be written stops the run. Event files and pictures are
for looking at: what fails there is said, and the run goes on. Reading needs no jax, so reports work anywhere.
"""

import contextlib
import errno
import importlib.metadata
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gan_jax import images, video
from gan_jax.board import Board
from gan_jax.files import naming, write_atomic
from gan_jax.rows import ROWS, check_tail, cut, open_rows, warn
from gan_jax.rows import RecordError as RecordError
from gan_jax.rows import columns as columns
from gan_jax.rows import read_config as read_config
from gan_jax.version import __version__

PACKAGES = "jax jaxlib flax optax orbax-checkpoint numpy".split()
ANIMATIONS = ("training.gif", "training.mp4")
PACE, LONGEST = 20 / 3, 20  # pictures a second, as in the GIF; seconds of the video
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Record:
    """Writes one run folder. Files open at their first use; `close` may be followed by more writing."""

    def __init__(self, workdir: str | Path, board: bool = True):
        """Make the folder if it is not there; write nothing yet. board: whether TensorBoard is written too."""
        self.workdir = Path(workdir)
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, Any] = {}
        self._board = Board(self.workdir / "tensorboard") if board else None
        self._warned = False

    def write_config(
        self,
        config: Mapping[str, Any],
        command: str,
        data: Mapping[str, Any] = NOTHING,
        machine: Mapping[str, Any] = NOTHING,
    ) -> None:
        """Write config.json: the nested config, versions, git commit (or null), the command, the data, the machine."""
        body = {"config": _plain(config), "versions": versions(), "git": _commit()}
        body |= {"command": command, "data": _plain(data), "machine": dict(machine)}
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
        if self._board is not None:
            self._board.add_scalars(numbers, step)
            for name, values in histograms.items():
                self._board.add_histogram(name, values, step)

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """Append one value to eval.jsonl and to TensorBoard."""
        self.append("eval.jsonl", row)
        if self._board is not None:
            self._board.add_scalar(f"eval/{row['metric']}", row["value"], row["step"])

    def finding(self, row: Mapping[str, Any], text: str) -> None:
        """Append one finding to findings.jsonl, and its text to TensorBoard."""
        self.append("findings.jsonl", row)
        if self._board is not None:
            self._board.add_text("findings", text, row["step"])

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Append one JSON object as a line of the file `name` (findings.jsonl, eval.jsonl, ...) and fsync.

        Arrays become lists, non-finite numbers null. Raises OSError naming the file, which is left without the row
        where that is possible: a state of this step must then not be saved, for a run that resumed from it would
        never write the row.
        """
        path = self.workdir / name
        if name not in self._files:
            self._files[name] = open_rows(path)
        file = self._files[name]
        line = json.dumps(_plain(row), allow_nan=False).encode() + b"\n"
        end = file.seek(0, os.SEEK_END)
        try:
            with naming(path):
                while line:  # a full disk takes a part first, then says why no more
                    written = file.write(line)
                    if not written:
                        raise OSError(errno.ENOSPC, "")
                    line = line[written:]
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise

    def truncate(self, step: int) -> None:
        """Forget everything later than `step`, as a run that resumes there must.

        Rows of the JSON-lines files, sample pictures, what a kill left of temporary files; TensorBoard is told to hide
        its later points. A line that is damaged or there twice is dropped with a line on stderr, which says whether
        its row is lost (of `step` or before) or will be written again.
        """
        self.close()
        for name in ROWS:
            cut(self.workdir / name, step)
        later = [p for p in self._samples() if int(p.stem[5:]) > step]
        if later:  # the animations show them; `gif` and `mp4` make them anew
            later += [self.workdir / "samples" / name for name in ANIMATIONS]
        later += [*self.workdir.glob(".*.tmp"), *self.workdir.glob("samples/.*.tmp")]
        for path in later:
            path.unlink(missing_ok=True)
        if self._board is not None:
            self._board.purge = step + 1

    def check_tail(self, step: int) -> None:
        """Say on stderr when metrics.jsonl ends before the last row that was due at `step` or before.

        A file that was cut at the end of a line, or removed, shows no damage. To be called after `truncate` and before
        `write_config`: what was due is what config.json says.
        """
        check_tail(self.workdir / "metrics.jsonl", step)

    def image(self, step: int, picture: UInt8[np.ndarray, "h w c"]) -> Path:
        """Save a picture uint8 [H, W, C] as samples/step_00001000.png and to TensorBoard; return its path.

        The first that cannot be written is said on stderr, and the run goes on.
        """
        path = self.workdir / "samples" / f"step_{step:08d}.png"
        try:
            images.save_png(path, picture)
        except OSError as error:
            if not self._warned:
                warn(f"a sample picture is left out, and the run goes on: {error}")
            self._warned = True
        if self._board is not None:
            self._board.add_image("samples", picture, step)
        return path

    def gif(self) -> Path | None:
        """Animate the sample pictures into samples/training.gif; None when there are none, or it cannot be made."""
        pngs, path = self._samples(), self.workdir / "samples" / "training.gif"
        try:
            if pngs:
                images.save_gif(path, pngs)
        except (
            Exception
        ) as error:  # what a damaged picture makes Pillow raise is not one type
            warn(f"{path} is not made: {error}")
        return path if path.exists() else None

    def mp4(self) -> Path | None:
        """All sample pictures as samples/training.mp4, in at most 20 s; None without pictures or ffmpeg, or if it fails."""
        pngs, path = self._samples(), self.workdir / "samples" / "training.mp4"
        try:
            if pngs and video.ffmpeg():
                fps = max(PACE, len(pngs) / LONGEST)
                video.save_mp4(path, images.read_frames(pngs), fps)
        except Exception as error:  # as in `gif`
            warn(f"{path} is not made: {error}")
        return path if path.exists() else None

    def close(self) -> None:
        """Close all files; TensorBoard's values are written out."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        if self._board is not None:
            self._board.close()

    def _samples(self) -> list[Path]:
        return sorted((self.workdir / "samples").glob(f"step_{'[0-9]' * 8}.png"))


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


def versions() -> dict[str, str]:
    """Of Python, this package and those that decide the bytes of a run."""
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
