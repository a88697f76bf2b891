"""A run in several lives: processes that are forked from one that has imported the program, and end as told.

python -m tests.lives < plan.json: a list of [words, END] -> a list of [exit code, stderr, newest complete step].
END: null; ["SIGKILL", "module:function", n], just before the n-th call; ["kill", "start" or "row", seconds], kill -9
from outside so long after the process started, or after it wrote its first new row.
"""

import json
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import PIL.Image  # noqa: F401  imported here once, not in each life
import tensorboardX  # noqa: F401

from gan_jax.checkpoint import Checkpoints
from gan_jax.cli import main
from tests.interrupt import strike

warnings.simplefilter(
    "ignore"
)  # of forking a process that has threads: jax is only imported here


def live(words, end, errors):
    """In the child: run the program to its end."""
    os.dup2(errors, 2)
    if end and end[0] != "kill":
        strike(*end)
    code = 1
    try:
        code = main(words)
    finally:
        sys.stderr.flush()
        os._exit(code)


def folder_of(words):
    """The workdir of a command line."""
    (folder,) = (w.partition("=")[2] for w in words if w.startswith("--workdir="))
    return Path(folder)


def rows_of(words):
    """Size of the run's metrics.jsonl in bytes."""
    path = folder_of(words) / "metrics.jsonl"
    return path.stat().st_size if path.exists() else 0


def killed(child, words, since, seconds):
    """Kill the child when its time has come; its status, which is its own if it was earlier."""
    begin, size = time.monotonic(), rows_of(words)
    due = begin + seconds if since == "start" else None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        now = time.monotonic()
        if due is None and rows_of(words) > size:
            due = now + seconds
        elif due is None:
            size = min(size, rows_of(words))  # a resumed run cuts what is later
        elif now >= due:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.001)


def lived(words, end):
    """Fork, wait, and tell how it ended: (exit code, stderr, newest complete step)."""
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if not child:
            live(words, end, errors.fileno())
        if end and end[0] == "kill":
            status = killed(child, words, *end[1:])
        else:
            status = os.waitpid(child, 0)[1]
        errors.seek(0)
        code, text = os.waitstatus_to_exitcode(status), errors.read().decode()
        return code, text, Checkpoints(folder_of(words) / "checkpoints").latest()


if __name__ == "__main__":
    print(json.dumps([lived(words, end) for words, end in json.load(sys.stdin)]))
