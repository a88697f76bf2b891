"""A group of members in training: one program, and a run folder for each of them."""

import collections
import json
import shlex
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gan_jax import config as configs
from gan_jax.board import Board
from gan_jax.checkpoint import Checkpoints
from gan_jax.checkup import Ward
from gan_jax.evaluation import Evaluator
from gan_jax.files import write_atomic
from gan_jax.gallery import Sample, Views
from gan_jax.halving import rungs, survivors
from gan_jax.job import Job, why_halted
from gan_jax.leaves import stacked
from gan_jax.plan import Group, Member
from gan_jax.population import Population, member, stacked_shapes
from gan_jax.progress import Progress
from gan_jax.record import Record
from gan_jax.rows import check_saved, of_layer, read_object
from gan_jax.sampling import make_sampler, networks_of
from gan_jax.saved import POINTER
from gan_jax.stop import Stop
from gan_jax.train import data_facts, machine_facts
from gan_jax.training import CADENCES, CHUNK_SECONDS


class How(NamedTuple):
    """backend: a row of population.BACKENDS. alone: what trains the config without a member's setting.

    halving: the best 1/halving of the members train on at each rung; 0: all do. strict: refuse a group whose newest
    checkpoint is damaged, where otherwise the newest good one is taken.
    """

    backend: str
    alone: str
    halving: int = 0
    strict: bool = False


def overrides(one: Member) -> str:
    """A member's setting as words of a command line."""
    words = (f"--config.{name}={value}" for name, value in one.setting.items())
    return " ".join(shlex.quote(word) for word in words)


def in_flight() -> int:
    """Chunks that wait while another is made: on a CPU the host's own work would only take time from them."""
    return 0 if jax.default_backend() == "cpu" else 1


class Herd:
    """A group in training: the states of its members after `step` iterations, and their folders.

    alive: which members train on, in the order of the states' rows. rest: everyone's states when the last one was
    stopped, None while all train.
    """

    def __init__(self, folder: Path, group: Group, job: Job, how: How):
        """Restore the group's newest checkpoint from its folder, or begin."""
        self.group, self.job, self.how, self.folder = group, job, how, folder
        self.flat = configs.flatten(job.config)
        every, self.steps = self.flat["eval.every"], self.flat["steps"]
        self.rungs = rungs(every, self.steps, how.halving) if how.halving else []
        self.evaluator = Evaluator(job.config, job.dataset) if every else None
        self.sampler = make_sampler(job.nets, networks_of(job.recipe))
        self.views = Views(job)
        self.fetched: Any = None  # averages and numbers of all members at this step
        self.saved = Checkpoints(folder / "checkpoints")
        members = folder.parent.parent / "members"
        self.records = [Record(members / m.name, board=False) for m in group]
        newest, states = self.saved.find(how.strict), None
        if newest is not None:
            numbers = stacked(job.hyper, len(group))
            shapes = stacked_shapes(job, len(group))
            states = self.saved.load(newest, shapes, numbers)
        else:
            check_saved(self.records[0].workdir)
        self.step = 0 if states is None else int(np.max(states.step))
        for record in self.records:
            record.truncate(self.step)
        self.ward = Ward(group, self.records)
        self.board = Board(folder / "tensorboard", self.step + 1)
        self.begin(self.chosen(), states)
        self.depth = in_flight()
        self.flying: collections.deque = collections.deque()
        self.chunk, self.seconds = 1, 0.0
        self.write_configs()

    def write_configs(self) -> None:
        """Write what each member is, and where its weights are."""
        facts = data_facts(self.job.dataset), machine_facts()
        for index, (record, one) in enumerate(
            zip(self.records, self.group, strict=True)
        ):
            line = f"{self.how.alone} {overrides(one)} --workdir={record.workdir.name}"
            record.write_config(one.config.to_dict(), line, *facts)
            stopped = None if index in self.alive else int(self.rest.step[index])
            where = {"group": f"../../groups/{self.folder.name}"}
            self.point(index, where | {"stopped_at": stopped})

    def point(self, index: int, more: dict[str, Any]) -> None:
        """Write where a member's weights are, and what became of it."""
        path = self.records[index].workdir / POINTER
        old = read_object(path, "start the sweep again") if path.is_file() else {}
        body = {**old, "index": index, "members": len(self.group), **more}
        write_atomic(path, json.dumps(body).encode())

    def chosen(self) -> list[int]:
        """The members that train on after this step."""
        past = [rung for rung in self.rungs if rung <= self.step]
        folders = [record.workdir for record in self.records]
        return survivors(folders, self.flat["eval.best"], past, self.how.halving)

    def begin(self, alive: list[int], states: Any) -> None:
        """Go on with some members from everyone's states, None: from the first ones."""
        self.alive, self.fetched = alive, None
        self.population = Population(
            self.job, [self.group[i].config for i in alive], self.how.backend
        )
        self.rest = states if len(alive) < len(self.group) else None
        if states is None:
            self.states = self.population.init()
        else:
            self.states = self.population.place(
                jax.tree.map(lambda x: x[np.asarray(alive)], states)
            )

    def everyone(self) -> Any:
        """The states of all members, in the group's order."""
        own = jax.tree.map(lambda x: x[: len(self.alive)], self.states)
        return own if self.rest is None else replaced(self.rest, self.alive, own)

    def halve(self) -> None:
        """Stop the members that are hopeless at this step."""
        alive = self.chosen()
        stopped = set(self.alive) - set(alive)
        if stopped:
            self.begin(alive, self.everyone())
        for index in stopped:
            self.point(index, {"stopped_at": self.step})

    def due(self, cadence: str) -> bool:
        """Whether a cadence falls on this step. The last step is due unless the cadence is off."""
        every = self.flat[cadence]
        return every > 0 and (self.step == self.steps or self.step % every == 0)

    def dispatch(self) -> list[tuple[int, Any]]:
        """Send the next steps of all members to the devices; (step, metrics) of the chunks that have landed."""
        stops = [
            self.flat[c] - self.step % self.flat[c] for c in CADENCES if self.flat[c]
        ]
        left = min(*stops, self.steps - self.step)
        n = min(self.chunk, left, self.flat["scan_steps"])
        begin, landed, self.fetched = time.perf_counter(), [], None
        begun, self.step = self.step, self.step + n
        look = self.flat["monitor"] and self.due("log_every")
        self.states, self.metrics = self.population.chunk(self.states, begun, n, look)
        self.flying.append((self.step, self.metrics))
        while len(self.flying) > self.depth:
            landed.append(jax.block_until_ready(self.flying.popleft()))
        took = time.perf_counter() - begin
        self.seconds += took
        if took < CHUNK_SECONDS / 2 and n == self.chunk:
            self.chunk = min(2 * self.chunk, self.flat["scan_steps"])
        elif took > 2 * CHUNK_SECONDS:
            self.chunk = max(1, self.chunk // 2)
        return landed

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
        for row in range(len(self.alive)):
            for write in due if not halted[row] else []:
                write(row)
        self.ward.say()
        if self.due("checkpoint_every"):
            self.save()

    def log(self, row: int) -> None:
        """One line of metrics.jsonl."""
        values = member(self.metrics, row)
        numbers = {name: float(x) for name, x in values.items() if not np.ndim(x)}
        self.record(row).log(self.step, numbers | {"seconds": self.seconds})
        self.ward.logged(self.alive[row], self.step, numbers)
        self.draw(row, numbers)

    def draw(self, row: int, numbers: dict[str, float | int]) -> None:
        """Points of a member's curves in the group's TensorBoard."""
        name = self.group[self.alive[row]].name
        points = {f"{n}/{name}": x for n, x in numbers.items() if not of_layer(n)}
        self.board.add_scalars(points, self.step)

    def record(self, row: int) -> Record:
        """The run folder of the member in a row of the states."""
        return self.records[self.alive[row]]

    def picture(self, row: int) -> None:
        """The picture of one member's samples, as a run of its own would show it."""
        show = self.views.of(self.group[self.alive[row]].config.seed)
        self.record(row).image(self.step, show(self.sample(row)))

    def evaluate(self, row: int) -> None:
        """Lines of eval.jsonl of one member."""
        spec, sample = self.job.recipe.model, self.sample(row)
        for said in self.evaluator.rows(self.step, spec, sample):
            self.record(row).evaluation(said)
            self.ward.measured(self.alive[row], said)
            self.draw(row, {f"eval/{said['metric']}": said["value"]})

    def sample(self, row: int) -> Sample:
        """A member's averaged generator as a function of what it is fed."""
        return partial(self.sampler, *self.averages(row))

    def averages(self, row: int) -> tuple[Any, Any]:
        """A member's averaged generator and its numbers; all are fetched at once, slices of each leaf would be slow."""
        if self.fetched is None:
            self.fetched = jax.device_get((self.states.ema, self.states.hyper))
        return member(self.fetched, row)

    def save(self) -> None:
        """Begin the group's checkpoint, unless this step has one; it is written while training goes on."""
        if not self.saved.holds(self.step):
            self.saved.start(self.step, self.everyone())

    def run(self, stop: Stop) -> bool:
        """Train to the last step or a signal; whether it is finished."""
        bar = Progress(self.steps, self.step)
        if self.step == 0 and self.flat["sample_every"]:
            for row in range(len(self.alive)):
                self.picture(row)
        seconds, shown = self.seconds, self.step
        while self.step < self.steps and not stop.requested:
            self.saved.check()
            for step, metrics in self.dispatch():
                losses = (
                    float(np.nanmean(metrics[f"loss/{p}"])) for p in ("disc", "gen")
                )
                speed = self.pictures(step - shown) / max(self.seconds - seconds, 1e-9)
                bar.update(step, *losses, speed)
                seconds, shown = self.seconds, step
            if any(self.due(cadence) for cadence in CADENCES):
                self.write()
            if self.step in self.rungs:
                self.halve()
        bar.close()
        self.save()
        self.saved.wait()
        self.close()
        return self.step == self.steps

    def pictures(self, steps: int) -> int:
        """Real examples that all members' discriminators see in so many steps."""
        recipe = self.job.recipe
        return steps * len(self.alive) * recipe.n_disc * recipe.batch_size

    def close(self) -> None:
        """Write what became of each member, and close its files."""
        states = self.everyone()
        halted, steps = np.asarray(states.halted), np.asarray(states.step)
        for index, record in enumerate(self.records):
            said = {"halted_at": int(steps[index]) if halted[index] else None}
            if halted[index]:
                seed = self.group[index].config.seed
                said["first_bad"] = why_halted(self.job, seed, member(states, index))
                self.ward.halted(index, int(steps[index]) + 1, said["first_bad"])
            self.point(index, said)
            record.close()
        self.ward.say()
        self.board.close()


def replaced(states: Any, places: list[int], rows: Any) -> Any:
    """States on the host with some members' rows in place of their old ones."""

    def put(old: Any, new: Any) -> Any:
        if jax.dtypes.issubdtype(old.dtype, jax.dtypes.prng_key):
            data = put(*map(jax.random.key_data, (old, new)))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(old))
        whole = np.array(old)
        whole[places] = np.asarray(new)
        return whole

    return jax.tree.map(put, states, rows)
