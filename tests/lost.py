"""Run a sweep on Ray whose third group loses its worker once, in the middle.

python -m tests.lost MARKER sweep --engine=ray ...: the worker that makes the file MARKER is killed.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

from gan_jax import sweep
from gan_jax.cli import main
from gan_jax.group import train_group

GROUP, DISPATCH = 2, 4


def struck(marker, task, stop):
    """train_group, but the first worker on group 2 dies before its fourth chunk."""
    from gan_jax.herd import Herd

    original, calls = Herd.dispatch, iter(range(1, 10**9))

    def dispatch(herd):
        if task.number == GROUP and next(calls) == DISPATCH:
            try:
                marker.touch(exist_ok=False)
            except FileExistsError:
                return original(herd)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(herd)

    Herd.dispatch = dispatch
    try:
        return train_group(task, stop)
    finally:
        Herd.dispatch = original


if __name__ == "__main__":
    sweep.train_group = partial(struck, Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
