"""Where a chunk runs: jit over a mesh of devices, or pmap. The step itself knows nothing of it.

`jit`: one global step, the batch sharded over the mesh; BatchNorm sees the global batch and noise is one
global draw, so any number of devices runs the same mathematics on the same data.
`pmap`: what published multi-GPU code did: each device normalises by its own share of the batch and draws its
own noise; gradients and running statistics are averaged. The state is one copy either way.

Over several processes (see hosts) only `jit` runs: the mesh spans the devices of all of them, each process gathers
the rows of its own devices, and the state is on every device of each.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gan_jax.chunk import make_chunk, make_look, resident, streamed
from gan_jax.observed import Observer
from gan_jax.step import make_step
from gan_jax.types import Batch, Pair, Recipe, UserError

AXIS = "data"


class Runner(NamedTuple):
    """chunk(state, feed, n) -> (state, metrics), and what makes its inputs.

    place(state) puts a state on the devices. feed(indices int32 [n, n_disc, B], capacity) makes the chunk's
    input with room for `capacity` steps, so that every n is the same program. look(state, feed, n) -> what the
    monitors see of the state that a chunk has led to; None where they are off.
    """

    chunk: Callable[..., Any]
    place: Callable[[Any], Any]
    feed: Callable[[np.ndarray, int], Any]
    look: Callable[..., Any] | None = None


def check_batch(batch_size: int, devices: int) -> None:
    """Raise UserError when the batch cannot be divided evenly."""
    if batch_size % devices:
        raise UserError(
            f"batch_size {batch_size} cannot be divided over {devices} devices; "
            f"set --config.batch_size={-(-batch_size // devices) * devices}"
        )


def padded(rows: np.ndarray, capacity: int) -> np.ndarray:
    """`rows` [n, ...] in an array of `capacity` rows; the rest is never read, so it is never written."""
    room = np.empty((capacity, *rows.shape[1:]), rows.dtype)
    room[: len(rows)] = rows
    return room


def pictures(table: Batch, indices: np.ndarray, capacity: int) -> Batch:
    """The pictures of a chunk, gathered on the host: [capacity, n_disc, B, ...]."""
    return jax.tree.map(lambda x: padded(x[indices], capacity), table)


def numbers(indices: np.ndarray, capacity: int) -> np.ndarray:
    """The indices themselves with room for `capacity` steps (zeros: they must stay in range)."""
    return np.concatenate(
        [indices, np.zeros((capacity - len(indices), *indices.shape[1:]), np.int32)]
    )


def placed(tree: Any, sharding: NamedSharding) -> Any:
    """Arrays that all processes have, on devices that may be those of several; typed keys stay typed."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def put(x: Any) -> Any:
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            impl = jax.random.key_impl(x)
            return jax.random.wrap_key_data(put(jax.random.key_data(x)), impl=impl)
        return jax.make_array_from_callback(
            x.shape, sharding, np.asarray(x).__getitem__
        )

    return jax.tree.map(put, tree)


def spread(
    table: Batch, indices: np.ndarray, capacity: int, sharding: NamedSharding
) -> Batch:
    """`pictures` on the devices, gathered for each one's rows: faster than to gather all and to split them."""

    def put(x: Any) -> Any:
        shape = (capacity, *indices.shape[1:], *x.shape[1:])

        def part(where: tuple[slice, ...]) -> np.ndarray:
            return padded(x[indices[:, *where[1:3]]], capacity)

        return jax.make_array_from_callback(shape, sharding, part)

    return jax.tree.map(put, table)


def near(tree: Any) -> Any:
    """Replicated arrays as this process's own, for programs that the others do not run; no copy is made."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def divided(nets: Pair, rows: NamedSharding) -> Pair:
    """The networks with G's inputs divided over devices as the examples are.

    Latents are drawn inside the step. Nothing else would say that they are to be divided, and XLA would run G, and D on
    what it makes, on the whole batch on every device.
    """

    def apply(params: Any, vars: Any, hyper: Any, *inputs: Any, **rest: Any) -> Any:
        inputs = jax.lax.with_sharding_constraint(inputs, rows)
        return nets.gen.apply(params, vars, hyper, *inputs, **rest)

    return nets._replace(gen=nets.gen._replace(apply=apply))


def jit_runner(
    recipe: Recipe, nets: Pair, table: Batch, keep: bool, held_out: Batch | None = None
) -> Runner:
    """One program over a mesh of all devices. `keep`: the whole set lives on the devices.

    held_out: a batch [B, ...] of other examples for the monitors.
    """
    devices = jax.devices()
    check_batch(recipe.batch_size, len(devices))
    mesh = jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,))
    copied = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(None, None, AXIS))
    rows = NamedSharding(mesh, PartitionSpec(AXIS))
    nets = divided(nets, rows) if len(devices) > 1 else nets
    observe = Observer(recipe, nets, devices=len(devices))
    step = make_step(recipe, nets)
    place = partial(placed, sharding=copied)
    if keep:
        whole = place(table)
        take, fed = resident, (copied, split)

        def feed(indices: np.ndarray, capacity: int) -> Any:
            return whole, placed(numbers(indices, capacity), split)
    else:
        take, fed = streamed, split

        def feed(indices: np.ndarray, capacity: int) -> Any:
            return spread(table, indices, capacity, split)

    over = partial(jax.jit, out_shardings=copied)
    shardings = (copied, fed, copied)
    run = over(make_chunk(step, take), in_shardings=shardings, donate_argnums=0)
    shardings = (copied, fed, rows, copied)
    look = over(make_look(observe, take), in_shardings=shardings)
    others = placed(held_out, rows)
    return Runner(run, place, feed, lambda state, fed, n: look(state, fed, others, n))


def pmap_runner(
    recipe: Recipe, nets: Pair, table: Batch, keep: bool, held_out: Batch | None = None
) -> Runner:
    """One program a device, gradients averaged between them. Raises UserError over several processes.

    held_out: as for `jit_runner`.
    """
    if jax.process_count() > 1:
        raise UserError("parallel=pmap runs in one process: set --config.parallel=jit")
    count = jax.device_count()
    check_batch(recipe.batch_size, count)
    step, observe = make_step(recipe, nets, AXIS), Observer(recipe, nets, AXIS)

    def shares(x: np.ndarray) -> np.ndarray:
        """[K, n_disc, B, ...] -> [devices, K, n_disc, B / devices, ...]."""
        k, n_disc, batch = x.shape[:3]
        x = x.reshape(k, n_disc, count, batch // count, *x.shape[3:])
        return np.moveaxis(x, 2, 0)

    place = jax.device_put
    if keep:
        whole = place(table)
        take, fed = resident, (None, 0)

        def feed(indices: np.ndarray, capacity: int) -> Any:
            return whole, shares(numbers(indices, capacity))
    else:
        take, fed = streamed, 0

        def feed(indices: np.ndarray, capacity: int) -> Any:
            return jax.tree.map(shares, pictures(table, indices, capacity))

    over = partial(jax.pmap, axis_name=AXIS, out_axes=None)
    run = over(make_chunk(step, take), in_axes=(None, fed, None))
    look = over(make_look(observe, take), in_axes=(None, fed, 0, None))
    others = jax.tree.map(
        lambda x: x.reshape(count, len(x) // count, *x.shape[1:]), held_out
    )
    return Runner(run, place, feed, lambda state, fed, n: look(state, fed, others, n))


PARALLEL: dict[str, Callable[..., Runner]] = {
    "jit": jit_runner,
    "pmap": pmap_runner,
}
