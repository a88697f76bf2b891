"""How a signal reaches a loop: as a flag that it looks at."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Set by the first SIGTERM or Ctrl-C; a second one acts at once."""

    def __init__(self) -> None:
        """Nothing asked yet."""
        self.requested = False

    def request(self, *_: Any) -> None:
        """Signal handler."""
        self.requested = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Turn SIGTERM and SIGINT into a flag while the loop runs."""
    stop = Stop()
    before = [signal.signal(kind, stop.request) for kind in SIGNALS]
    try:
        yield stop
    finally:
        for kind, handler in zip(SIGNALS, before, strict=True):
            signal.signal(kind, handler)
