"""Many GANs in one program: the members of a group share everything but numbers, seeds, and so data order and noise.

`BACKENDS` names how the member axis is run. Each member computes what a run of its own does: `map` to the bit, `vmap`
to rounding. No backend has a collective: members never wait for one another.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gan_jax import config as configs
from gan_jax import data, models
from gan_jax.chunk import make_chunk, resident
from gan_jax.job import Job
from gan_jax.step import init, make_step
from gan_jax.types import Batch, Pair, Recipe, TrainState

AXIS = "members"
Run = Callable[..., Any]  # (states, table, indices, n) -> (states, metrics)


class Backend(NamedTuple):
    """A row of BACKENDS: make(chunk) -> Run over the leading axis; spread: whether every device has its own members."""

    make: Callable[[Run], Run]
    spread: bool
    conv: str  # how convolutions are written where the config leaves it to us: batched kernels want matrix products


def one_by_one(chunk: Run) -> Run:
    """One member after the other: lazy penalties are skipped, and bits are those of single runs."""

    def run(states: Any, table: Batch, rows: Any, n: Any) -> Any:
        return jax.lax.map(lambda x: chunk(x[0], (table, x[1]), n), (states, rows))

    return run


def together(chunk: Run) -> Run:
    """All members in every operation."""

    def run(states: Any, table: Batch, rows: Any, n: Any) -> Any:
        return jax.vmap(chunk, (0, (None, 0), None))(states, (table, rows), n)

    return run


BACKENDS: dict[str, Backend] = {
    "map": Backend(one_by_one, False, "fast"),
    "vmap": Backend(together, False, "gemm"),
    "devices_map": Backend(one_by_one, True, "fast"),
    "devices_vmap": Backend(together, True, "gemm"),
}


class Population:
    """A group's states and the program that moves them.

    job: what all members share. configs: one of each member. backend: a row of BACKENDS.
    """

    def __init__(self, job: Job, members: list[Any], backend: str):
        """Put the data on the devices; members are padded to a multiple of their number where they are spread."""
        row = BACKENDS[backend]
        devices = jax.local_devices() if row.spread else jax.local_devices()[:1]
        self.job, self.count, self.backend = job, len(members), backend
        self.mesh = jax.make_mesh(
            (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
        )
        room = -(-len(members) // len(devices)) * len(devices)
        members = [*members, *members[-1:] * (room - len(members))]
        self.seeds = np.array([config.seed for config in members], np.uint32)
        self.hypers = jax.tree.map(
            lambda *x: np.stack(x), *map(configs.hyper_of, members)
        )
        copied, split = (
            NamedSharding(self.mesh, PartitionSpec(*x)) for x in ((), (AXIS,))
        )
        self.split = split
        table = Batch(job.dataset.images, job.dataset.labels)
        self.table = jax.device_put(table, copied)
        step = make_step(*written_for(job.recipe, row.conv))
        run = row.make(make_chunk(step, resident))
        if row.spread:
            own, same = PartitionSpec(AXIS), PartitionSpec()
            specs = (own, same, own, same)
            # no collectives, so nothing can vary by device that should not
            run = jax.shard_map(
                run, mesh=self.mesh, in_specs=specs, out_specs=own, check_vma=False
            )
        self.run = jax.jit(run, donate_argnums=0)

    def shapes(self) -> TrainState:
        """The structure, shapes and dtypes of the members' states, as they are saved: without padding."""
        return stacked_shapes(self.job, self.count)

    def init(self) -> TrainState:
        """Every member's first state."""
        begin = partial(init, self.job.recipe, self.job.nets)
        many = jax.jit(lambda x: jax.lax.map(lambda pair: begin(*pair), x))
        return self.place(many((self.hypers, self.seeds)))

    def place(self, states: TrainState) -> TrainState:
        """Put states on the devices; the last member stands in for what is missing."""
        rows = np.minimum(np.arange(len(self.seeds)), len(states.step) - 1)
        return jax.device_put(jax.tree.map(lambda x: x[rows], states), self.split)

    def chunk(self, states: TrainState, step: int, n: int) -> tuple[TrainState, Any]:
        """The states n steps after `step`, and the last step's metrics, each with the members' axis first."""
        config, recipe = self.job.config, self.job.recipe
        shape = (recipe.n_disc, recipe.batch_size, len(self.job.dataset.images))
        rows = [data.indices(int(s), step, n, *shape) for s in self.seeds]
        full = np.zeros((len(rows), config.scan_steps, *rows[0].shape[1:]), np.int32)
        full[:, :n] = rows
        rows = jax.device_put(full, self.split)
        return self.run(states, self.table, rows, np.int32(n))


def written_for(recipe: Recipe, conv: str) -> tuple[Recipe, Pair]:
    """A recipe, and its networks, with convolutions written as `conv` unless the config asks for another form."""
    if recipe.model.impl == "fast":
        recipe = replace(recipe, model=replace(recipe.model, impl=conv))
    return recipe, models.build(recipe.model)


def stacked_shapes(job: Job, count: int) -> TrainState:
    """The structure of `count` members' states without computing them."""
    one = jax.eval_shape(partial(init, job.recipe, job.nets, job.hyper), np.uint32(0))
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), one)


def member(states: Any, index: int) -> Any:
    """One member of anything that has the members' axis first."""
    return jax.tree.map(lambda x: x[index], states)
