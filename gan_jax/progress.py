"""How far a run is, for the person at the terminal."""

import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

FIRST_LINE, LINE_EVERY = 5.0, 30.0  # seconds, where stderr is not a terminal


def say(text: str) -> None:
    """A line on stderr, above the bar if there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


class Progress:
    """A bar on stderr when that is a terminal, else a plain line now and then."""

    def __init__(
        self, total: int, start: int = 0, clock: Callable[[], float] = time.monotonic
    ):
        """Count from step `start` to `total`; `clock()` gives seconds. Time runs from the first update on."""
        self.total, self.clock = total, clock
        self.step, self.time, self.next_line = start, 0.0, 0.0
        self.bar: Any = None
        self.begun = False

    def begin(self, step: int) -> None:
        """Start the clock: what came before the first update was compiling."""
        self.begun, self.step, self.time = True, step, self.clock()
        self.next_line = self.time + FIRST_LINE
        if sys.stderr.isatty():
            tqdm.monitor_interval = 0  # no watcher thread left behind
            self.bar = tqdm(
                total=self.total, initial=step, unit=" steps", dynamic_ncols=True
            )

    def update(
        self, step: int, loss_disc: Any, loss_gen: Any, images_per_s: Any
    ) -> None:
        """Report that `step` iterations are done, with that step's losses."""
        if not self.begun:
            self.begin(step)
        speed = f"{float(images_per_s):.0f} images/s"
        numbers = f"{speed}, loss D {float(loss_disc):.4g} G {float(loss_gen):.4g}"
        if self.bar is not None:
            self.bar.set_postfix_str(numbers, refresh=False)
            self.bar.update(step - self.bar.n)
        elif self.clock() >= self.next_line:
            self.line(step, numbers)

    def line(self, step: int, numbers: str) -> None:
        """Print a line with the speed since the last one."""
        now = self.clock()
        rate = (step - self.step) / max(now - self.time, 1e-9)
        left = f"{(self.total - step) / rate / 60:.1f} min" if rate > 0 else "?"
        done = f"step {step}/{self.total}, {rate:.3g} steps/s, {left} left"
        print(f"{done}, {numbers}", file=sys.stderr, flush=True)
        self.step, self.time, self.next_line = step, now, now + LINE_EVERY

    def close(self) -> None:
        """Leave the bar's last state on the screen."""
        if self.bar is not None:
            self.bar.close()
