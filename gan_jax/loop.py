"""The running loop of the process that writes: rows, pictures, evaluations, checkpoints."""

import time
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.best import best_of
from gan_jax.checkpoint import Checkpoints
from gan_jax.evaluation import Evaluator
from gan_jax.gallery import Sample, Views
from gan_jax.job import Job, why_halted
from gan_jax.parallel import Runner, near
from gan_jax.progress import Progress
from gan_jax.record import Record
from gan_jax.sampling import make_sampler, networks_of
from gan_jax.training import Training
from gan_jax.types import TrainState


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
        self.sampler = make_sampler(job.nets, networks_of(job.recipe))
        self.views = Views(job)
        self.seconds = 0.0  # of training since this process started

    def dispatch(self, most: int) -> None:
        """As Training does; a save in the background that failed is known by now."""
        self.saved.check()
        super().dispatch(most)

    def show(self, step: int, loss_disc: float, loss_gen: float) -> None:
        """Move the bar."""
        self.bar.update(step, loss_disc, loss_gen, self.images_per_s())

    def images_per_s(self) -> float:
        """Real pictures consumed by D's updates per second of training since the last thing written."""
        per_step = self.job.recipe.n_disc * self.job.recipe.batch_size
        elapsed = time.perf_counter() - self.started
        return self.steps_timed * per_step / max(elapsed, 1e-9)

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

    def sample(self) -> Sample:
        """The averaged generator as a function of what it is fed."""
        return partial(self.sampler, *near((self.state.ema, self.state.hyper)))

    def picture(self) -> None:
        """Write what the averaged generator makes of the fixed noise, or of the same held-out pictures."""
        show = self.views.of(self.job.config.seed)
        self.record.image(self.step, show(self.sample()))

    def evaluate(self) -> None:
        """Measure the averaged generator; its rows are written before the state, so a resumed run misses none."""
        spec, sample = self.job.recipe.model, self.sample()
        for row in self.evaluator.rows(self.step, spec, sample):
            self.record.evaluation(row)
        self.best = best_of(self.record.workdir, self.metric)
        if self.best is not None and self.best.step == self.step:
            self.saved.pinned = self.step
            self.save()

    def gives_up(self) -> bool:
        """Whether as many evaluations as eval.patience brought nothing better."""
        patience = self.job.config.eval.patience
        return bool(patience and self.best and self.best.since >= patience)

    def save(self) -> None:
        """Begin a checkpoint, unless this step has one; it is written while training goes on."""
        if not self.saved.holds(self.step):
            self.saved.start(self.step, near(self.state))

    def culprit(self) -> str:
        """Name what was not finite in the step that halted the state, the first array foremost."""
        values = jax.device_get(self.metrics)
        bad = [name for name, x in values.items() if not np.all(np.isfinite(x))]
        first = why_halted(self.job, self.job.config.seed, near(self.state))
        return first or f"not finite: {', '.join(bad) or 'a parameter'}"

    def finish(self) -> None:
        """Save the last good state, wait until it is on the disk, and close the record."""
        state = near(self.state)
        self.state = replace(state, halted=jnp.zeros_like(state.halted))
        self.save()
        self.saved.wait()
        if self.complete or self.hopeless:
            self.record.gif()
            self.record.mp4()
        self.record.close()
