"""Two processes of two CPU devices: the same mathematics, and what happens when one of them is lost."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from gan_jax import hosts, meet, parallel
from gan_jax.types import Batch, UserError
from gan_jax.watch import Line
from tests import host
from tests.recipes import parts, tiny

DEADLINE = 120  # seconds that anything may take on a busy machine
NAMES = (hosts.ADDRESS, hosts.COUNT, hosts.RANK)


def free_port():
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


class Two:
    """Two processes that run a task of tests/host.py; `out`, `text` and `code` are by rank."""

    def __init__(self, folder, task, limit, *flags, **extra):
        self.out = [folder / f"{rank}.npz" for rank in range(2)]
        self.said = [folder / f"{rank}.txt" for rank in range(2)]
        address = f"127.0.0.1:{free_port()}"
        self.processes = []
        for rank in range(2):
            told = dict(zip(NAMES, (address, "2", str(rank)), strict=True))
            env = {**os.environ, **told, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
            env["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
            words = [sys.executable, "-m", "tests.host", task, str(self.out[rank])]
            with open(self.said[rank], "wb") as file:
                self.processes.append(
                    subprocess.Popen(
                        [*words, str(limit), *flags],
                        env=env | {k: v.format(rank) for k, v in extra.items()},
                        stdout=file,
                        stderr=file,
                    )
                )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def busy(self):
        """Wait until both are at work."""
        end = time.monotonic() + DEADLINE
        while not all(out.exists() and out.read_text() for out in self.out):
            assert time.monotonic() < end and self.alive(), self.text
            time.sleep(0.05)

    def alive(self):
        return all(process.poll() is None for process in self.processes)

    def code(self, rank):
        return self.processes[rank].wait(DEADLINE)

    @property
    def text(self):
        return [path.read_text() for path in self.said]


def test_two_processes_train_as_one_does_and_say_nothing(tmp_path):
    """Measured: equal to 2e-6 of a leaf's largest number; the two hold the same bytes."""
    with Two(tmp_path, "train", 60, http_proxy="http://127.0.0.1:9") as two:
        host.train(tmp_path / "one.npz")
        assert [two.code(0), two.code(1)] == [0, 0], two.text
    assert two.text == ["", ""]
    assert two.out[0].read_bytes() == two.out[1].read_bytes()
    one, both = np.load(tmp_path / "one.npz"), np.load(two.out[0])
    assert one.files == both.files and one["key"] == both["key"]
    for name in one.files[1:]:
        size = np.abs(one[name]).max()
        np.testing.assert_allclose(both[name], one[name], rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_is_named_at_once(tmp_path, victim):
    with Two(tmp_path, "work", 60) as two:
        two.busy()
        pid = two.processes[victim].pid
        begin = time.monotonic()
        two.processes[victim].kill()
        assert two.code(1 - victim) == 75, two.text
        assert time.monotonic() - begin < 10
    text = two.text[1 - victim]
    assert f"process {victim} of 2 (pid {pid} on {socket.gethostname()})" in text
    assert text.count("\n") == 2 and "was lost" in text and "same command" in text
    assert two.out[1 - victim].with_suffix(".words").read_text() == "finished"


def test_a_process_that_stops_silently_is_lost_after_the_limit(tmp_path):
    with Two(tmp_path, "work", 3) as two:
        two.busy()
        os.kill(two.processes[1].pid, signal.SIGSTOP)
        begin = time.monotonic()
        assert two.code(0) == 75, two.text
        assert 2 < time.monotonic() - begin < 20
        assert "process 1 of 2" in two.text[0] and "silent for 3 s" in two.text[0]
        os.kill(two.processes[1].pid, signal.SIGCONT)
        assert two.code(1) == 75, two.text


def test_facts_agreements_and_shares(tmp_path):
    with Two(tmp_path, "facts", 60) as two:
        assert [two.code(0), two.code(1)] == [75, 75], two.text
    for out in two.out:
        assert "the config of process 1 is not that of process 0" in out.read_text()


@pytest.mark.parametrize("task, code", [("mistake", 2), ("crash", 1)])
def test_an_error_of_one_process_ends_the_other_with_its_code(tmp_path, task, code):
    with Two(tmp_path, task, 60) as two:
        assert [two.code(0), two.code(1)] == [code, code], two.text
    assert f"stopped with exit code {code}: its own message says why" in two.text[0]
    assert ("KeyError: 'a bug'" in two.text[1]) == (task == "crash")


def told(monkeypatch, *values):
    for name, value in zip(NAMES, values, strict=True):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "values, match",
    [
        (("", "2", "0"), "JAX_COORDINATOR_ADDRESS=HOST:PORT JAX_NUM_PROCESSES=2"),
        (("a:1", "", "0"), "set all three"),
        (("a:1", "2", "-1"), "set all three"),
        (("a:1", "two", "0"), "JAX_NUM_PROCESSES=two"),
        (("a", "2", "0"), "set all three"),
        (("a:1", "2", "2"), "numbered from 0"),
        (("a:70000", "2", "1"), "65535"),
        (("127.0.0.1:{}", "2", "1"), "process 0 is not at 127.0.0.1:.*waited 0.2 s"),
        (("127.0.0.1:{}", "3", "0"), "1, 2 did not come in 0.2 s"),
    ],
)
def test_what_join_cannot_use_is_said(monkeypatch, values, match):
    told(monkeypatch, *(v.format(free_port()) for v in values))
    with pytest.raises(UserError, match=match):
        hosts.join(False, seconds=0.2)
    assert hosts.count() == 1


def test_join_does_nothing_for_one_process(monkeypatch):
    hosts.join(False)
    told(monkeypatch, "nowhere:1", "1", "0")
    hosts.join(False)
    hosts.alone("a sweep")
    assert (hosts.count(), hosts.rank(), hosts.leads()) == (1, 0, True)
    assert hosts.agree([3, 4]).tolist() == [[3, 4]]
    assert hosts.share(told) is told and hosts.leave(3) == 3


def test_jax_finds_slurm_and_says_where_it_finds_nothing(monkeypatch):
    with pytest.raises(UserError, match="--distributed.*leave the flag out and set"):
        hosts.join(True)
    slurm = {"JOB_ID": 5, "STEP_NODELIST": "n[1-2]", "NTASKS": 2, "PROCID": 1}
    for name, value in {**slurm, "LOCALID": 0}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    assert hosts._found() == hosts.Place("n1:61445", 2, 1, [0])


def test_a_taken_port_is_said(monkeypatch):
    with socket.create_server(("", 0)) as server:
        told(monkeypatch, f"127.0.0.1:{server.getsockname()[1]}", "2", "0")
        with pytest.raises(UserError, match="cannot listen.*another port"):
            hosts.join(False, seconds=0.2)


@pytest.mark.parametrize("rank, count", [(0, 2), (1, 3), (7, 2)])
def test_one_that_does_not_fit_is_refused_on_both_sides(rank, count):
    port, errors = free_port(), []

    def lead():
        try:
            meet.gather(("", port), 2, DEADLINE, 60.0)
        except UserError as error:
            errors.append(str(error))

    leader = threading.Thread(target=lead, daemon=True)
    leader.start()
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:  # a stranger comes first, and is not heard
        try:
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                stranger.sendall(b"GET / HTTP/1.0\n\n")
                break
        except OSError:
            time.sleep(0.01)
    said = f"came as {rank} of {count} to process 0 of 2"
    with pytest.raises(UserError, match=said):
        meet.come(("127.0.0.1", port), rank, count, DEADLINE, 60.0)
    leader.join(DEADLINE)
    assert re.search(said, errors[0])


@pytest.mark.parametrize(
    "data", [b"x" * 70_000, b"[1]\n", b"\xff\n", b"", b"1" * 9999 + b"\n"]
)
def test_rubbish_on_a_line_is_refused(data):
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = socket.create_connection(server.getsockname())
        line = Line(server.accept()[0])
    with line.socket, there, pytest.raises((ValueError, OSError)):
        there.sendall(data)
        there.shutdown(socket.SHUT_WR)
        for _ in range(9):
            assert line.receive() == []


def test_the_relay_keeps_a_connection_whose_other_side_is_lost():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = meet.relay(server.getsockname())
        with socket.create_connection(("127.0.0.1", port)) as near:
            far, _ = server.accept()
            near.sendall(b"there")
            assert far.recv(9) == b"there"
            far.sendall(b"and back")
            assert near.recv(9) == b"and back"
            far.close()
            near.settimeout(0.2)
            with pytest.raises(TimeoutError):
                near.recv(1)


def test_pmap_is_refused_over_several_processes(monkeypatch):
    monkeypatch.setattr("jax.process_count", lambda: 2)
    table = Batch(np.zeros((8, 4, 4, 1), np.uint8))
    with pytest.raises(UserError, match="parallel=jit"):
        parallel.pmap_runner(*parts(tiny())[:2], table, False)
    told(monkeypatch, "a:1", "2", "0")
    with pytest.raises(UserError, match="a sweep runs in one process"):
        hosts.alone("a sweep")
