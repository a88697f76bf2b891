"""The progress line and bar."""

import io
import sys

import jax.numpy as jnp
import numpy as np

from gan_jax.progress import Progress


def test_plain_lines_now_and_then(capsys):
    now = [1000.0]
    progress = Progress(total=1000, start=100, clock=lambda: now[0])
    for step in range(110, 1001, 10):  # 10 steps a second
        now[0] += 1
        progress.update(step, np.float32(1.386294), jnp.float32(0.5), 640.4)
    progress.close()
    out, err = capsys.readouterr()
    shown = err.splitlines()
    first = "step 160/1000, 10 steps/s, 1.4 min left, 640 images/s, loss D 1.386 G 0.5"
    assert out == "" and shown[0] == first
    at = [line.split("/")[0] for line in shown]
    assert at == ["step 160", "step 460", "step 760"]


def test_compiling_does_not_count(capsys):
    now = [0.0]
    progress = Progress(total=100, clock=lambda: now[0])
    now[0] = 60.0  # the first step comes after a minute
    progress.update(1, 0.0, 0.0, 0.0)
    now[0] = 70.0
    progress.update(11, float("nan"), 0.0, 0.0)
    assert "1 steps/s, 1.5 min left" in capsys.readouterr().err


def test_a_bar_on_a_terminal(monkeypatch):
    import threading

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    threads = threading.active_count()
    progress = Progress(total=100, start=40)
    progress.update(50, 1.0, 1.0, 640.0)
    progress.update(70, 1.5, 0.25, 640.0)
    assert threading.active_count() == threads
    progress.close()
    progress.close()
    last = terminal.getvalue().split("\r")[-1]
    assert "70/100" in last and "640 images/s, loss D 1.5 G 0.25" in last
