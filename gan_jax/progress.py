"""How far a run is, for the person at the terminal."""

import math
import sys
import time
from typing import Any

LINE_EVERY = 30.0  # seconds between progress lines where stderr is not a terminal


class Progress:
    """How far a run is, on stderr: a bar on a terminal, else one plain line at most every 30 s."""

    def __init__(
        self,
        total: int,
        start: int = 0,
        quiet: bool = False,
        clock: Any = time.monotonic,
    ):
        """Count from step `start` to `total`; `quiet` shows nothing, `clock()` gives seconds."""
        self.total, self.quiet, self.clock = total, quiet, clock
        self.last_step, self.last_time, self.shown = start, clock(), -math.inf
        self.bar: Any = None
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # no watcher thread left behind
            self.bar = tqdm(total=total, initial=start, unit=" steps")

    def update(
        self, step: int, loss_disc: Any, loss_gen: Any, images_per_s: Any
    ) -> None:
        """Report that `step` iterations are done, with that step's losses."""
        speed = f"{float(images_per_s):.0f} images/s"
        numbers = f"{speed}, loss D {float(loss_disc):.4g} G {float(loss_gen):.4g}"
        if self.bar is not None:
            self.bar.set_postfix_str(numbers, refresh=False)
            self.bar.update(step - self.bar.n)
            return
        now = self.clock()
        if self.quiet or now - self.shown < LINE_EVERY:
            return
        # Since the last line: only the first one pays for the compilation.
        rate = (step - self.last_step) / max(now - self.last_time, 1e-9)
        left = f"{(self.total - step) / rate / 60:.1f} min" if rate > 0 else "?"
        done = f"step {step}/{self.total}, {rate:.3g} steps/s, {left} left"
        print(f"{done}, {numbers}", file=sys.stderr, flush=True)
        self.last_step, self.last_time, self.shown = step, now, now

    def close(self) -> None:
        """Leave the bar's last state on the screen."""
        if self.bar is not None:
            self.bar.close()
