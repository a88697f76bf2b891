"""Files that are whole or not there: a temporary name, fsync, rename. A failure says which file and what to do."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOM = "free space or choose another folder, then give the same command again"
_RIGHTS = "change its rights or choose another folder"
_CURES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit (ulimit -f) or choose another folder, then give the same command again",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file: check the path",
    errno.EISDIR: "a file was expected: check the path",
    errno.EEXIST: "a folder was expected: move that file away or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "the disk fails: copy what is on it, and go on from the copy",
    errno.ESTALE: "the network disk was lost: mount it again, then give the same command again",
}


def explain(error: OSError) -> str:
    """An error of the file system as "PATH: reason; what to do"; one that is not the system's as it is."""
    if error.errno is None:
        return str(error)
    reason = error.strerror or os.strerror(error.errno)
    said = f"{error.filename}: {reason}" if error.filename else reason
    cure = _CURES.get(error.errno)
    return f"{said}; {cure}" if cure else said


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make an OSError name this file: that of a failed write names none, that of a rename the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and on the disk when this returns (temporary file, fsync, rename)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Put a folder's entries (new, renamed, removed names) on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
