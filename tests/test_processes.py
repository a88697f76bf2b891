"""A whole run over two processes: lost ones are named, the next life goes on, to the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gan_jax import hosts
from gan_jax.cli import main
from tests.test_hosts import DEADLINE, NAMES, free_port
from tests.test_train import RING, ROOT, WATCHED, outcome

WORDS = [*RING, *WATCHED, "--config.steps=100", "--config.scan_steps=4"]


def rows(folder):
    """How many rows a run has written."""
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def together(folder, end=None, words=WORDS):
    """Two processes of two devices train; end: (rank, signal), sent after two new rows. [(code, stderr)] by rank."""
    address, said, processes = f"127.0.0.1:{free_port()}", [], []
    for rank in range(2):
        told = dict(zip(NAMES, (address, "2", str(rank)), strict=True))
        flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
        command = [sys.executable, "launch.py", *words, f"--workdir={folder}"]
        env, pipe = {**os.environ, **told, **flags}, subprocess.PIPE
        processes.append(
            subprocess.Popen(command, cwd=ROOT, env=env, stderr=pipe, text=True)
        )
    try:
        due, deadline = rows(folder) + 2, time.monotonic() + DEADLINE
        while end and processes[0].poll() is None and rows(folder) < due:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if end:
            processes[end[0]].send_signal(end[1])
        for process in processes:
            said.append((process.communicate(timeout=DEADLINE)[1], process.returncode))
    finally:
        for process in processes:
            process.kill()
    return [(code, text) for text, code in said]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an undisturbed run over two processes leaves."""
    folder = tmp_path_factory.mktemp("whole")
    ends = together(folder)
    assert [code for code, _ in ends] == [0, 0], ends
    assert "4 cpu device(s) of 2 processes" in ends[0][1]
    assert ends[1][1] == "", "only the first process speaks"
    return outcome(folder)


def test_lost_and_stopped_processes_and_their_next_lives(whole, tmp_path):
    (code, text), (killed, _) = together(tmp_path, (1, signal.SIGKILL))
    assert (code, killed) == (75, -signal.SIGKILL), text
    assert "process 1 of 2 (pid " in text and "was lost" in text
    assert "restart all of them with the same command" in text
    (code, text), (other, _) = together(tmp_path, (1, signal.SIGTERM))
    assert (code, other) == (75, 75), text
    assert "interrupted at step" in text
    (killed, _), (code, text) = together(tmp_path, (0, signal.SIGKILL))
    assert (killed, code) == (-signal.SIGKILL, 75), text
    assert "process 0 of 2 (pid " in text and "was lost" in text
    ends = together(tmp_path)
    assert [code for code, _ in ends] == [0, 0], ends
    assert outcome(tmp_path) == whole


def test_a_mistake_ends_both_with_its_code(tmp_path):
    (code, text), (other, _) = together(
        tmp_path, words=[*WORDS, "--config.batch_size=6"]
    )
    assert (code, other) == (2, 2)
    assert "batch_size=8" in text


@pytest.mark.parametrize("verb", ["sweep", "sample", "eval"])
def test_only_training_is_shared(verb, monkeypatch, capsys, tmp_path):
    for name, value in zip(NAMES, ("127.0.0.1:1", "2", "0"), strict=True):
        monkeypatch.setenv(name, value)
    assert main([verb, f"--workdir={tmp_path}"]) == 2
    assert (
        f"{verb} runs in one process: unset {hosts.ADDRESS}" in capsys.readouterr().err
    )
