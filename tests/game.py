"""Whole steps of the tiny GAN of recipes.py: one compilation a recipe, whatever its numbers."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import config
from gan_jax.types import Batch
from tests.recipes import bits, moves, pictures, tiny

SGD = {  # small programs: compiling is most of the time
    "model.depth": 1,
    "model.norm": "none",
    "optim.gen.name": "sgd",
    "optim.disc.name": "sgd",
    "optim.gen.lr": 0.1,
    "optim.disc.lr": 0.1,
}
CLASSES = 3


def game(side=4, **changes):
    """(config, step function, first state)."""
    c = tiny(**changes)
    recipe = config.recipe_of(c, (side, side, 1), CLASSES)
    first, step = moves(recipe)
    return c, jax.jit(step), first(config.hyper_of(c), c.seed)


def feed(c, steps, side=4):
    labels = np.random.default_rng(1).integers(0, CLASSES, (steps, c.n_disc, 8))
    images = pictures(c, steps, (side, side, 1))
    return [Batch(x, y.astype(np.int32)) for x, y in zip(images, labels, strict=True)]


def played(steps, side=4, numbers=None, **changes):
    """[first state, after one step, ...] and the metrics of each step; `numbers` are set in the state's hyper."""
    c, step, state = game(side, **changes)
    for name, value in (numbers or {}).items():
        state = with_number(state, name, value)
    states, metrics = [state], []
    for batch in feed(c, steps, side):
        state, seen = step(state, batch)
        states.append(state)
        metrics.append(seen)
    return states, metrics


def with_number(state, name, value):
    hyper = jax.tree.map(lambda x: x, state.hyper)
    *groups, last = name.split(".")
    node = functools.reduce(lambda tree, group: tree[group], groups, hyper)
    node[last] = jnp.float32(value)
    return replace(state, hyper=hyper)


def with_disc(state, params):
    disc = replace(state.players.disc, params=params)
    return replace(state, players=state.players._replace(disc=disc))


def moved(states, player):
    """What the last step added to a player's parameters."""
    old, new = (getattr(s.players, player).params for s in states[-2:])
    return jax.tree.map(jnp.subtract, new, old)


def length(tree):
    return float(np.sqrt(sum(float(jnp.sum(x**2)) for x in jax.tree.leaves(tree))))


def scaled(tree, factor):
    return jax.tree.map(lambda x: factor * x, tree)


def of(state, player):
    return bits(getattr(state.players, player))
