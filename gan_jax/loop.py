"""The running loop of the process that writes: rows, pictures, evaluations, checkpoints.

All of it is done by a thread, one thing after the other, while training goes on: so a state is saved when everything up
to its step is on the disk, and not before.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.background import Background
from gan_jax.best import best_of
from gan_jax.checkpoint import Checkpoints
from gan_jax.checkup import Checkup
from gan_jax.config import flatten
from gan_jax.doctor import Found
from gan_jax.evaluation import Evaluator
from gan_jax.gallery import Sample, Sheet, Views
from gan_jax.job import Job, why_halted
from gan_jax.parallel import Runner, near
from gan_jax.progress import Progress, say
from gan_jax.record import Record
from gan_jax.sampling import make_sampler, networks_of
from gan_jax.training import CADENCES, Flight, Training
from gan_jax.types import TrainState

COPIES = 2  # of the state that may wait for the thread; then training waits


@jax.jit
def copied(tree: Any) -> Any:
    """The same arrays in buffers of their own."""
    return jax.tree.map(jnp.copy, tree)


class Loop(Training):
    """A run in progress, and where it is written."""

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
        super().__init__(job, runner, state)
        self.record, self.saved, self.evaluator = record, saved, evaluator
        self.metric = evaluator.metric if evaluator else job.config.eval.best
        self.best = best_of(record.workdir, self.metric)
        saved.pinned = self.best.step if self.best else None
        self.bar = Progress(job.config.steps, self.step)
        self.checkup = Checkup(record, flatten(job.config))
        self.sampler = make_sampler(job.nets, networks_of(job.recipe))
        self.views = Views(job)
        self.thread = Background()
        self.copies: deque[Future] = deque()  # the jobs that end the need of each
        # programs for several devices must come to all of them in one order: one thread dispatches
        self.alone = jax.device_count() == 1
        if evaluator:
            evaluator.judge.tick = self.thread.heed

    def dispatch(self, most: int) -> list[Flight]:
        """As Training does; what failed in the background is known by now."""
        self.thread.check()
        return super().dispatch(most)

    def show(self, step: int, loss_disc: float, loss_gen: float) -> None:
        """Move the bar."""
        self.bar.update(step, loss_disc, loss_gen, self.images_per_s())

    def images_per_s(self) -> float:
        """Real pictures consumed by D's updates per second of training since the last thing written."""
        per_step = self.job.recipe.n_disc * self.job.recipe.batch_size
        elapsed = self.clock() - self.started
        return self.steps_timed * per_step / max(elapsed, 1e-9)

    def keep(self) -> Any:
        """A copy of the state for pictures, evaluations and checkpoints."""
        if not any(self.due(cadence, self.step) for cadence in CADENCES[1:]):
            return None
        with self.paused():
            while len(self.copies) >= COPIES:
                self.copies.popleft().result()
        return copied(self.own())

    def own(self) -> TrainState:
        """The state on one of this process's devices."""
        return jax.tree.map(lambda x: x.addressable_data(0), self.state)

    def write(self, flight: Flight) -> None:
        """Have written what is due."""
        step, kept = flight.step, flight.kept
        if self.due("log_every", step):
            clocks = {"images_per_s": self.images_per_s()}
            clocks |= {"seconds": self.clock() - self.begun}
            self.thread.do(self.log, step, flight.metrics | flight.seen, clocks)
        if self.due("sample_every", step):
            self.picture(step, kept)
        if self.due("eval.every", step):
            make = partial(self.measured, step, kept)
            self.later(make, partial(self.evaluated, step, kept))
            if self.job.config.eval.patience:
                with self.paused():
                    self.thread.wait()
        if self.due("checkpoint_every", step):
            self.thread.do(self.save, step, kept)
        if kept is not None:
            self.copies.append(self.thread.do(id, kept))
        self.restart_clock()

    def later(self, make: Callable[[], Any], use: Callable[[Any], Any]) -> None:
        """use(make()) in the background; make, which needs the devices, here and now where there are several."""
        if self.alone:
            self.thread.do(lambda: use(make()))
            return
        with self.paused():
            made = make()
        self.thread.do(use, made)

    def log(self, step: int, metrics: Any, clocks: dict[str, float]) -> None:
        """Write the row of a step."""
        values = jax.device_get(metrics)
        row = {name: float(x) for name, x in values.items() if not x.ndim}
        histograms = {name: x for name, x in values.items() if x.ndim}
        self.record.log(step, row | clocks, histograms)
        self.tell(self.checkup.logged(step, row))

    def tell(self, news: list[Found]) -> None:
        """Say what the doctor finds."""
        for found in news:
            say(found.text())

    def sample(self, kept: TrainState) -> Sample:
        """The averaged generator as a function of what it is fed."""
        return partial(self.sampler, kept.ema, kept.hyper)

    def picture(self, step: int, kept: TrainState) -> None:
        """Have written what the averaged generator makes of the fixed noise, or of the same held-out pictures."""

        def make() -> Sheet:
            return self.views.of(self.job.config.seed)(self.sample(kept))

        self.later(make, partial(self.record.image, step))

    def measured(self, step: int, kept: TrainState) -> list[dict[str, Any]]:
        """What the averaged generator comes to, as rows."""
        return self.evaluator.rows(step, self.job.recipe.model, self.sample(kept))

    def evaluated(
        self, step: int, kept: TrainState, rows: list[dict[str, Any]]
    ) -> None:
        """Write an evaluation, and then the state if it is the best one, so a resumed run misses no row."""
        for row in rows:
            self.record.evaluation(row)
            self.tell(self.checkup.measured(row))
        self.best = best_of(self.record.workdir, self.metric)
        if self.best is not None and self.best.step == step:
            self.saved.pinned = step
            self.save(step, kept)

    def gives_up(self) -> bool:
        """Whether as many evaluations as eval.patience brought nothing better."""
        patience = self.job.config.eval.patience
        return bool(patience and self.best and self.best.since >= patience)

    def save(self, step: int, kept: TrainState) -> None:
        """Write a checkpoint, unless the step has one."""
        if not self.saved.holds(step):
            self.saved.save(step, kept)

    @cached_property
    def culprit(self) -> str:
        """Name what was not finite in the step that halted the state, the first array foremost."""
        values = jax.device_get(self.metrics)
        bad = [name for name, x in values.items() if not np.all(np.isfinite(x))]
        first = why_halted(self.job, self.job.config.seed, near(self.state))
        return first or f"not finite: {', '.join(bad) or 'a parameter'}"

    def finish(self) -> None:
        """Save the last good state, wait until it is on the disk, and close the record."""
        state = self.own()
        state = replace(state, halted=jnp.zeros_like(state.halted))
        self.thread.do(self.save, self.step, state)
        self.thread.wait()
        self.thread.close()
        if self.halted:
            self.checkup.halted(self.step + 1, self.culprit)
        if self.complete or self.hopeless:
            self.record.gif()
            self.record.mp4()
        self.record.close()
