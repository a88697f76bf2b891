"""Freed memory stays with the process, so that the next dispatch need not fetch it from the system again.

A compiled program takes its temporary memory when it begins and gives it back when it ends. glibc takes large pieces
for threads by mmap and returns them at once, so on a CPU each dispatch pays for zeroed pages anew: of a step of DCGAN-64
at batch 64, 74,000 page faults for 300 MB, a quarter of a second of system time in 1.8 s. With one arena, no mmap and no
trimming there are none. Beside an accelerator steps take no memory of the host's, and malloc is left
alone: all threads that compile for it would share the one arena.
"""

import ctypes
import os
import platform
from glob import glob

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of <malloc.h>
_NEVER = 2**31 - 1
_ACCELERATORS = "/dev/nvidia[0-9]*", "/dev/kfd", "/dev/accel*", "/dev/vfio/[0-9]*"


def keep_freed_memory() -> bool:
    """Ask malloc to keep what is freed; whether it will. For the whole process, before its threads begin.

    False where the C library is not glibc or the machine has an accelerator (unless JAX_PLATFORMS is cpu): nothing is asked.
    """
    if platform.libc_ver()[0] != "glibc" or _accelerated():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {_ARENA_MAX: 1, _MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER}
    return all(mallopt(name, value) for name, value in settings.items())


def _accelerated() -> bool:
    """Whether JAX may find something faster than the CPU, told without starting JAX."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    return any(glob(pattern) for pattern in _ACCELERATORS)
