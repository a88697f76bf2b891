"""What a config means on this machine: data, networks, numbers, devices."""

import os
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax import config as configs
from gan_jax import data, models
from gan_jax.capacity import check_capacity, nbytes
from gan_jax.combinations import check_data
from gan_jax.culprit import first_bad
from gan_jax.parallel import PARALLEL, Runner
from gan_jax.step import init
from gan_jax.types import Batch, Hyper, Pair, Recipe, TrainState

RESIDENT_SHARE = 0.4  # of an accelerator's free memory that the data may take
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


@dataclass(frozen=True)
class Job:
    """A validated config with everything it names."""

    config: ConfigDict
    recipe: Recipe
    nets: Pair
    hyper: Hyper
    dataset: data.Dataset


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
    start = partial(init, job.recipe, job.nets, job.hyper)
    return jax.eval_shape(start, np.uint32(job.config.seed))


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


def fits_device(nbytes: int) -> bool:
    """Whether data of this size can live on the accelerator. Never on a CPU: its memory is the host's."""
    if jax.default_backend() == "cpu":
        return False
    stats = jax.local_devices()[0].memory_stats() or {}
    free = stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0)
    return nbytes < RESIDENT_SHARE * free


def make_runner(job: Job) -> Runner:
    """The compiled chunk and its data on this machine's devices. Raises UserError for an uneven batch or too large a run."""
    table, recipe = table_of(job.dataset), job.recipe
    resident, size = job.config.data.resident, nbytes(table)
    keep = {"yes": True, "no": False}.get(resident, fits_device(size))
    example = 4 if keep else size // len(table.image)  # on the device: its index
    feed = job.config.scan_steps * recipe.n_disc * recipe.batch_size * example
    check_capacity(recipe, job.nets, shape_of_state(job), feed)
    return PARALLEL[job.config.parallel](recipe, job.nets, table, keep)
