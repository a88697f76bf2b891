"""Checkpoints: Orbax writes the arrays; a sha256 manifest, written last, says that they are all there.

`checkpoints/1000/` is an Orbax step with one flat dictionary of host arrays, named by their paths in the state
("players.gen.params.Dense_0.kernel"), and manifest.json beside it. Arrays carry no trace of devices, so any
number of them can resume. Orbax alone restores most flipped bits and other dtypes silently: hence the digests
and the comparison with the target. A step without a manifest is a save that was cut short: it does not count.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from gan_jax.files import sync_folder, write_atomic

MANIFEST = "manifest.json"
ASIDE = ".replaced"  # an older save of a step while the new one is written
ITEM = "default"  # the folder that CheckpointManager gives an unnamed item


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

    def steps(self) -> list[int]:
        """Return the steps that have a manifest, oldest first."""
        return [s for s in self._numbers() if (self._place(s) / MANIFEST).exists()]

    def latest(self) -> int | None:
        """Return the newest step with a manifest that `verify` has not found damaged; None: there is none."""
        return max(set(self.steps()) - self._damaged, default=None)

    def verify(self, step: int) -> list[str]:
        """Read every file of a step and return what is wrong with it, a line a file; [] when it is good."""
        problems = _problems(self._place(step), read=True)
        (self._damaged.add if problems else self._damaged.discard)(step)
        return problems

    def save(self, step: int, state: Any) -> None:
        """Write `state`, a pytree of arrays and typed keys, as `step`; on return it is on the disk.

        A step that exists is replaced; its old files go when the new ones are complete, and so do all but the
        newest `keep` good steps. Raises CheckpointError, leaving the earlier steps as they were.
        """
        arrays, tree = _flatten(state)
        place = self.folder / str(step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tidy()
            if (place / MANIFEST).exists():
                os.rename(place, self.folder / f"{step}{ASIDE}")
            shutil.rmtree(place, ignore_errors=True)
            _write(self.folder, step, arrays)
            _write_manifest(place, step, tree)
        except Exception as error:
            if not (place / MANIFEST).exists():
                shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._tidy()
            raise CheckpointError(
                f"step {step} could not be saved in {self.folder}: {_brief(error)}; free space or choose "
                f"another --workdir, then resume; good steps: {self.steps() or 'none'}"
            ) from error
        self._damaged.discard(step)
        self._tidy()
        self._prune(step)

    def restore(self, step: int | None, target: Any) -> Any:
        """Return the state of `step` in the structure of `target` (concrete or `jax.eval_shape` of one).

        Leaves are NumPy arrays, typed keys are keys. None takes the newest good step, with a line on stderr for
        each newer one that is damaged or incomplete. Raises CheckpointError when the files are damaged, when
        nothing good is there, or when structure, shape or dtype differ from the target.
        """
        if step is not None:
            if problems := "; ".join(self.verify(step)):
                raise CheckpointError(f"step {step}: {problems}; steps: {self.steps()}")
            return self._load(step, target)
        found = []
        for candidate in reversed(self._numbers()):
            problems = self.verify(candidate)
            if not problems:
                for line in found:
                    print(f"WARNING: using step {candidate}: {line}", file=sys.stderr)
                return self._load(candidate, target)
            more = f" and {len(problems) - 1} more" if problems[1:] else ""
            found.append(f"step {candidate} is damaged: {problems[0]}{more}")
        if not self.steps():
            raise CheckpointError(f"no checkpoint in {self.folder}: train first")
        advice = "put the files back from a copy or choose a new --workdir"
        raise CheckpointError(f"{self.folder}: {'; '.join(found)}; {advice}")

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

    def _tidy(self) -> None:
        """Finish what a kill or a failure cut short: temporary folders, replacements."""
        for folder in self.folder.glob(f"*{ocp.utils.TMP_DIR_SUFFIX}*"):
            shutil.rmtree(folder)
        for aside in self.folder.glob(f"*{ASIDE}"):
            place = aside.with_name(aside.name.removesuffix(ASIDE))
            if (place / MANIFEST).exists():
                shutil.rmtree(aside)
            else:
                shutil.rmtree(place, ignore_errors=True)
                os.rename(aside, place)

    def _prune(self, saved: int) -> None:
        """Remove all but `saved`, the pinned and the newest good steps; called once `saved` is complete."""
        good = [s for s in self.steps() if s not in self._damaged]
        good = [s for s in good if not _problems(self._place(s), read=False)]
        for number in set(self._numbers()) - {saved, self.pinned, *good[-self.keep :]}:
            # First the manifest: a removal that is cut short must not look like damage.
            (self.folder / str(number) / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(self.folder / str(number), ignore_errors=True)

    def _load(self, step: int, target: Any) -> Any:
        place = self._place(step)
        tree = _read_manifest(place)["tree"]
        if difference := _difference(tree, target):
            advice = (
                "resume with the configuration that wrote it or choose a new --workdir"
            )
            raise CheckpointError(f"{place} does not fit: {difference}; {advice}")
        try:
            with _quiet(), ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
                arrays = reader.restore(place / ITEM)
        except Exception as error:
            raise CheckpointError(f"{place} is unreadable: {_brief(error)}") from error
        leaves = [_leaf(arrays.get(name), **tree[name]) for name, _ in _named(target)]
        return jax.tree.unflatten(jax.tree.structure(target), leaves)


def _named(tree: Any) -> list[tuple[str, Any]]:
    """Return (path, leaf) of every leaf, paths as "players.gen.params.kernel"."""
    pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = [(jax.tree_util.keystr(p, simple=True, separator="."), x) for p, x in pairs]
    if len(dict(named)) != len(named):
        raise ValueError("two leaves of the state have the same path")
    return named


def _describe(leaf: Any) -> tuple[str, list[int]]:
    leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return str(leaf.dtype), list(leaf.shape)


def _flatten(state: Any) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """Return the arrays on the host by path, and what each leaf is: dtype, shape, key implementation."""
    leaves, tree = dict(_named(state)), {}
    for name, leaf in leaves.items():
        dtype, shape = _describe(leaf)
        if dtype == "object":
            raise ValueError(f"leaf {name} of the state is not an array: {leaf!r:.80}")
        tree[name] = {"dtype": dtype, "shape": shape}
        if dtype.startswith("key<"):
            tree[name]["impl"] = str(jax.random.key_impl(leaf))
            leaves[name] = jax.random.key_data(leaf)
    host = jax.device_get(leaves)
    # Orbax refuses arrays without elements; `_leaf` makes them from their description.
    return {n: np.asarray(x, order="C") for n, x in host.items() if np.size(x)}, tree


def _leaf(array: Any, dtype: str, shape: list[int], impl: str = "") -> Any:
    if impl:
        return jax.random.wrap_key_data(array, impl=impl)
    return np.zeros(shape, dtype) if array is None else array


def _difference(tree: dict[str, dict[str, Any]], target: Any) -> str:
    """Say where a saved tree and the target differ first; "" when they agree."""
    have = {name: f"{said['dtype']}{said['shape']}" for name, said in tree.items()}
    want = {name: "{}{}".format(*_describe(leaf)) for name, leaf in _named(target)}
    wrong = [name for name in {**want, **have} if have.get(name) != want.get(name)]
    if not wrong:
        return ""
    saved, here = have.get(wrong[0], "absent"), want.get(wrong[0], "absent")
    more = f" ({len(wrong) - 1} more differ)" if wrong[1:] else ""
    return f"{wrong[0]} is {saved} in the checkpoint and {here} here{more}"


def _write(folder: Path, step: int, arrays: dict[str, np.ndarray]) -> None:
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False)
    with _quiet(), ocp.CheckpointManager(folder, options=options) as manager:
        # Without `force` Orbax declines, silently, a step older than its newest.
        if not manager.save(step, args=ocp.args.StandardSave(arrays), force=True):
            raise OSError("Orbax declined to save it")


def _write_manifest(place: Path, step: int, tree: dict[str, dict[str, Any]]) -> None:
    """Put every file of the step on the disk, then the manifest that makes the step count."""
    files = {}
    for path in sorted(place.rglob("*")):
        if path.is_dir():
            sync_folder(path)
            continue
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(place).as_posix()
        files[name] = {"size": path.stat().st_size, "sha256": digest}
    body = {"step": step, "files": files, "tree": tree}
    text = json.dumps({**body, "sha256": _seal(body)}, indent=1)
    write_atomic(place / MANIFEST, text.encode())
    sync_folder(place.parent)


def _read_manifest(place: Path) -> dict[str, Any]:
    body = json.loads((place / MANIFEST).read_bytes())
    if not isinstance(body, dict) or body.pop("sha256", None) != _seal(body):
        raise ValueError("differs from its own sha256")
    return body


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _problems(place: Path, read: bool) -> list[str]:
    """Compare a step's files with its manifest: sizes, and with `read` their sha256."""
    if not place.is_dir():
        return [f"{place} does not exist"]
    try:
        files = _read_manifest(place)["files"]
    except FileNotFoundError:
        return [f"{place / MANIFEST} is missing (the save was cut short)"]
    except (OSError, ValueError) as error:
        return [f"{place / MANIFEST} is damaged ({_brief(error)})"]
    found = (_problem(place / name, said, read) for name, said in files.items())
    return [problem for problem in found if problem]


def _problem(path: Path, said: dict[str, Any], read: bool) -> str:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != said["size"]:
                return f"{path} has {size} bytes instead of {said['size']}"
            if (
                read
                and hashlib.file_digest(file, "sha256").hexdigest() != said["sha256"]
            ):
                return f"{path} differs from its sha256"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({_brief(error)})"
    return ""


def _brief(error: Exception) -> str:
    """Return the first line of an error: Orbax's go on for thousands."""
    return (str(error).strip() or repr(error)).splitlines()[0][:300]


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
