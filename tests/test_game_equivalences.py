"""A game with memory, run in every way: chunks, members of a population, four devices."""

import jax
import numpy as np
import pytest

from gan_jax.chunk import make_chunk, streamed
from gan_jax.parallel import PARALLEL
from gan_jax.types import Batch
from tests.recipes import bits, close, moves, parts, start, tiny
from tests.test_equivalences import population, single, stacked, vmapped

OPTIMISED = True  # equalities of compiled programs
SIDE = (8, 8, 1)
STEPS = 20  # what `population` runs
RICH = {
    "optim.gen.name": "sgd",
    "optim.disc.name": "sgd",
    "optim.gen.lr": 0.05,
    "optim.disc.lr": 0.1,
    "model.norm": "layer",
    "penalty.r1": 0.1,
    "penalty.every": 3,
    "penalty.lecam": 0.1,
    "penalty.historical_averaging": 0.1,
    "augment.color": True,
    "augment.target": 0.01,
    "augment.kimg": 0.4,
    "trick.top_k": 0.5,
    "schedule": "optim.gen.lr=linear:2:8:1:0.5;penalty.r1=step:5:5:1:2",
}
TABLE = np.random.default_rng(0).integers(0, 256, (64, *SIDE)).astype(np.uint8)
ORDER = np.random.default_rng(1).integers(0, 64, (STEPS, 1, 8)).astype(np.int32)
FEED = Batch(TABLE[ORDER])


def test_any_grouping_into_chunks_keeps_the_memory_to_the_byte():
    step, first = start(tiny(**RICH), SIDE)
    chunk = jax.jit(make_chunk(step, streamed))

    def run(sizes):
        state, at = first, 0
        for n in sizes:
            room = np.zeros_like(FEED.image)
            room[:n] = FEED.image[at : at + n]
            state, metrics = chunk(state, Batch(room), n)
            at += n
        return state, metrics

    state, metrics = whole = run([STEPS])
    assert bits(run([3, 17])) == bits(whole)
    assert not bool(state.halted) and float(state.memory["augment"]["p"]) > 0
    assert float(state.memory["historical_averaging"].gen["count"]) == STEPS
    assert float(state.memory["lecam"].disc["real"]) != 0


@pytest.mark.parametrize("mapping", [jax.lax.map, vmapped], ids=["map", "vmap"])
def test_a_member_of_a_population_equals_its_single_run(mapping):
    numbers = [{"penalty.lecam": 0.3, "trick.top_k": 0.75}, {"augment.kimg": 0.05}]
    configs = [tiny(**{**RICH, **n}, seed=i) for i, n in enumerate(numbers)]
    states, _ = population(configs, stacked([FEED, FEED]), SIDE, mapping)
    for i, c in enumerate(configs):
        alone = single(c, FEED, SIDE)[0]
        member = jax.tree.map(lambda x, i=i: x[i], states)
        if mapping is jax.lax.map:
            assert bits(member) == bits(alone)
        close(member, alone, rtol=0, atol=1e-5)


def spread(mode):
    c = tiny(**RICH)
    recipe, nets, hyper = parts(c, SIDE)
    state = jax.jit(moves(recipe)[0])(hyper, c.seed)  # as `single` does
    runner = PARALLEL[mode](recipe, nets, Batch(TABLE), False)
    feed = runner.feed(ORDER, STEPS)
    return runner.chunk(runner.place(state), feed, np.int32(STEPS))


def test_four_devices_under_jit_keep_the_memory_of_one():
    state, metrics = spread("jit")
    one, seen = single(tiny(**RICH), FEED, SIDE)
    close(state.players, one.players, rtol=1e-3, atol=1e-5)
    close(state.memory, one.memory, rtol=1e-3, atol=1e-5)
    close(metrics, seen, rtol=1e-3, atol=1e-4)


def test_pmap_keeps_one_copy_of_the_memory():
    state, metrics = spread("pmap")
    _, first = start(tiny(**RICH), SIDE)
    shapes = [jax.tree.map(np.shape, s.memory) for s in (state, first)]
    assert shapes[0] == shapes[1] and not bool(state.halted)
    assert float(state.memory["historical_averaging"].disc["count"]) == STEPS
    # the controller counts the whole batch: 8 pictures an update, 400 for p from 0 to 1
    p = float(state.memory["augment"]["p"]) / 0.02
    assert abs(p - round(p)) < 1e-4 and p > 0
    assert metrics["logits/real"].shape == (8,)
