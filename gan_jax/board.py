"""TensorBoard's event files. They are a view, metrics.jsonl is the record: a failure here never stops a run.

tensorboardX builds the messages; we write them ourselves, in the caller's thread: its own writer hands them to a thread
behind a queue of ten, and a full disk that kills that thread blocks the run for ever at the eleventh.
"""

import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_FLUSH = 30.0  # seconds until a reader may see a value


class Board:
    """The event files of one folder: each start opens a new one, since TensorBoard reads nothing behind damage.

    The first failure, of whatever kind, is one line on stderr, and all that follows is dropped.
    """

    def __init__(self, folder: Path, purge: int | None = None):
        """Open nothing yet. purge: points of earlier files from this step on are hidden."""
        self.folder, self.purge, self.failed = folder, purge, False
        self._events: Any = None
        self._flushed = 0.0

    def add_scalar(self, name: str, value: float | int, step: int) -> None:
        """A point of a curve; one that is not finite is left out."""
        self.add_scalars({name: value}, step)

    def add_scalars(self, values: Mapping[str, float | int], step: int) -> None:
        """A point of each of some curves, as one event; those that are not finite are left out."""
        finite = {name: x for name, x in values.items() if math.isfinite(x)}
        if finite:
            self._add("scalars", step, finite)

    def add_histogram(self, name: str, values: np.ndarray, step: int) -> None:
        """The finite ones of values [...]; nothing if there are none."""
        values = np.asarray(values).astype(np.float64).ravel()
        values = values[np.isfinite(values)]
        if values.size:
            self._add("histogram", step, name, values, _bins())

    def add_image(self, name: str, picture: np.ndarray, step: int) -> None:
        """A picture uint8 [H, W, C]."""
        self._add("image", step, name, picture, 1, "HWC")

    def add_text(self, name: str, text: str, step: int) -> None:
        """A note."""
        self._add("text", step, name, text)

    def add_hparams(self, setting: Mapping[str, Any], values: Any) -> None:
        """One row of the HParams view: a setting, and {name: number} that it came to."""
        self._add("hparams", None, dict(setting), values)
        for name, value in values.items():
            self.add_scalar(name, value, 0)

    def close(self) -> None:
        """Write out and close the file; what is added later goes to another one."""
        if self._events is not None:
            self._guarded(self._events.close)
        self._events = None

    def _add(self, kind: str, step: int | None, *what: Any) -> None:
        if not self.failed:
            self._guarded(lambda: self._write(kind, step, what))

    def _guarded(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except Exception as error:  # whatever tensorboardX may raise
            self.failed, self._events = True, None
            print(
                f"WARNING: {self.folder}: TensorBoard is off until the next start ({error}); "
                "the run goes on, its numbers are in metrics.jsonl",
                file=sys.stderr,
            )

    def _write(self, kind: str, step: int | None, what: tuple[Any, ...]) -> None:
        from tensorboardX import summary  # slow to import
        from tensorboardX.proto.event_pb2 import Event

        if self._events is None:
            self._events = self._opened()
        make = _scalars if kind == "scalars" else getattr(summary, kind)
        made = make(*what)
        for one in made if isinstance(made, tuple) else (made,):
            self._events.write_event(
                Event(wall_time=time.time(), step=step, summary=one)
            )
        if time.monotonic() - self._flushed > _FLUSH:
            self._events.flush()
            self._flushed = time.monotonic()

    def _opened(self) -> Any:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.folder.mkdir(parents=True, exist_ok=True)
        # Names carry whole seconds: numbered, so that a quick restart does not write into the old file.
        count = len(list(self.folder.glob("events.out.tfevents.*")))
        events = EventsWriter(str(self.folder / "events"), f".{count:05d}")
        if self.purge is not None:
            log = SessionLog(status=SessionLog.START)
            events.write_event(
                Event(wall_time=time.time(), step=self.purge, session_log=log)
            )
            self.purge = None
        return events


def write_hparams(
    folder: Path, table: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> None:
    """Write TensorBoard's HParams view anew: {name: (setting, values)} of every member of a sweep.

    Values that are not finite numbers are left out.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name, (setting, values) in table.items():
        kept = {k: float(v) for k, v in values.items() if isinstance(v, int | float)}
        board = Board(folder / name)
        board.add_hparams(setting, {k: v for k, v in kept.items() if math.isfinite(v)})
        board.close()
        if board.failed:
            return


def _scalars(values: Mapping[str, float | int]) -> Any:
    from tensorboardX import summary

    first, *others = [summary.scalar(name, x) for name, x in values.items()]
    for one in others:
        first.MergeFrom(one)
    return first


def _bins() -> list[float]:
    """Edges of TensorFlow's histograms, 0 and +-1e-12 * 1.1^k up to 1e20, and the largest numbers beyond."""
    edges = [1e-12 * 1.1**k for k in range(774)] + [sys.float_info.max]
    return [-x for x in reversed(edges)] + [0.0] + edges
