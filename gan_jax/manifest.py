"""What says that a checkpoint is complete: a manifest of sha256 digests in it, and a ledger of all of them.

The manifest is the last file of a step: a step without one is a save that was cut short and does not count. The
ledger lists the complete steps, so that a step that vanished, or lost its manifest, is known to be missing.
"""

import hashlib
import json
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from gan_jax.files import sync_folder, write_atomic

MANIFEST = "manifest.json"
LEDGER = "complete.json"
LARGEST = 64 * 2**20  # bytes of a manifest; thousands of arrays take less than one


def write_manifest(place: Path, step: int, tree: dict[str, Any]) -> None:
    """Put every file of a step on the disk, then the manifest that makes the step count."""
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
    _write(place / MANIFEST, {"step": step, "files": files, "tree": tree})
    sync_folder(place.parent)


def read_tree(place: Path) -> dict[str, dict[str, Any]]:
    """What each array of a step is, by its name; call `problems` first."""
    return _read(place / MANIFEST)["tree"]


def problems(place: Path, read: bool) -> list[str]:
    """Compare a step's files with its manifest: sizes, and with `read` their sha256; a line a file, [] when good."""
    if not place.is_dir():
        return [f"{place} does not exist"]
    path = place / MANIFEST
    try:
        files = _read(path)["files"]
        return [line for name in files if (line := _problem(place, name, files, read))]
    except FileNotFoundError:
        return [f"{path} is missing"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        return [f"{path} is damaged ({brief(error)})"]


def write_ledger(folder: Path, steps: list[int]) -> None:
    """Write which steps of a folder are complete; what a kill left of an earlier attempt goes."""
    for left in folder.glob(f".{LEDGER}.*.tmp"):
        left.unlink()
    _write(folder / LEDGER, {"complete": steps})


def read_ledger(folder: Path) -> tuple[list[int], list[str]]:
    """The steps that were complete when the last one was saved, and what is wrong with the list itself."""
    path = folder / LEDGER
    try:
        return [int(step) for step in _read(path)["complete"]], []
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        return [], [
            f"{path} is damaged ({brief(error)}), so newer steps may have been here"
        ]


def brief(error: BaseException) -> str:
    """The first line of an error: Orbax's go on for thousands."""
    return (str(error).strip() or repr(error)).splitlines()[0][:300]


def _problem(place: Path, name: str, files: dict[str, Any], read: bool) -> str:
    path, said = place / name, files[name]
    parts = PurePosixPath(name).parts
    if ".." in parts or name.startswith("/"):
        raise ValueError(f"it names {name!r}, outside the checkpoint")
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return f"{path} is no ordinary file"
        if found.st_size != said["size"]:
            return f"{path} has {found.st_size} bytes instead of {said['size']}"
        if read:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != said["sha256"]:
                return f"{path} differs from its sha256"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({brief(error)})"
    return ""


def _write(path: Path, body: dict[str, Any]) -> None:
    write_atomic(path, json.dumps({**body, "sha256": _seal(body)}, indent=1).encode())


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST:,} bytes")
    body = json.loads(path.read_bytes())
    if not isinstance(body, dict) or body.pop("sha256", None) != _seal(body):
        raise ValueError("differs from its own sha256")
    return body


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
