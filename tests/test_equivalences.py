"""Ways of running that must agree: chunks and single steps, a member of a population and its single run."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.chunk import make_chunk, resident, streamed
from gan_jax.step import init
from gan_jax.types import Batch
from tests.recipes import bits, close, moves, parts, pictures, start, tiny

OPTIMISED = True  # equalities of compiled programs
SIDE = (4, 4, 1)
MEMBERS = [  # what a sweep may vary inside one program
    {
        "optim.gen.lr": 2e-4,
        "optim.disc.lr": 1e-3,
        "optim.disc.b1": 0.5,
        "optim.gen.b2": 0.99,
        "model.dropout": 0.2,
        "model.norm_momentum": 0.9,
        "model.init_std": 0.02,
        "seed": 1,
    },
    {
        "optim.gen.lr": 1e-3,
        "optim.disc.lr": 1e-4,
        "optim.disc.b1": 0.0,
        "optim.gen.b2": 0.9,
        "model.dropout": 0.5,
        "model.norm_momentum": 0.5,
        "model.init_std": 0.2,
        "seed": 2,
    },
]


def members(**common):
    return [tiny(**{"model.init": "normal", **common, **m}) for m in MEMBERS]


def stacked(trees):
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def single(c, feed, shape):
    recipe, _, hyper = parts(c, shape)
    first, step = moves(recipe)
    state = jax.jit(first)(hyper, c.seed)  # in one program, as the population's
    return jax.jit(make_chunk(step, streamed))(state, feed, feed.image.shape[0])


def population(configs, feed, shape, mapping):
    """All members in one program: the same chunk under a mapping over a leading axis of states."""
    recipe, nets, _ = parts(configs[0], shape)
    assert all(parts(c, shape)[0] == recipe for c in configs), "one structure"
    hypers = stacked([parts(c, shape)[2] for c in configs])
    seeds = jnp.array([c.seed for c in configs])
    begin = jax.jit(partial(mapping, lambda args: init(recipe, nets, *args)))
    states = begin((hypers, seeds))
    step, _ = start(configs[0], shape)
    chunk = make_chunk(step, streamed)
    return jax.jit(partial(mapping, lambda args: chunk(*args, 20)))((states, feed))


def vmapped(f, args):
    return jax.vmap(f)(args)


MODELS = {
    "mlp": ({}, SIDE),
    "dcgan": (
        {"model.name": "dcgan", "model.width": 4, "model.init_std": 0.1},
        (8, 8, 1),
    ),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mapping", [jax.lax.map, vmapped], ids=["map", "vmap"])
def test_a_member_of_a_population_equals_its_single_run(model, mapping):
    changes, shape = MODELS[model]
    configs = members(**changes)
    feeds = [Batch(pictures(c, 20, shape, seed=c.seed)) for c in configs]
    states, metrics = population(configs, stacked(feeds), shape, mapping)
    for i, (c, feed) in enumerate(zip(configs, feeds, strict=True)):
        alone = single(c, feed, shape)
        member = jax.tree.map(lambda x, i=i: x[i], (states, metrics))
        if mapping is jax.lax.map:
            assert bits(member) == bits(alone)
        elif model == "mlp":
            close(member[0], alone[0], rtol=0, atol=1e-5)
        else:
            close(member[1]["loss/disc"], alone[1]["loss/disc"], rtol=1e-3)
    first, second = (
        jax.tree.leaves(jax.tree.map(lambda x, i=i: x[i], states.players))
        for i in (0, 1)
    )
    assert any(
        not np.allclose(a, b, atol=1e-3) for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_disc", [1, 2])
def test_any_grouping_into_chunks_gives_the_same_bytes(model, n_disc):
    changes, shape = MODELS[model]
    c = tiny(n_disc=n_disc, **{"penalty.r1": 0.1, "model.dropout": 0.1, **changes})
    step, first = start(c, shape)
    images = pictures(c, 40, shape)
    chunk = jax.jit(make_chunk(step, streamed))

    def run(sizes):
        state, at = first, 0
        for n in sizes:
            room = np.zeros_like(images)
            room[:n] = images[at : at + n]
            state, metrics = chunk(state, Batch(room), n)
            at += n
        return bits((state, metrics))

    whole = run([40])
    assert run([20, 20]) == whole
    assert run([7, 33]) == whole
    assert run([1] * 40) == whole


def test_resident_data_give_the_same_bytes_as_streamed():
    c = tiny()
    step, state = start(c)
    table = pictures(c, 5).reshape(-1, *SIDE)
    indices = (
        np.random.default_rng(1)
        .integers(0, len(table), (6, 1, c.batch_size))
        .astype(np.int32)
    )
    one = jax.jit(make_chunk(step, streamed))(state, Batch(table[indices]), 6)
    two = jax.jit(make_chunk(step, resident))(state, (Batch(table), indices), 6)
    assert bits(one) == bits(two)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    feed = Batch(pictures(tiny(), 3))
    one, two = single(tiny(), feed, SIDE), single(tiny(), feed, SIDE)
    assert bits(one) == bits(two)
    assert bits(single(tiny(seed=5), feed, SIDE)) != bits(one)
