"""The steps of a run on the devices: what every process of a run does, whether or not it writes.

It waits for the device only where something is written (a row, a grid, a checkpoint, the end) and otherwise stays one
chunk behind it. How steps are grouped into chunks never changes what they compute.
"""

import collections
import time
from typing import Any

import jax
import numpy as np

from gan_jax import hosts
from gan_jax.config import flatten
from gan_jax.job import Job, rows_of
from gan_jax.parallel import Runner
from gan_jax.stop import Stop
from gan_jax.types import TrainState

CADENCES = ("log_every", "sample_every", "eval.every", "checkpoint_every")
CHUNK_SECONDS = 0.5  # aim of one dispatch, so that a signal is answered quickly


class Training:
    """A run in progress: `state` after `step` finished iterations. Of several processes all run the same chunks."""

    def __init__(self, job: Job, runner: Runner, state: TrainState):
        """Start at the state's step."""
        self.job, self.runner, self.state = job, runner, state
        flat = flatten(job.config)
        self.cadences = {name: flat[name] for name in CADENCES}
        self.step = int(state.step)
        self.metrics: Any = None
        self.halted = False  # a chunk that has landed met what is not finite
        self.stopped = self.hopeless = False  # why it ended early, as all agreed
        self.flying: collections.deque = collections.deque()
        # steps of the next dispatch; grows until one takes CHUNK_SECONDS
        self.chunk = 1
        # several CPU devices on few cores deadlock when programs with collectives queue up
        crowded = jax.default_backend() == "cpu" and jax.device_count() > 1
        self.depth = 0 if crowded else 1
        self.steps_timed = 0  # finished since `started`
        self.started = time.perf_counter()

    def due(self, cadence: str) -> bool:
        """Whether a cadence falls on this step. The last step is due unless the cadence is off."""
        every = self.cadences[cadence]
        return every > 0 and (self.complete or self.step % every == 0)

    def next_stop(self) -> int:
        """Steps until something may have to be written."""
        config = self.job.config
        stops = [every - self.step % every for every in self.cadences.values() if every]
        return min(*stops, config.steps - self.step)

    def dispatch(self, most: int) -> None:
        """Send the next chunk, of at most so many steps, to the device; wait for all but the newest one in flight."""
        config, begin = self.job.config, time.perf_counter()
        n = min(most, self.next_stop(), config.scan_steps)
        rows = rows_of(self.job, config.seed, self.step, n)
        feed = self.runner.feed(rows, config.scan_steps)
        self.state, self.metrics = self.runner.chunk(self.state, feed, np.int32(n))
        self.step += n
        # a copy, as the state itself is given to the next chunk
        self.flying.append((self.step, n, self.metrics, self.state.halted.copy()))
        self.land(self.depth)
        took = time.perf_counter() - begin
        if took < CHUNK_SECONDS / 2 and n == most:
            self.chunk = min(2 * most, config.scan_steps)
        elif took > 2 * CHUNK_SECONDS:
            self.chunk = max(1, most // 2)

    def land(self, depth: int) -> None:
        """Wait until at most `depth` chunks are in flight; show those that landed."""
        while len(self.flying) > depth:
            step, n, metrics, halted = self.flying.popleft()
            if halted and not self.halted:
                self.halted, self.metrics = True, metrics
            losses = float(metrics["loss/disc"]), float(metrics["loss/gen"])
            self.steps_timed += n  # reading the losses has waited for the chunk
            self.show(step, *losses)

    def restart_clock(self) -> None:
        """Training goes on after something else (compiling, writing)."""
        self.started, self.steps_timed = time.perf_counter(), 0

    @property
    def complete(self) -> bool:
        """Whether the last step is done."""
        return self.step == self.job.config.steps

    def on(self, stop: Stop) -> bool:
        """Whether to go on, agreed with the other processes: a signal to any stops all, the first one gives up."""
        if self.complete or self.halted:  # the same everywhere
            return False
        said = hosts.agree([self.chunk, stop.requested, self.gives_up()])
        self.chunk = int(said[0, 0])
        self.stopped, self.hopeless = bool(said[:, 1].any()), bool(said[0, 2])
        return not (self.stopped or self.hopeless)

    def run(self, stop: Stop) -> None:
        """Train until the last step, a halt, or a signal."""
        first = self.step + 1
        while self.on(stop):
            self.dispatch(self.chunk)
            if self.step == first:
                self.land(0)
                self.restart_clock()  # the first dispatch compiled
            if any(self.due(cadence) for cadence in self.cadences):
                self.land(0)
                if not self.halted:
                    self.write()
        self.land(0)
        self.step = int(self.state.step)  # of a halt: the last good one

    def gives_up(self) -> bool:
        """Whether going on is hopeless: for the process that writes to say."""
        return False

    def show(self, step: int, loss_disc: float, loss_gen: float) -> None:
        """A chunk that ends at `step` has landed."""

    def write(self) -> None:
        """What is due at this step is written by the process that writes; the others meet it at the next chunk."""
