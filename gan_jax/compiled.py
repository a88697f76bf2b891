"""Compiled programs kept in the user's cache folder: a second start of the same programs compiles nothing.

JAX keeps programs itself when it is told where (JAX_COMPILATION_CACHE_DIR), and is then left alone. Its own store writes
entries in place, so a kill leaves half of one, which it warns of and never mends; and it needs a further package to be
bounded. The store here differs in that only.
"""

import contextlib
import hashlib
import os
import platform
import tempfile
from pathlib import Path

import jax
from jax._src import compilation_cache  # it has no public name

from gan_jax.data.cache import root

LIMIT = 2 * 2**30  # bytes of a folder; what was not used for longest goes first
_DIGEST = hashlib.sha256().digest_size


class Store:
    """Programs by JAX's key: a file each, its sha256 before it. Many processes and threads may share a folder.

    Whatever fails is a program that is compiled again, never an error.
    """

    def __init__(self, folder: Path, limit: int = LIMIT):
        """Touch nothing yet."""
        self._path, self.limit = folder, limit

    def get(self, key: str) -> bytes | None:
        """The program; None where there is none, or a damaged one."""
        path = self._path / key
        try:
            data = path.read_bytes()
            os.utime(path)  # used now
        except OSError:
            return None
        value = data[_DIGEST:]
        return value if hashlib.sha256(value).digest() == data[:_DIGEST] else None

    def put(self, key: str, value: bytes) -> None:
        """Keep a program, in place of a damaged one too: whole, or not at all."""
        with contextlib.suppress(OSError):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.trim(self.limit - _DIGEST - len(value))
            handle, part = tempfile.mkstemp(dir=self._path, prefix=".")
            try:
                with open(handle, "wb") as file:
                    file.write(hashlib.sha256(value).digest() + value)
                os.replace(part, self._path / key)
            except OSError:
                os.unlink(part)

    def trim(self, limit: int) -> None:
        """Remove the files that were not used for longest, until the others take no more than `limit` bytes."""
        found = []
        for path in self._path.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                said = path.stat()
                found.append((said.st_mtime, said.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= limit:
                return
            path.unlink(missing_ok=True)
            total -= size


def machine() -> str:
    """A name for the kind of machine: programs for a CPU use its instructions, and are divided over its cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = [f"model name {platform.processor()} {platform.node()}"]
    kinds = "model name", "flags", "Features", "CPU part"  # the last two of ARM
    said = sorted({line for line in lines if line.startswith(kinds)})
    cores = getattr(os, "sched_getaffinity", lambda _: ())(0) or range(os.cpu_count())
    what = "\n".join([platform.machine(), str(len(cores)), *said])
    return f"{platform.machine()}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"


def keep_compiled() -> None:
    """Keep what this process compiles, small programs too, unless the user says where: call it before the first array.

    JAX_ENABLE_COMPILATION_CACHE=0 switches it off.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return
    with contextlib.suppress(RuntimeError):  # no home
        compilation_cache._cache = Store(root("") / "compiled" / machine())
        # also what compiles in less than a second, the whole step of a small network among it
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
