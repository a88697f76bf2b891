"""The running loop: dispatch chunks, write what is due, answer signals.

It waits for the device only where something is written (a row, a grid, a checkpoint, the end) and otherwise
stays one chunk behind it. How steps are grouped into chunks never changes what they compute.
"""

import collections
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import data, images
from gan_jax.best import best_of
from gan_jax.checkpoint import Checkpoints
from gan_jax.config import flatten
from gan_jax.culprit import first_bad
from gan_jax.evaluation import Evaluator
from gan_jax.job import Job
from gan_jax.parallel import Runner
from gan_jax.progress import Progress
from gan_jax.record import Record
from gan_jax.sampling import Fed, finished, make_sampler, showcase
from gan_jax.step import FIXED_NOISE
from gan_jax.types import Batch, TrainState

CADENCES = ("log_every", "sample_every", "eval.every", "checkpoint_every")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
CHUNK_SECONDS = 0.5  # aim of one dispatch, so that a signal is answered quickly
GRID = 64  # pictures of the fixed-noise grid
POINTS = 2000  # points of the same for toy data


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


def drawing(out: np.ndarray, shown: Fed, real: np.ndarray) -> np.ndarray:
    """Samples as one picture: a grid, or points over some of the real ones."""
    if out.ndim == 4:
        return images.grid(out, shown.columns)
    return images.scatter(out, real[:POINTS])


class Loop:
    """A run in progress: `state` after `step` finished iterations, and where it is written."""

    def __init__(
        self,
        job: Job,
        runner: Runner,
        state: TrainState,
        record: Record,
        saved: Checkpoints,
        evaluator: Evaluator | None = None,
    ):
        """Start at the state's step; the evaluator is needed where eval.every is not 0."""
        self.job, self.runner, self.state = job, runner, state
        self.record, self.saved, self.evaluator = record, saved, evaluator
        flat = flatten(job.config)
        self.cadences = {name: flat[name] for name in CADENCES}
        self.metric = evaluator.metric if evaluator else job.config.eval.best
        self.best = best_of(record.workdir, self.metric)
        saved.pinned = self.best.step if self.best else None
        self.step = int(state.step)
        self.bar = Progress(job.config.steps, self.step)
        self.metrics: Any = None
        self.halted = False  # a chunk that has landed met what is not finite
        self.flying: collections.deque = collections.deque()
        # steps of the next dispatch; grows until one takes CHUNK_SECONDS
        self.chunk = 1
        # several CPU devices on few cores deadlock when programs with collectives queue up
        crowded = jax.default_backend() == "cpu" and jax.device_count() > 1
        self.depth = 0 if crowded else 1
        count = GRID if len(job.recipe.model.image_shape) == 3 else POINTS
        key = jax.random.fold_in(state.key, FIXED_NOISE)
        self.shown = showcase(job.recipe.model, key, count)
        self.sampler = make_sampler(job.nets)
        self.seconds = 0.0  # of training since this process started
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

    def dispatch(self) -> None:
        """Send the next chunk to the device; wait for all but the newest one in flight."""
        config, begin = self.job.config, time.perf_counter()
        self.saved.check()
        n = min(self.chunk, self.next_stop(), config.scan_steps)
        feed = self.runner.feed(self.rows(n), config.scan_steps)
        self.state, self.metrics = self.runner.chunk(self.state, feed, np.int32(n))
        self.step += n
        # a copy, as the state itself is given to the next chunk
        self.flying.append((self.step, n, self.metrics, self.state.halted.copy()))
        self.land(self.depth)
        took = time.perf_counter() - begin
        if took < CHUNK_SECONDS / 2 and n == self.chunk:
            self.chunk = min(2 * self.chunk, config.scan_steps)
        elif took > 2 * CHUNK_SECONDS:
            self.chunk = max(1, self.chunk // 2)

    def rows(self, n: int) -> np.ndarray:
        """The examples of the next n steps: int32 [n, n_disc, B]."""
        seed, recipe = self.job.config.seed, self.job.recipe
        shape = recipe.n_disc, recipe.batch_size, len(self.job.dataset.images)
        return data.indices(seed, self.step, n, *shape)

    def land(self, depth: int) -> None:
        """Wait until at most `depth` chunks are in flight; show those that landed."""
        while len(self.flying) > depth:
            step, n, metrics, halted = self.flying.popleft()
            if halted and not self.halted:
                self.halted, self.metrics = True, metrics
            losses = float(metrics["loss/disc"]), float(metrics["loss/gen"])
            self.steps_timed += n  # reading the losses has waited for the chunk
            self.bar.update(step, *losses, self.images_per_s())

    def images_per_s(self) -> float:
        """Real pictures consumed by D's updates per second of training since the last thing written."""
        per_step = self.job.recipe.n_disc * self.job.recipe.batch_size
        elapsed = time.perf_counter() - self.started
        return self.steps_timed * per_step / max(elapsed, 1e-9)

    def restart_clock(self) -> None:
        """Training goes on after something else (compiling, writing)."""
        self.started, self.steps_timed = time.perf_counter(), 0

    def write(self) -> None:
        """Write what is due at this step."""
        self.land(0)
        speed = self.images_per_s()
        self.seconds += time.perf_counter() - self.started
        if self.due("log_every"):
            self.log(speed)
        if self.due("sample_every"):
            self.picture()
        if self.due("eval.every"):
            self.evaluate()
        if self.due("checkpoint_every"):
            self.save()
        self.restart_clock()

    def log(self, speed: float) -> None:
        """Write the row of the step that has just run."""
        values = jax.device_get(self.metrics)
        row = {name: float(x) for name, x in values.items() if not x.ndim}
        row |= {"images_per_s": speed, "seconds": self.seconds}
        histograms = {name: x for name, x in values.items() if x.ndim}
        self.record.log(self.step, row, histograms)

    def picture(self) -> None:
        """Write the fixed-noise grid of the averaged generator."""
        out = finished(self.sampler(self.state.ema, self.state.hyper, self.shown))
        real = self.job.dataset.images
        self.record.image(self.step, drawing(out, self.shown, real))

    def evaluate(self) -> None:
        """Measure the averaged generator; its rows are written before the state, so a resumed run misses none."""
        sample = partial(self.sampler, self.state.ema, self.state.hyper)
        for row in self.evaluator.rows(self.step, self.job.recipe.model, sample):
            self.record.evaluation(row)
        self.best = best_of(self.record.workdir, self.metric)
        if self.best is not None and self.best.step == self.step:
            self.saved.pinned = self.step
            self.save()

    @property
    def complete(self) -> bool:
        """Whether the last step is done."""
        return self.step == self.job.config.steps

    @property
    def hopeless(self) -> bool:
        """Whether as many evaluations as eval.patience brought nothing better."""
        patience = self.job.config.eval.patience
        return bool(patience and self.best and self.best.since >= patience)

    def save(self) -> None:
        """Begin a checkpoint, unless this step has one; it is written while training goes on."""
        if not self.saved.holds(self.step):
            self.saved.start(self.step, self.state)

    def culprit(self) -> str:
        """Name what was not finite in the step that halted the state, the first array foremost."""
        values = jax.device_get(self.metrics)
        bad = [name for name, x in values.items() if not np.all(np.isfinite(x))]
        table = Batch(self.job.dataset.images, self.job.dataset.labels)
        batch = jax.tree.map(lambda x: x[self.rows(1)[0]], table)
        first = ""
        with suppress(jax.errors.JaxRuntimeError):  # one device may lack the memory
            first = first_bad(self.job.recipe, self.job.nets, self.state, batch)
        return first or f"not finite: {', '.join(bad) or 'a parameter'}"

    def finish(self) -> None:
        """Save the last good state, wait until it is on the disk, and close the record."""
        self.step = int(self.state.step)
        self.state = replace(self.state, halted=jnp.zeros_like(self.state.halted))
        self.save()
        self.saved.wait()
        if self.complete or self.hopeless:
            self.record.gif()
        self.record.close()

    def run(self, stop: Stop) -> None:
        """Train until the last step, a halt, or a signal."""
        first = self.step + 1
        while not (self.complete or self.halted or stop.requested or self.hopeless):
            self.dispatch()
            if self.step == first:
                self.land(0)
                self.restart_clock()  # the first dispatch compiled
            if any(self.due(cadence) for cadence in self.cadences):
                self.land(0)
                if not self.halted:
                    self.write()
        self.land(0)
