"""Memory that was freed is taken again without a page fault."""

import platform
import subprocess
import sys

import pytest

from tests.test_train import ROOT

MIB = 96
FAULTS = f"""
import ctypes, resource, sys
from gan_jax.heap import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def touch():
    begin = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    block = libc.malloc(ctypes.c_size_t({MIB} * 2**20))
    ctypes.memset(block, 1, {MIB} * 2**20)
    libc.free(block)
    found.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - begin)
found = []
for _ in range(3):
    touch()
print(*found)
"""


def faults(way):
    """Page faults of taking, filling and freeing so much memory, three times."""
    command = [sys.executable, "-c", FAULTS, way]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_what_was_freed_is_taken_again_without_faults():
    pages = MIB * 2**20 // 4096
    kept, plain = faults("kept"), faults("plain")
    assert max(kept[1:]) < pages / 100
    assert min(plain[1:]) > pages / 1000  # huge pages are 512 times fewer


def test_another_library_is_left_alone(monkeypatch):
    from gan_jax import heap

    monkeypatch.setattr(heap.platform, "libc_ver", lambda: ("", ""))
    assert not heap.keep_freed_memory()
