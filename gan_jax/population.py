"""Many GANs in one program: the members of a group share everything but numbers, seeds, and so data order and noise.

`BACKENDS` names how the member axis is run. Each member computes what a run of its own does: `map` to the bit, `vmap`
to rounding. No backend has a collective: members never wait for one another.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gan_jax import config as configs
from gan_jax import data, models
from gan_jax.capacity import nbytes, taken
from gan_jax.chunk import make_chunk, make_look, resident
from gan_jax.data.order import orders
from gan_jax.job import Job, table_of
from gan_jax.observed import Observer
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

    def run(states: Any, table: Any, rows: Any, n: Any) -> Any:
        return jax.lax.map(lambda x: chunk(x[0], (table, x[1]), n), (states, rows))

    return run


def together(chunk: Run) -> Run:
    """All members in every operation."""

    def run(states: Any, table: Any, rows: Any, n: Any) -> Any:
        return jax.vmap(chunk, (0, (None, 0), None))(states, (table, rows), n)

    return run


BACKENDS: dict[str, Backend] = {
    "map": Backend(one_by_one, False, "fast"),
    "vmap": Backend(together, False, "gemm"),
    "devices_map": Backend(one_by_one, True, "fast"),
    "devices_vmap": Backend(together, True, "gemm"),
}


COPIES_SHARE = (
    0.25  # of a machine's memory that the data may take where each core has a copy
)


def devices_for(members: int, spread: bool, nbytes: int) -> list[Any]:
    """The devices that so many members are run on: no more than members, or than the CPU's memory has copies of the data."""
    devices = jax.local_devices()[: members if spread else 1]
    if jax.default_backend() == "cpu":
        copies = int(COPIES_SHARE * psutil.virtual_memory().total / nbytes)
        devices = devices[: max(1, copies)]
    return devices


class Population:
    """A group's states and the program that moves them.

    job: what all members share. configs: one of each member. backend: a row of BACKENDS.
    """

    def __init__(self, job: Job, members: list[Any], backend: str):
        """Members are padded to a multiple of the devices where they are spread. Nothing is on a device yet."""
        row = BACKENDS[backend]
        size = nbytes(table_of(job.dataset))
        devices = devices_for(len(members), row.spread, size)
        self.job, self.count, self.backend = job, len(members), backend
        self.mesh = jax.make_mesh(
            (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
        )
        room = -(-len(members) // len(devices)) * len(devices)
        members = [*members, *members[-1:] * (room - len(members))]
        self.seeds = np.array([config.seed for config in members], np.uint32)
        self.order = orders(2 * len(set(self.seeds)))
        self.hypers = jax.tree.map(
            lambda *x: np.stack(x), *map(configs.hyper_of, members)
        )
        self.copied, self.split = (
            NamedSharding(self.mesh, PartitionSpec(*x)) for x in ((), (AXIS,))
        )
        recipe, nets = written_for(job.recipe, row.conv)
        chunk = make_chunk(make_step(recipe, nets), resident)
        look = make_look(Observer(recipe, nets), resident)

        def look_in(state: Any, feed: Any, n: Any) -> Any:
            (table, held_out), rows = feed
            return look(state, (table, rows), held_out, n)

        self.run = jax.jit(self.mapped(row, chunk), donate_argnums=0)
        self.see = jax.jit(self.mapped(row, look_in))

    def mapped(self, row: Backend, f: Run) -> Run:
        """A function of one member as one of all, on their devices."""
        run = row.make(f)
        if not row.spread:
            return run
        own, same = PartitionSpec(AXIS), PartitionSpec()
        specs = (own, same, own, same)
        # no collectives, so nothing can vary by device that should not
        return jax.shard_map(
            run, mesh=self.mesh, in_specs=specs, out_specs=own, check_vma=False
        )

    @cached_property
    def held_out(self) -> Batch | None:
        """What the monitors judge beside the data, a copy on every device."""
        return jax.device_put(self.job.held_out, self.copied)

    @cached_property
    def table(self) -> Batch:
        """The data, a copy on every device."""
        return jax.device_put(table_of(self.job.dataset), self.copied)

    def bytes(self) -> int:
        """What the compiled programs take on each device, at most: data, states, and all between. Runs nothing."""

        def at(place: NamedSharding, tree: Any) -> Any:
            struct = partial(jax.ShapeDtypeStruct, sharding=place)
            return jax.tree.map(lambda x: struct(x.shape, x.dtype), tree)

        room = len(self.seeds)
        states = at(self.split, stacked_shapes(self.job, room))
        table = at(self.copied, table_of(self.job.dataset))
        rows = at(self.split, np.empty((room, *self.rows_shape), np.int32))
        programs = [self.run.lower(states, table, rows, np.int32(1))]
        if self.job.config.monitor:
            both = table, at(self.copied, self.job.held_out)
            programs.append(self.see.lower(states, both, rows, np.int32(1)))
        return max(taken(program.compile()) for program in programs)

    @property
    def rows_shape(self) -> tuple[int, int, int]:
        """The shape of one member's indices in a chunk of all scan_steps steps."""
        recipe = self.job.recipe
        return self.job.config.scan_steps, recipe.n_disc, recipe.batch_size

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

    def chunk(
        self, states: TrainState, step: int, n: int, look: bool = False
    ) -> tuple[TrainState, Any]:
        """The states n steps after `step`, and the last step's metrics, each with the members' axis first.

        look: the metrics hold what the monitors see, too.
        """
        shape = (*self.rows_shape[1:], len(self.job.dataset.images))
        full = np.zeros((len(self.seeds), *self.rows_shape), np.int32)
        for own in np.unique(self.seeds):
            rows = data.indices(int(own), step, n, *shape, self.order)
            full[self.seeds == own, :n] = rows
        rows = jax.device_put(full, self.split)
        states, metrics = self.run(states, self.table, rows, np.int32(n))
        if look:
            table = self.table, self.held_out
            metrics = metrics | self.see(states, table, rows, np.int32(n))
        return states, metrics


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
