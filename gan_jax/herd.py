"""A group of members in training: one program, and a run folder for each of them."""

import json
import shlex
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax import config as configs
from gan_jax.checkpoint import Checkpoints
from gan_jax.evaluation import Evaluator
from gan_jax.files import write_atomic
from gan_jax.job import Job
from gan_jax.loop import CADENCES, CHUNK_SECONDS, GRID, POINTS, Stop, drawing
from gan_jax.plan import Group, Member
from gan_jax.population import Population, member
from gan_jax.progress import Progress
from gan_jax.record import Record
from gan_jax.sampling import POINTER, finished, make_sampler, showcase
from gan_jax.step import FIXED_NOISE
from gan_jax.train import data_facts


def folder_of(workdir: Path, one: Member) -> Path:
    """A member's run folder."""
    return workdir / "members" / one.name


class How(NamedTuple):
    """backend: a row of population.BACKENDS. command: what trains the config without a member's setting."""

    backend: str
    command: str


def overrides(one: Member) -> str:
    """A member's setting as words of a command line."""
    words = (f"--config.{name}={value}" for name, value in one.setting.items())
    return " ".join(shlex.quote(word) for word in words)


class Herd:
    """A group in training: its states after `step` iterations, and its members' folders."""

    def __init__(self, number: int, group: Group, job: Job, workdir: Path, how: How):
        """Restore the group's newest checkpoint, or begin."""
        self.group, self.job, self.workdir = group, job, workdir
        self.population = Population(job, [m.config for m in group], how.backend)
        self.saved = Checkpoints(workdir / "groups" / str(number) / "checkpoints")
        if self.saved.latest() is None:
            self.step, self.states = 0, self.population.init()
        else:
            states = self.saved.restore(None, self.population.shapes())
            self.step = int(np.max(states.step))
            self.states = self.population.place(states)
        config = job.config
        self.flat = configs.flatten(config)
        self.evaluator = Evaluator(config, job.dataset) if config.eval.every else None
        self.sampler = make_sampler(job.nets)
        self.records = [Record(folder_of(workdir, m), board=False) for m in group]
        self.metrics: Any = None
        self.chunk, self.seconds = 1, 0.0
        for index, (record, one) in enumerate(zip(self.records, group, strict=True)):
            record.truncate(self.step)
            line = f"{how.command} {overrides(one)} --workdir={record.workdir.name}"
            record.write_config(one.config.to_dict(), line, data_facts(job.dataset))
            self.point(index, {"group": f"../../groups/{number}"})

    def point(self, index: int, more: dict[str, Any]) -> None:
        """Write where a member's weights are."""
        path = self.records[index].workdir / POINTER
        old = json.loads(path.read_text()) if path.is_file() else {}
        body = {**old, "index": index, "members": len(self.group), **more}
        write_atomic(path, json.dumps(body).encode())

    def due(self, cadence: str) -> bool:
        """Whether a cadence falls on this step. The last step is due unless the cadence is off."""
        every = self.flat[cadence]
        return every > 0 and (self.step == self.flat["steps"] or self.step % every == 0)

    def dispatch(self) -> None:
        """Run the next steps of all members and wait for them."""
        stops = [
            self.flat[c] - self.step % self.flat[c] for c in CADENCES if self.flat[c]
        ]
        left = min(*stops, self.flat["steps"] - self.step)
        n = min(self.chunk, left, self.flat["scan_steps"])
        begin = time.perf_counter()
        self.states, self.metrics = self.population.chunk(self.states, self.step, n)
        jax.block_until_ready(self.metrics)
        took = time.perf_counter() - begin
        self.seconds += took
        self.step += n
        if took < CHUNK_SECONDS / 2 and n == self.chunk:
            self.chunk = min(2 * self.chunk, self.flat["scan_steps"])
        elif took > 2 * CHUNK_SECONDS:
            self.chunk = max(1, self.chunk // 2)

    def write(self) -> None:
        """Write what is due at this step, for every member that goes on."""
        writers = {
            "log_every": self.log,
            "sample_every": self.picture,
            "eval.every": self.evaluate,
        }
        due = [write for cadence, write in writers.items() if self.due(cadence)]
        self.metrics = jax.device_get(self.metrics)  # once, not once a member
        halted = np.asarray(self.states.halted)
        for index, record in enumerate(self.records):
            for write in due if not halted[index] else []:
                write(index, record)
        if self.due("checkpoint_every"):
            self.save()

    def log(self, index: int, record: Record) -> None:
        """One row of metrics.jsonl."""
        values = member(self.metrics, index)
        row = {name: float(x) for name, x in values.items() if not np.ndim(x)}
        record.log(self.step, row | {"seconds": self.seconds})

    def picture(self, index: int, record: Record) -> None:
        """The fixed-noise grid of one member, as a run of its own would show it."""
        spec = self.job.recipe.model
        key = jax.random.fold_in(self.states.key[index], FIXED_NOISE)
        shown = showcase(spec, key, GRID if len(spec.image_shape) == 3 else POINTS)
        out = finished(self.sampler(*self.averages(index), shown))
        record.image(self.step, drawing(out, shown, self.job.dataset.images))

    def evaluate(self, index: int, record: Record) -> None:
        """Rows of eval.jsonl of one member."""
        sample = partial(self.sampler, *self.averages(index))
        for row in self.evaluator.rows(self.step, self.job.recipe.model, sample):
            record.evaluation(row)

    def averages(self, index: int) -> tuple[Any, Any]:
        """A member's averaged generator and its numbers."""
        return member((self.states.ema, self.states.hyper), index)

    def save(self) -> None:
        """Write the group's checkpoint, unless this step has one."""
        if self.saved.latest() != self.step:
            count = len(self.group)
            self.saved.save(self.step, jax.tree.map(lambda x: x[:count], self.states))

    def run(self, stop: Stop) -> bool:
        """Train to the last step or a signal; whether it is finished."""
        bar = Progress(self.flat["steps"], self.step)
        if self.step == 0 and self.flat["sample_every"]:
            for index, record in enumerate(self.records):
                self.picture(index, record)
        per_step = len(self.group) * self.job.recipe.n_disc * self.job.recipe.batch_size
        while self.step < self.flat["steps"] and not stop.requested:
            begin, before = self.seconds, self.step
            self.dispatch()
            losses = (
                float(np.nanmean(self.metrics[f"loss/{p}"])) for p in ("disc", "gen")
            )
            speed = (self.step - before) * per_step / max(self.seconds - begin, 1e-9)
            bar.update(self.step, *losses, speed)
            if any(self.due(cadence) for cadence in CADENCES):
                self.write()
        bar.close()
        self.save()
        halted, steps = np.asarray(self.states.halted), np.asarray(self.states.step)
        for index, record in enumerate(self.records):
            self.point(
                index, {"halted_at": int(steps[index]) if halted[index] else None}
            )
            record.close()
        return self.step == self.flat["steps"]
