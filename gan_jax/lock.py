"""One writer per run folder.

The lock is flock's on the file `.lock`: the kernel drops it with its process, however that ends. A file system without
flock gets a file `.writer` instead, made by its one writer: a dead process of this host is succeeded, another host's
cannot be seen, so that its file has to be removed by hand.
"""

import errno
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan_jax.files import naming

_NO_FLOCK = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_MOST = 4096  # bytes of a lock file that are read

_handles: set[int] = set()  # of this process: what is inherited is none
_claims: set[Path] = set()


class FolderInUse(RuntimeError):
    """Another process is writing to the run folder; the message names its host and pid."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raise FolderInUse while another process does, OSError where no file can be made.

    Only this process holds it: a forked child lets go at once, so that one that outlives us blocks nobody.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _handles.add(handle)
    claim = None
    try:
        if not _flock(handle, folder):
            claim = _claim(folder.resolve() / ".writer")
        with naming(path):
            said = _ourselves()
            os.ftruncate(handle, os.pwrite(handle, said, 0))
        yield
    finally:
        if claim in _claims:
            _claims.remove(claim)
            claim.unlink(missing_ok=True)
        if handle in _handles:
            _handles.remove(handle)
            os.close(handle)


def _flock(handle: int, folder: Path) -> bool:
    """Take the kernel's lock; whether there is such a thing here."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderInUse(_refusal(folder, os.pread(handle, _MOST, 0))) from None
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise OSError(error.errno, error.strerror, str(folder / ".lock")) from error
        return False
    return True


def _claim(path: Path) -> Path:
    """Make `.writer` as the only one, in the place of a dead process' one."""
    print(
        f"note: the file system of {path.parent} has no locks; {path.name} in it names this process",
        file=sys.stderr,
    )
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        said = path.read_bytes()[:_MOST]
        if not _dead(_owner(said), path):
            raise FolderInUse(_refusal(path.parent, said) + _removal(path)) from None
        aside = path.with_name(f".writer.{os.getpid()}")
        os.rename(path, aside)
        raced = aside.read_bytes()[:_MOST] != said  # another was quicker than we
        if raced and not path.exists():
            os.rename(aside, path)
        else:
            aside.unlink()
        if raced:
            raise FolderInUse(_refusal(path.parent, b"") + _removal(path)) from None
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    _claims.add(path)
    with naming(path), open(handle, "wb") as file:
        file.write(_ourselves())
    return path


def _dead(owner: dict[str, Any], path: Path) -> bool:
    """Whether a process of this host is certainly gone; an unknown one is not."""
    pid = owner.get("pid")
    if owner.get("host") != socket.gethostname() or type(pid) is not int or pid < 1:
        return False
    if pid == os.getpid():  # in a restarted container numbers come again
        return path not in _claims
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _ourselves() -> bytes:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()


def _owner(data: bytes) -> dict[str, Any]:
    """What a lock file says; {} of one that says nothing sensible."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _refusal(folder: Path, data: bytes) -> str:
    owner = _owner(data)
    pid, host = (
        ascii(owner.get(name, "?")).strip("'")[:80] for name in ("pid", "host")
    )
    return f"{folder} is in use by process {pid} on host {host}; wait for it, stop it, or choose another --workdir"


def _removal(path: Path) -> str:
    return f"; if it is gone: rm {path}"


def _let_go() -> None:
    """Close what a fork has copied: flock belongs to the open file, which the child would keep open."""
    for handle in _handles:
        os.close(handle)
    _handles.clear()
    _claims.clear()


os.register_at_fork(after_in_child=_let_go)
