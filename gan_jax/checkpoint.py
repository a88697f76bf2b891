"""Checkpoints: Orbax writes the arrays; a sha256 manifest, written last, says that they are all there.

`checkpoints/1000/` is an Orbax step with one flat dictionary of host arrays (leaves.py) and manifest.json beside
it; `checkpoints/complete.json` lists the complete steps. Arrays carry no trace of devices, so any number of them
can resume. Orbax alone restores most flipped bits and other dtypes silently, and never falls back: hence the
digests, the comparison with the target, and the search for the newest good step.
"""

import contextlib
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax.leaves import Tree, difference, rebuilt, snapshot, stored, unknown
from gan_jax.manifest import (
    MANIFEST,
    brief,
    problems,
    read_ledger,
    read_tree,
    write_ledger,
    write_manifest,
)

ASIDE = ".replaced"  # an older save of a step while the new one is written
PART = ".orbax-checkpoint-tmp"  # in the name of what Orbax has not finished
ITEM = "default"  # the folder that CheckpointManager gives an unnamed item
_OTHER = "resume with the configuration that wrote it or choose a new --workdir"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or used; the message names the path and what to do."""


class Checkpoints:
    """The checkpoints of one run. One process may write; any number may read meanwhile."""

    def __init__(self, folder: str | Path, keep: int = 2):
        """Use `folder`, made at the first save; the newest `keep` good steps stay. Touches nothing."""
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.folder = Path(folder).absolute()
        self.keep = keep
        self.pinned: int | None = None  # a step that stays, however old
        self._damaged: set[int] = set()  # found by `verify`: such a step saves nobody
        self._begun: int | None = None  # the step of the last save
        self._thread: threading.Thread | None = None  # of the save in the background
        self._error: BaseException | None = None  # what became of it

    def steps(self) -> list[int]:
        """Return the steps that have a manifest, oldest first."""
        return [s for s in self._numbers() if (self._place(s) / MANIFEST).exists()]

    def latest(self) -> int | None:
        """Return the newest step with a manifest that `verify` has not found damaged; None: there is none."""
        return max(set(self.steps()) - self._damaged, default=None)

    def holds(self, step: int) -> bool:
        """Whether a step is the newest one, saved or being saved."""
        return step in (self._begun, self.latest())

    def verify(self, step: int) -> list[str]:
        """Read every file of a step and return what is wrong with it, a line a file; [] when it is good."""
        found = problems(self._place(step), read=True)
        (self._damaged.add if found else self._damaged.discard)(step)
        return found

    def find(self, strict: bool = False) -> int | None:
        """The newest good step, verified; None where none has ever been complete.

        A line on stderr says of each newer one what is wrong with it. Raises CheckpointError when all that were
        complete are damaged, and with `strict` when a newer one than the newest good step is.
        """
        listed, lines = read_ledger(self.folder)
        lost, cut = bool(lines), []
        for step in sorted({*self._numbers(), *listed}, reverse=True):
            found = self.verify(step)
            if not found:
                self._say(step, lines + cut, strict and lost)
                return step
            if step in listed or (self._place(step) / MANIFEST).exists():
                more = f" and {len(found) - 1} more" if found[1:] else ""
                lines.append(f"step {step} is damaged: {found[0]}{more}")
                lost = True
            else:
                cut.append(f"step {step} does not count: its save was cut short")
        if lost:
            advice = "put the files back from a copy or choose a new --workdir"
            raise CheckpointError(f"{self.folder}: {'; '.join(lines)}; {advice}")
        return None

    def restore(self, step: int | None, target: Any, hyper: Any = None) -> Any:
        """Return the state of `step` in the structure of `target` (concrete or `jax.eval_shape` of one).

        Leaves are NumPy arrays, typed keys are keys. None takes what `find` finds. hyper: the config's numbers, for
        those that a checkpoint does not know because it is older than their fields. Raises CheckpointError when
        the files are damaged, when nothing good is there, or when structure, shape or dtype differ from the target.
        """
        if step is None:
            step = self.find()
            if step is None:
                raise CheckpointError(f"no checkpoint in {self.folder}: train first")
        elif found := self.verify(step):
            raise CheckpointError(
                f"step {step}: {'; '.join(found)}; steps: {self.steps()}"
            )
        return self.load(step, target, hyper)

    def load(self, step: int, target: Any, hyper: Any = None) -> Any:
        """As `restore`, for a step that has just been verified (`find`, `verify`)."""
        tree = read_tree(place := self._place(step))
        newer, told = snapshot(unknown(tree, hyper))
        if wrong := difference(tree | told, target):
            raise CheckpointError(f"{place} does not fit: {wrong}; {_OTHER}")
        try:
            arrays = _read(place / ITEM, tree) | newer
            return rebuilt(arrays, tree | told, target)
        except Exception as error:
            raise CheckpointError(f"{place} is unreadable: {brief(error)}") from error

    def save(self, step: int, state: Any) -> None:
        """Write `state`, a pytree of arrays and typed keys, as `step`; on return it is on the disk.

        A step that exists is replaced; its old files go when the new ones are complete, and so do all but the
        newest `keep` good steps. Raises CheckpointError, leaving the earlier steps as they were.
        """
        self.start(step, state)
        self.wait()

    def start(self, step: int, state: Any) -> None:
        """As `save`, but only the copy of the state is waited for: a thread writes it.

        It waits for an earlier save that is not finished, and raises what that one met.
        """
        self.wait()
        arrays, tree = snapshot(state)
        self._begun, what = step, (step, arrays, tree, self.pinned)
        # no daemon: a process that ends meanwhile ends after the save
        self._thread = threading.Thread(target=self._attempt, args=what)
        self._thread.start()

    def wait(self) -> None:
        """Return when the last save is on the disk. Raises CheckpointError if it is not."""
        if self._thread is not None:
            self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what became of a save in the background, if that is known by now."""
        if self._thread is None or self._thread.is_alive():
            return
        self._thread, error = None, self._error
        if error is not None:
            self._error = self._begun = None
            raise error

    def _attempt(self, *what: Any) -> None:
        try:
            self._save(*what)
        except BaseException as error:
            self._error = error

    def _save(
        self, step: int, arrays: dict[str, np.ndarray], tree: Tree, pinned: int | None
    ) -> None:
        place = self.folder / str(step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tidy()
            if (place / MANIFEST).exists():
                os.rename(place, self.folder / f"{step}{ASIDE}")
            shutil.rmtree(place, ignore_errors=True)
            _write(self.folder, step, arrays)
            write_manifest(place, step, tree)
        except Exception as error:
            if not (place / MANIFEST).exists():
                shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._tidy()
            raise CheckpointError(
                f"step {step} could not be saved in {self.folder}: {brief(error)}; free space or choose "
                f"another --workdir, then resume; good steps: {self.steps() or 'none'}"
            ) from error
        self._damaged.discard(step)
        with contextlib.suppress(
            OSError
        ):  # the step is complete: the next save tries again
            self._tidy()
            self._prune(step, pinned)

    def _numbers(self) -> list[int]:
        """Return all numbered step folders, complete or not, oldest first."""
        if not self.folder.is_dir():
            return []
        names = {p.name.removesuffix(ASIDE) for p in self.folder.iterdir()}
        return sorted(int(n) for n in names if n.isdecimal() and n == str(int(n)))

    def _place(self, step: int) -> Path:
        """Return a step's folder; while it is being replaced, that of its older save."""
        place, aside = self.folder / str(step), self.folder / f"{step}{ASIDE}"
        new = (place / MANIFEST).exists() or not (aside / MANIFEST).exists()
        return place if new else aside

    def _say(self, step: int, lines: list[str], refuse: bool) -> None:
        if refuse:
            raise CheckpointError(
                f"--resume=strict: {'; '.join(lines)}; the newest good step is {step}: put the files back from a "
                "copy, or go on from there without --resume=strict"
            )
        for line in lines:
            print(f"WARNING: using step {step}: {line}", file=sys.stderr)

    def _tidy(self) -> None:
        """Finish what a kill or a failure cut short: temporary folders, replacements."""
        for folder in self.folder.glob(f"*{PART}*"):
            shutil.rmtree(folder)
        for aside in self.folder.glob(f"*{ASIDE}"):
            place = aside.with_name(aside.name.removesuffix(ASIDE))
            if (place / MANIFEST).exists():
                shutil.rmtree(aside)
            else:
                shutil.rmtree(place, ignore_errors=True)
                os.rename(aside, place)

    def _prune(self, saved: int, pinned: int | None) -> None:
        """Remove all but `saved`, the pinned and the newest good steps; called once `saved` is complete."""
        good = [s for s in self.steps() if s not in self._damaged]
        good = [s for s in good if not problems(self._place(s), read=False)]
        kept = {saved, *good[-self.keep :], *({pinned} & set(good))}
        # First the ledger, then the manifest: a removal that is cut short must not look like damage.
        write_ledger(self.folder, sorted(kept))
        for number in set(self._numbers()) - kept:
            (self.folder / str(number) / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(self.folder / str(number), ignore_errors=True)


def _orbax() -> tuple[Any, Any]:
    """Orbax, slow to import, and that of several processes only the one that calls takes part: it waits for nobody."""
    import orbax.checkpoint as ocp

    rank = jax.process_index() if jax.distributed.is_initialized() else None
    alone = () if rank is None else (rank, {rank}, f"{rank}")
    return ocp, ocp.options.MultiprocessingOptions(*alone)


def _write(folder: Path, step: int, arrays: dict[str, np.ndarray]) -> None:
    ocp, alone = _orbax()
    options = ocp.CheckpointManagerOptions(
        create=False,  # the folder is there
        enable_async_checkpointing=False,
        multiprocessing_options=alone,
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        # weights hardly compress, and trying takes a core from training for a second
        handler = ocp.PyTreeCheckpointHandler(
            use_compression=False, multiprocessing_options=alone
        )
        manager = ocp.CheckpointManager(folder, options=options, item_handlers=handler)
        stack.enter_context(manager)
        # Without `force` Orbax declines, silently, a step older than its newest.
        if not manager.save(step, args=ocp.args.PyTreeSave(arrays), force=True):
            raise OSError("Orbax declined to save it")


def _read(place: Path, tree: Tree) -> dict[str, np.ndarray]:
    """The arrays of a step, after checking that they have the shapes that its manifest gives them."""
    ocp, alone = _orbax()
    with _quiet():
        handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
        reader = ocp.Checkpointer(handler, multiprocessing_options=alone)
    with _quiet(), reader:
        found = reader.metadata(place).item_metadata.tree
        have = {name: (said.shape, str(said.dtype)) for name, said in found.items()}
        if have != stored(tree):
            raise ValueError("its arrays are not those of its manifest")
        return reader.restore(place)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Orbax's log lines, failures' tracebacks among them, off the terminal: we raise instead."""

    def ours(record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname

    logger = logging.getLogger("absl")
    logger.addFilter(ours)
    try:
        yield
    finally:
        logger.removeFilter(ours)
