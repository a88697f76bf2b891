"""Run the program and send it a signal in the middle of the n-th call of one of its functions.

python -m tests.interrupt SIGKILL gan_jax.record:Record.append 3 --config=... --workdir=...
"""

import importlib
import os
import signal
import sys

from gan_jax.cli import main


def strike(kind: str, where: str, count: int) -> None:
    """Replace the function by one that signals this process just before its `count`-th call."""
    module, _, path = where.partition(":")
    owner = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), iter(range(1, 10**9))

    def wrapper(*args, **kwargs):
        if next(calls) == count:
            os.kill(os.getpid(), getattr(signal, kind))
        return original(*args, **kwargs)

    setattr(owner, name, wrapper)


if __name__ == "__main__":
    strike(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
