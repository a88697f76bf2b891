"""What a machine can hold: refuses, before any work, a run that must run out of memory."""

import sys
from functools import partial
from typing import Any

import jax
import numpy as np
import psutil

from gan_jax.types import Hyper, Pair, Recipe, TrainState, UserError

SHARE = 0.8  # of the free memory: evaluation and checkpoints need some too
GIB = 2**30
PRODUCTS = ("dot_general", "conv_general_dilated")  # whose results a gradient keeps


def free_bytes(devices: int) -> int:
    """What a program may take on each of the devices. The CPU's devices share the machine's memory."""
    if jax.default_backend() == "cpu":
        return int(SHARE * psutil.virtual_memory().available / devices)
    stats = jax.local_devices()[0].memory_stats()
    if not stats:  # a device that does not tell
        return sys.maxsize
    return int(SHARE * (stats["bytes_limit"] - stats["bytes_in_use"]))


def nbytes(tree: Any) -> int:
    """Bytes of a tree of arrays or of their shapes; a random key counts as 8."""
    return sum(
        int(np.prod(x.shape, dtype=object)) * getattr(x.dtype, "itemsize", 8)
        for x in jax.tree.leaves(tree)
    )


def products(jaxpr: Any) -> int:
    """Bytes of the results of all matrix products and convolutions of a program, wherever they are nested."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            total += nbytes([x.aval for x in equation.outvars])
        inner = jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        )
        for x in inner:
            x = getattr(x, "jaxpr", x)
            total += products(x) if hasattr(x, "eqns") else 0
    return total


def forward_bytes(recipe: Recipe, nets: Pair, hyper: Hyper, state: TrainState) -> int:
    """What one forward pass of each network leaves for its gradient, over the whole batch; at least this is needed."""
    spec, size = recipe.model, recipe.batch_size
    struct = partial(jax.ShapeDtypeStruct, dtype=np.float32)
    label = (jax.ShapeDtypeStruct((size,), np.int32),)
    label = () if spec.condition == "none" else label
    packs, m = size // recipe.packing, recipe.packing
    *sides, channels = spec.image_shape
    shapes = Pair((size, spec.latent_dim), (packs, *sides, m * channels))
    total = 0
    for net, player, shape in zip(nets, state.players, shapes, strict=True):
        apply = partial(net.apply, train=True)
        key = jax.eval_shape(lambda: jax.random.key(0))
        arguments = player.params, player.vars, hyper, struct(shape), *label
        total += products(jax.make_jaxpr(apply)(*arguments, key=key).jaxpr)
    return total


def check_capacity(
    recipe: Recipe, nets: Pair, hyper: Hyper, state: TrainState, feed: int
) -> None:
    """Raise UserError when a run must run out of memory, saying of what it needs most.

    state: its shapes. feed: bytes of the examples of one dispatch. What is counted is the least that is needed, so a
    run that passes may still be too large.
    """
    devices = jax.device_count()
    forward = forward_bytes(recipe, nets, hyper, state)
    parts = {
        "the networks and their optimizers: lower model.width or model.latent_dim": nbytes(
            state
        ),
        "a pass over a batch: lower batch_size": forward // devices,
        "the examples of a dispatch: lower scan_steps, n_disc or batch_size": feed
        // devices,
    }
    need, room = sum(parts.values()), free_bytes(devices)
    if need > room:
        most = max(parts, key=parts.get)
        raise UserError(
            f"this run takes at least {need / GIB:,.1f} GiB of each device and {room / GIB:,.1f} are free; "
            f"{parts[most] / GIB:,.1f} are {most}"
        )
