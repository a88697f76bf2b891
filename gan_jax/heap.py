"""Freed memory stays with the process, so that the next dispatch need not fetch it from the system again.

A compiled program takes its temporary memory when it begins and gives it back when it ends. glibc takes large pieces
by mmap and returns them at once, so on a CPU each dispatch pays for zeroed pages anew. With no mmap and no trimming it
keeps what its main thread and small networks take. A thread's pieces of 64 MB or more are always mmapped, and
only huge pages help: of a step of DCGAN-64 at batch 64, 90,000 faults become 240, which is 14 to 23 % of its
time on one core.
One arena for all threads would keep such pieces, too, but then threads wait for one another: a step of two small networks
took 2.3 times as long.
"""

import ctypes
import os
import platform
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of <malloc.h>
_NEVER = 2**31 - 1
_TUNABLES, _HUGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
_WATCHERS = {"pdb", "pydevd", "debugpy"}  # would lose a program that begins again


def keep_freed_memory() -> bool:
    """Ask malloc to keep what is freed; whether it will. For the whole process, before its threads begin.

    False where the C library is not glibc, which is then left alone.
    """
    if not _glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER}
    return all(mallopt(name, value) for name, value in settings.items())


def with_huge_pages(env: dict[str, str]) -> dict[str, str]:
    """The environment of a process whose malloc asks for huge pages, unless it says already which it takes.

    glibc reads it at a process's start and from 2.35 on; an older one passes over it.
    """
    told = env.get(_TUNABLES, "")
    if not _glibc() or _HUGE in told:
        return env
    return {**env, _TUNABLES: f"{told}:{_HUGE}=1".lstrip(":")}


def begin_again() -> None:
    """Begin this process anew (same number, same words) where its malloc does not ask for huge pages yet.

    Goes on as it is where there are none, beside a debugger, and where the system refuses.
    """
    env = with_huge_pages(dict(os.environ))
    if env == os.environ or not sys.executable or _WATCHERS & sys.modules.keys():
        return
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)
    except OSError:
        return


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
