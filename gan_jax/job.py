"""What a config means on this machine: data, networks, numbers, devices."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax import config as configs
from gan_jax import data, hosts, models
from gan_jax.capacity import check_capacity, free_bytes, nbytes, taken
from gan_jax.combinations import check_data
from gan_jax.culprit import first_bad
from gan_jax.held_out import held_out
from gan_jax.parallel import PARALLEL, Runner
from gan_jax.step import init
from gan_jax.types import Batch, Hyper, Pair, Recipe, TrainState

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


@dataclass(frozen=True)
class Job:
    """A validated config with everything it names."""

    config: ConfigDict
    recipe: Recipe
    nets: Pair
    hyper: Hyper
    dataset: data.Dataset

    @cached_property
    def first(self) -> Callable[[Any], TrainState]:
        """The state before the first step, of a seed (uint32); traced once for its shapes and for itself."""
        return jax.jit(partial(init, self.recipe, self.nets, self.hyper))

    @cached_property
    def held_out(self) -> Batch | None:
        """Examples that training does not see; None where the monitors are off or the source has none."""
        if not self.config.monitor:
            return None
        return held_out(configs.data_spec(self.config), self.recipe.batch_size)


def assemble(config: ConfigDict) -> Job:
    """Load the data and build the networks of a config. Raises UserError for what the user has to mend."""
    configs.validate(config)
    dataset = data.load(configs.data_spec(config))
    shape, classes = dataset.images.shape[1:], len(dataset.label_names)
    source_shape = dataset.source_shape
    check_data(config, shape, classes, source_shape, dataset.paired)
    recipe = configs.recipe_of(config, shape, classes, source_shape)
    nets, hyper = models.build(recipe.model), configs.hyper_of(config)
    job = Job(config, recipe, nets, hyper, dataset)
    shape_of_state(job)  # a size or a name that the networks refuse is refused here
    return job


def repeatable(config: ConfigDict) -> None:
    """Ask XLA for the same bytes in every run on a GPU, if the config does; a CPU gives them anyway.

    XLA reads its flags once, when the first array is made: too late in a process that has made one.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if config.deterministic and DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {DETERMINISTIC}".strip()


def shape_of_state(job: Job) -> TrainState:
    """The state's structure, shapes and dtypes, without computing it."""
    return jax.eval_shape(job.first, np.uint32(job.config.seed))


def table_of(dataset: data.Dataset) -> Batch:
    """All examples as a step takes them: images, labels and sources [N, ...], None where there are none."""
    return Batch(dataset.images, dataset.labels, dataset.sources)


def rows_of(job: Job, seed: int, step: int, n: int) -> np.ndarray:
    """The examples of n steps from `step` on: int32 [n, n_disc, B]."""
    shape = job.recipe.n_disc, job.recipe.batch_size, len(job.dataset.images)
    return data.indices(seed, step, n, *shape)


def why_halted(job: Job, seed: int, state: TrainState) -> str:
    """The first array that was not finite in the step after `state`, the last good one; "" where that is not found."""
    (rows,) = rows_of(job, seed, int(state.step), 1)
    batch = jax.tree.map(lambda x: x[rows], table_of(job.dataset))
    try:
        return first_bad(job.recipe, job.nets, state, batch)
    except jax.errors.JaxRuntimeError:  # one device may lack the memory
        return ""


def make_runner(job: Job) -> Runner:
    """The compiled chunk and its data on this machine's devices. Raises UserError for an uneven batch or too large a run.

    data.resident=auto: the data live on an accelerator where they fit there beside all that the program takes.
    """
    resident, table = job.config.data.resident, table_of(job.dataset)
    make = partial(runner_of, job)
    room = free_bytes(1)
    # never on a CPU of its own accord, whose memory is the host's, nor on a device that does not tell what is free
    auto = resident == "auto" and jax.default_backend() != "cpu"
    small = nbytes(table) < room < sys.maxsize
    keep = resident == "yes" or auto and bool(hosts.agree([small]).all())
    checked(job, keep)
    runner = make(keep)
    if not (auto and keep):
        return runner
    compiled = compiled_for(job, runner)
    if hosts.agree([taken(compiled) <= room]).all():
        return runner._replace(chunk=compiled)
    checked(job, False)
    return make(False)


def runner_of(job: Job, keep: bool) -> Runner:
    """The runner that a config names, with monitors if it asks for them. keep: the data live on the devices."""
    others = job.held_out
    if not hosts.agree([others is not None]).all():
        others = None
    make = PARALLEL[job.config.parallel]
    runner = make(job.recipe, job.nets, table_of(job.dataset), keep, others)
    return runner if job.config.monitor else runner._replace(look=None)


def checked(job: Job, keep: bool) -> None:
    """Raise UserError for a run that is too large for the machine. keep: whether the data live on the devices."""
    recipe, table = job.recipe, table_of(job.dataset)
    # on the device: its index
    example = 4 if keep else nbytes(table) // len(table.image)
    feed = job.config.scan_steps * recipe.n_disc * recipe.batch_size * example
    check_capacity(recipe, job.nets, shape_of_state(job), feed)


def compiled_for(job: Job, runner: Runner) -> Any:
    """The chunk's program, compiled and not run."""
    feed = runner.feed(rows_of(job, job.config.seed, 0, 1), job.config.scan_steps)
    return runner.chunk.lower(shape_of_state(job), feed, np.int32(1)).compile()
