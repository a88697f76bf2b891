"""One writer per run folder."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FolderInUse(RuntimeError):
    """Another process is writing to the run folder; the message names its host and pid."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raise FolderInUse while another process does.

    The kernel drops the lock with its process, however that ends, so a dead writer never blocks a restart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = json.loads(file.read() or "{}")
            raise FolderInUse(
                f"{folder} is in use by process {owner.get('pid', '?')} on host "
                f"{owner.get('host', '?')}; wait for it, stop it, or choose another --workdir"
            ) from None
        file.seek(0)
        file.truncate()
        json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
        file.flush()
        yield
