"""The steps of a run on the devices: what every process of a run does, whether or not it writes.

It stays one chunk ahead of what it reads: while a chunk runs the next one is fed and dispatched, and then what the one
before it left is written. How steps are grouped into chunks never changes what they compute.
"""

import collections
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

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


class Flight(NamedTuple):
    """A chunk of n steps that ends at `step`, not yet done: its metrics, its halt, a copy of its state if one is needed.

    seen: what the monitors say where a row is due.
    """

    step: int
    n: int
    metrics: Any
    halted: Any
    kept: Any
    seen: dict[str, Any] = {}


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
        self.flying: collections.deque[Flight] = collections.deque()
        # steps of the next dispatch; grows until one takes CHUNK_SECONDS
        self.chunk = 1
        # several CPU devices on few cores deadlock when programs with collectives queue up
        crowded = jax.default_backend() == "cpu" and jax.device_count() > 1
        self.depth = 0 if crowded else 1
        self.looked = False
        self.away = 0.0  # seconds in `paused`
        self.restart_clock()
        self.begun = self.started

    def due(self, cadence: str, step: int) -> bool:
        """Whether a cadence falls on a step. The last step is due unless the cadence is off."""
        every = self.cadences[cadence]
        return every > 0 and (step == self.job.config.steps or step % every == 0)

    def next_stop(self) -> int:
        """Steps until something may have to be written."""
        config = self.job.config
        stops = [every - self.step % every for every in self.cadences.values() if every]
        return min([*stops, config.steps - self.step])

    def dispatch(self, most: int) -> list[Flight]:
        """Send the next chunk, of at most so many steps, to the device; the chunks that have landed meanwhile."""
        config, begin = self.job.config, self.clock()
        n = min(most, self.next_stop(), config.scan_steps)
        rows = rows_of(self.job, config.seed, self.step, n)
        feed = self.runner.feed(rows, config.scan_steps)
        self.state, self.metrics = self.runner.chunk(self.state, feed, np.int32(n))
        self.step += n
        seen = self.look(feed, n)
        # copies, as the state itself is given to the next chunk
        halted, kept = self.state.halted.copy(), self.keep()
        self.flying.append(Flight(self.step, n, self.metrics, halted, kept, seen))
        # an evaluation that may end the run is waited for, so that it always ends on the same step
        decisive = config.eval.patience and self.due("eval.every", self.step)
        landed = self.land(0 if decisive else self.depth)
        took = self.clock() - begin
        if took < CHUNK_SECONDS / 2 and n == most:
            self.chunk = min(2 * most, config.scan_steps)
        elif took > 2 * CHUNK_SECONDS:
            self.chunk = max(1, most // 2)
        return landed

    def look(self, feed: Any, n: int) -> dict[str, Any]:
        """What the monitors see after n steps of a feed, on its way; {} where no row is due."""
        if self.runner.look is None or not self.due("log_every", self.step):
            return {}
        if not self.depth:  # one program at a time
            jax.block_until_ready(self.metrics)
        with nullcontext() if self.looked else self.paused():  # the first one compiles
            seen = self.runner.look(self.state, feed, np.int32(n))
        self.looked = True
        return seen if self.depth else jax.block_until_ready(seen)

    def land(self, depth: int) -> list[Flight]:
        """Wait until at most `depth` chunks are in flight; show those that landed, and give those without a halt."""
        good = []
        while len(self.flying) > depth:
            flight = self.flying.popleft()
            metrics = flight.metrics
            if flight.halted and not self.halted:
                self.halted, self.metrics = True, metrics
            losses = float(metrics["loss/disc"]), float(metrics["loss/gen"])
            self.steps_timed += flight.n  # reading the losses has waited for the chunk
            self.show(flight.step, *losses)
            if not self.halted:
                good.append(flight)
        return good

    def clock(self) -> float:
        """Seconds, less those in `paused`."""
        return time.perf_counter() - self.away

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within, something else than training is waited for."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.away += time.perf_counter() - begin

    def restart_clock(self) -> None:
        """Speed is measured from here on."""
        self.started, self.steps_timed = self.clock(), 0

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
            landed = self.dispatch(self.chunk)
            if self.step == first:
                landed += self.land(0)
                self.restart_clock()  # the first dispatch compiled
                self.begun = self.started
            self.write_all(landed)
        self.write_all(self.land(0))
        self.step = int(self.state.step)  # of a halt: the last good one

    def write_all(self, landed: list[Flight]) -> None:
        """Write what is due at the ends of chunks."""
        for flight in landed:
            if any(self.due(cadence, flight.step) for cadence in self.cadences):
                self.write(flight)

    def gives_up(self) -> bool:
        """Whether going on is hopeless: for the process that writes to say."""
        return False

    def keep(self) -> Any:
        """A copy of the state, where what is due at this step needs one."""

    def show(self, step: int, loss_disc: float, loss_gen: float) -> None:
        """A chunk that ends at `step` has landed."""

    def write(self, flight: Flight) -> None:
        """What is due at a chunk's end is written by the process that writes; the others meet it at the next chunk."""
