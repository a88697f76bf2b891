"""What a machine can hold: refuses, before any work, a run that must run out of memory."""

import sys
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import psutil

from gan_jax.judging import Context
from gan_jax.objectives import OBJECTIVES
from gan_jax.turns import bind, both
from gan_jax.types import Batch, Pair, Recipe, TrainState, UserError, lookup

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


def taken(compiled: Any) -> int:
    """Bytes that a compiled program takes on each device, its inputs among them."""
    used = compiled.memory_analysis()
    size = used.argument_size_in_bytes + used.output_size_in_bytes
    return size + used.temp_size_in_bytes - used.alias_size_in_bytes


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


def forward_bytes(recipe: Recipe, nets: Pair, state: TrainState) -> int:
    """What the passes of a batch leave for a gradient: those of G, and one of D; at least this is needed.

    state: its shapes. Counted in the objective's own `generate` and `disc_loss`, of which nothing is computed; without
    penalties, regularisers and augmentation, whose passes XLA may share with these. D judges real and fake examples
    with each of its networks, passes that need not be kept together.
    """
    bare = replace(recipe, penalties=(), regularisers=(), augment=(), adaptive=False)
    row = lookup("objective", OBJECTIVES, recipe.objective)
    objective, passes = bind(bare, nets), 2 * max(1, len(row.networks))

    def generate(state: TrainState, batch: Batch) -> Any:
        at = Context(batch, state.hyper, state.memory, state.step, state.key)
        fed, gen = objective.inputs(state.key, batch), state.players.gen
        return objective.generate(gen.params, gen.vars, at, fed, state.key)[0]

    def judge(state: TrainState, batch: Batch, made: Any) -> Any:
        at = Context(batch, state.hyper, state.memory, state.step, state.key)
        disc = state.players.disc
        return objective.disc_loss(disc.params, disc.vars, at, made, both)[0]

    batch = examples(recipe)
    made = jax.eval_shape(generate, state, batch)
    of_gen = products(jax.make_jaxpr(generate)(state, batch).jaxpr)
    of_disc = products(jax.make_jaxpr(judge)(state, batch, made).jaxpr)
    # of passes that are run again only one is there at a time
    together = max if recipe.model.remat == "all" else sum
    return together((of_gen, of_disc // passes))


def examples(recipe: Recipe) -> Batch:
    """The shapes of one batch inside a step."""
    spec, size = recipe.model, recipe.batch_size
    label = jax.ShapeDtypeStruct((size,), np.int32)
    image, source = (
        jax.ShapeDtypeStruct((size, *shape), np.float32) if shape else None
        for shape in (spec.image_shape, spec.source_shape)
    )
    return Batch(image, label, source)


def check_capacity(recipe: Recipe, nets: Pair, state: TrainState, feed: int) -> None:
    """Raise UserError when a run must run out of memory, saying of what it needs most.

    state: its shapes. feed: bytes of the examples of one dispatch. What is counted is the least that is needed, so a
    run that passes may still be too large.
    """
    devices = jax.device_count()
    forward = forward_bytes(recipe, nets, state)
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
