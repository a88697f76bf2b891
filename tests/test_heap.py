"""Memory that was freed is taken again without a page fault, or with few of huge pages."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from gan_jax import heap
from tests.test_train import ROOT

MIB = 96
FAULTS = f"""
import ctypes, resource, sys, threading
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
    if sys.argv[2] == "thread":
        thread = threading.Thread(target=touch)
        thread.start()
        thread.join()
    else:
        touch()
print(*found)
"""
THERE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc")


def faults(way, where="main", env=None):
    """Page faults of taking, filling and freeing so much memory, three times."""
    command = [sys.executable, "-c", FAULTS, way, where]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=env
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@GLIBC
def test_what_was_freed_is_taken_again_without_faults():
    pages = MIB * 2**20 // 4096
    kept, plain = faults("kept"), faults("plain")
    assert max(kept[1:]) < pages / 100
    assert min(plain[1:]) > pages / 1000  # huge pages are 512 times fewer


@GLIBC
@pytest.mark.skipif(
    not THERE.is_file() or "[never]" in THERE.read_text(), reason="no huge pages here"
)
def test_a_threads_large_pieces_are_of_huge_pages():
    env = heap.with_huge_pages({})
    assert max(faults("kept", "thread", env)) < MIB * 2**20 // 4096 / 20


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(heap.platform, "libc_ver", lambda: ("", ""))
    assert not heap.keep_freed_memory()
    assert heap.with_huge_pages({"A": "b"}) == {"A": "b"}


@GLIBC
def test_what_the_user_says_of_malloc_is_kept():
    name, huge = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
    assert heap.with_huge_pages({}) == {name: huge}
    other = "glibc.malloc.arena_max=3"
    assert heap.with_huge_pages({name: other}) == {name: f"{other}:{huge}"}
    for own in "glibc.malloc.hugetlb=0", f"{other}:glibc.malloc.hugetlb=2":
        assert heap.with_huge_pages({name: own}) == {name: own}


BEGINS = """
import os, sys
if {watched}:
    import pdb
from gan_jax.heap import begin_again
print("begun", os.getpid(), flush=True)
begin_again()
print(os.environ.get("GLIBC_TUNABLES"), *sys.argv[1:], *sys.warnoptions, flush=True)
"""


def begun(folder, watched=False, **env):
    """What a program of two words says that begins again, by line, and its process's number."""
    path = folder / "begins.py"
    path.write_text(BEGINS.format(watched=watched))
    kept = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    env = {**kept, "PYTHONPATH": str(ROOT), **env}
    command = [sys.executable, "-W", "error", path, "--a=b c", "d"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        told = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    return told, f"begun {process.pid}"


@GLIBC
def test_a_program_begins_again_once_as_it_was(tmp_path):
    huge = "glibc.malloc.hugetlb=1"
    told, begins = begun(tmp_path)
    assert told == [begins, begins, f"{huge} --a=b c d error"]
    told, begins = begun(tmp_path, GLIBC_TUNABLES=huge)
    assert told == [begins, f"{huge} --a=b c d error"]
    told, begins = begun(tmp_path, watched=True)
    assert told == [begins, "None --a=b c d error"]


def test_a_system_that_refuses_is_gone_on_in(monkeypatch):
    asked = []

    def refuse(*words):
        asked.append(words)
        raise PermissionError

    monkeypatch.setattr(heap, "_WATCHERS", set())
    monkeypatch.setattr(heap.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(heap.os, "execve", refuse)
    heap.begin_again()
    assert len(asked) == 1
