"""One writer per folder: who holds it is named, the dead block nobody, rubbish in the file is no crash."""

import errno
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gan_jax import lock
from gan_jax.lock import FolderInUse, locked

ROOT = Path(__file__).parents[1]
HOST = socket.gethostname()
HOLDER = """
import os, sys
from pathlib import Path
from gan_jax.lock import locked
with locked(Path(sys.argv[1])):
    {more}
    print("held", flush=True)
    sys.stdin.read()
"""
BARREN = """
import fcntl
def none(*_): raise OSError(95, "no locks here")
fcntl.flock = none
"""


def holder(folder, more="pass", before=""):
    """A process that holds the folder's lock until its standard input ends."""
    made = subprocess.Popen(
        [sys.executable, "-c", before + HOLDER.format(more=more), str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert made.stdout.readline() == "held\n"
    return made


def end(process, kind=signal.SIGKILL):
    process.send_signal(kind)
    process.communicate(timeout=60)


def barren(monkeypatch, number=errno.EOPNOTSUPP):
    """A file system without flock."""

    def none(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)


@pytest.mark.parametrize("before", ["", BARREN], ids=["flock", "no flock"])
def test_the_owner_is_named_and_a_killed_one_blocks_nobody(
    before, tmp_path, monkeypatch
):
    if before:
        barren(monkeypatch)
    for _ in range(3):
        owner = holder(tmp_path, before=before)
        try:
            said = f"in use by process {owner.pid} on host {HOST}"
            with pytest.raises(FolderInUse, match=said), locked(tmp_path):
                pass
        finally:
            end(owner)
        with locked(tmp_path):
            body = json.loads((tmp_path / ".lock").read_bytes())
            assert body == {"host": HOST, "pid": os.getpid()}
    assert not (tmp_path / ".writer").exists()


@pytest.mark.parametrize("flock", [True, False])
def test_it_is_held_once_in_a_process_and_free_afterwards(flock, tmp_path, monkeypatch):
    if not flock:
        barren(monkeypatch)
    for _ in range(2):
        with locked(tmp_path):
            said = f"process {os.getpid()} on host {HOST}"
            with pytest.raises(FolderInUse, match=said), locked(tmp_path):
                pass
            with pytest.raises(FolderInUse), locked(tmp_path):
                pass
        with pytest.raises(RuntimeError, match="of the run"), locked(tmp_path):
            raise RuntimeError("of the run")


RUBBISH = {
    "empty": b"",
    "half": b'{"host": "a", "pi',
    "binary": bytes(range(256)),
    "list": b"[1]",
    "number": b"7",
    "deep": b"[" * 10**6,
    "other types": b'{"host": [1], "pid": {"a": 2}}',
    "long": b'{"host": "' + b"x" * 10**6 + b'", "pid": 1}',
    "lines": b'{"host": "a\\nb", "pid": "1"}',
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_in_the_lock_file_is_no_crash(kind, tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    path.write_bytes(RUBBISH[kind])
    with locked(tmp_path):
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
        path.write_bytes(RUBBISH[kind])
        with pytest.raises(FolderInUse, match=r"is in use by process .* on host") as no:
            locked(tmp_path).__enter__()
        assert len(str(no.value)) < 500 and "\n" not in str(no.value)
    barren(monkeypatch)
    (tmp_path / ".writer").write_bytes(RUBBISH[kind])
    with pytest.raises(FolderInUse, match="if it is gone: rm ") as no:
        locked(tmp_path).__enter__()
    assert len(str(no.value)) < 700
    assert (tmp_path / ".writer").read_bytes() == RUBBISH[kind], "not ours to remove"


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]
)
def test_without_flock_a_file_names_the_writer(number, tmp_path, monkeypatch, capfd):
    barren(monkeypatch, number)
    with locked(tmp_path):
        said = json.loads((tmp_path / ".writer").read_bytes())
        assert said == {"host": HOST, "pid": os.getpid()}
        text = capfd.readouterr().err
        assert "has no locks" in text and text.count("\n") == 1
    assert not (tmp_path / ".writer").exists()


def test_without_flock_another_hosts_writer_is_named_with_its_removal(
    tmp_path, monkeypatch
):
    barren(monkeypatch)
    path = tmp_path / ".writer"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 2**22 + 1}))
    said = f"process {2**22 + 1} on host elsewhere.*if it is gone: rm {path}"
    with pytest.raises(FolderInUse, match=said), locked(tmp_path):
        pass
    path.unlink()
    with locked(tmp_path):
        assert path.exists()


def test_without_flock_our_own_number_of_an_earlier_life_is_dead(tmp_path, monkeypatch):
    barren(monkeypatch)  # a restarted container: same host name, same number
    (tmp_path / ".writer").write_text(json.dumps({"host": HOST, "pid": os.getpid()}))
    with locked(tmp_path):
        pass


def test_without_flock_the_slower_of_two_successors_leaves_the_quicker_its_file(
    tmp_path, monkeypatch
):
    barren(monkeypatch)
    path = tmp_path / ".writer"
    path.write_text(json.dumps({"host": HOST, "pid": 2**22 + 1}))
    quicker = json.dumps({"host": HOST, "pid": os.getppid()})
    dead = lock._dead

    def slow(*what):
        found = dead(*what)
        path.write_text(quicker)
        return found

    monkeypatch.setattr(lock, "_dead", slow)
    with pytest.raises(FolderInUse), locked(tmp_path):
        pass
    assert path.read_text() == quicker
    assert sorted(os.listdir(tmp_path)) == [".lock", ".writer"]


def test_another_failure_of_flock_names_the_file(tmp_path, monkeypatch):
    barren(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=r"\.lock") as error, locked(tmp_path):
        pass
    assert error.value.errno == errno.EIO


@pytest.mark.parametrize("kind", ["a folder", "no folder can be made"])
def test_a_lock_that_cannot_be_made_names_its_path(kind, tmp_path):
    folder = tmp_path / "run"
    if kind == "a folder":
        (folder / ".lock").mkdir(parents=True)
    else:
        folder.write_text("a file")
    with pytest.raises(OSError, match="run") as error, locked(folder):
        pass
    assert str(folder) in error.value.filename


def test_a_forked_child_that_outlives_the_run_holds_nothing(tmp_path):
    # "held" is said once the child runs
    fork = """
    ends = os.pipe()
    if not os.fork():
        os.write(ends[1], b"x")
        sys.stdin.read()
        os._exit(0)
    os.read(ends[0], 1)"""
    owner = holder(tmp_path, fork)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait(timeout=60)
    # its pipe is still open at the child's end, so the child lives
    assert not select.select([owner.stdout], [], [], 0)[0]
    with locked(tmp_path):
        pass
    owner.communicate(timeout=60)


def test_a_started_program_does_not_inherit_it(tmp_path):
    with locked(tmp_path):
        sleeper = subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
        )
    with locked(tmp_path):
        assert sleeper.poll() is None
    sleeper.communicate(timeout=60)


def test_a_child_that_leaves_the_block_leaves_the_parents_lock(tmp_path):
    leave = "child = os.fork()\n    if not child: sys.exit(0)\n    os.waitpid(child, 0)"
    for before in ("", BARREN):
        owner = holder(tmp_path, leave, before)
        assert (tmp_path / ".writer").exists() == bool(before)
        if not before:
            with pytest.raises(FolderInUse), locked(tmp_path):
                pass
        end(owner)
