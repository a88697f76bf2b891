"""Freed memory stays with the process, so that the next dispatch need not fetch it from the system again.

A compiled program takes its temporary memory when it begins and gives it back when it ends. glibc takes large pieces
by mmap and returns them at once, so on a CPU each dispatch pays for zeroed pages anew, thousands a step of DCGAN-64. With
no mmap and no trimming there are next to none. Threads keep arenas of their own: with one for all, as it was here, they
wait for one another, and a step of two small networks took 2.3 times as long.
"""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of <malloc.h>
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask malloc to keep what is freed; whether it will. For the whole process, before its threads begin.

    False where the C library is not glibc, which is then left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER}
    return all(mallopt(name, value) for name, value in settings.items())
