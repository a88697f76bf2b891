"""Four devices against one, pmap against its definition, and lowering for accelerators that are not here."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gan_jax.chunk import make_chunk, streamed
from gan_jax.models import MODELS, TRANSLATORS
from gan_jax.parallel import AXIS, PARALLEL, check_batch
from gan_jax.penalties import PENALTIES
from gan_jax.regularisers import REGULARISERS
from gan_jax.step import init, make_step
from gan_jax.types import Batch, UserError
from tests.recipes import bits, close, moves, parts, pictures, tiny

OPTIMISED = True  # equalities of compiled programs
# SGD: Adam would hide a gradient that is four times too large
SGD = {
    "optim.gen.name": "sgd",
    "optim.disc.name": "sgd",
    "optim.gen.lr": 0.05,
    "optim.disc.lr": 0.05,
}
SIDE = (8, 8, 1)
TABLE = np.random.default_rng(0).integers(0, 256, (64, *SIDE)).astype(np.uint8)


def setting(**changes):
    c = tiny(
        **{
            "model.name": "dcgan",
            "model.width": 4,
            "model.init_std": 0.1,
            **SGD,
            **changes,
        }
    )
    recipe, nets, hyper = parts(c, SIDE)
    state = moves(recipe)[0](hyper, c.seed)
    indices = (
        np.random.default_rng(1)
        .integers(0, 64, (5, c.n_disc, c.batch_size))
        .astype(np.int32)
    )
    return c, recipe, nets, state, indices


def run(mode, keep, steps=5, **changes):
    _, recipe, nets, state, indices = setting(**changes)
    runner = PARALLEL[mode](recipe, nets, Batch(TABLE), keep)
    return runner.chunk(
        runner.place(state), runner.feed(indices[:steps], 5), np.int32(steps)
    )


def test_there_are_four_devices():
    assert jax.device_count() == 4


@pytest.mark.parametrize("mode", PARALLEL)
def test_resident_and_streamed_data_agree_bitwise(mode):
    assert bits(run(mode, True)) == bits(run(mode, False))


def test_jit_over_four_devices_is_the_single_device_mathematics():
    """One global batch: same noise, same statistics, same gradient, up to the order of sums."""
    changes = {
        "penalty.r1": 1.0,
        "data.flip": True,
        "model.dropout": 0.1,
        "trick.instance_noise": 0.1,
    }
    _, recipe, nets, state, indices = setting(**changes)
    chunk = jax.jit(make_chunk(make_step(recipe, nets), streamed))
    one, metrics = chunk(state, Batch(TABLE[indices]), 5)
    four, metrics4 = run("jit", False, **changes)
    close(four.players, one.players, rtol=1e-4, atol=1e-5)
    close(metrics4, metrics, rtol=1e-3, atol=1e-4)
    moved = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()),
        one.players.disc.params,
        state.players.disc.params,
    )
    assert max(jax.tree.leaves(moved)) > 1e-2, "the test would pass if nothing moved"


@pytest.mark.parametrize("mode", PARALLEL)
def test_no_device_does_the_work_of_others(mode):
    _, recipe, nets, state, indices = setting(**{"batch_size": 64, "penalty.r1": 1.0})

    def flops(chunk, *inputs):
        return chunk.lower(*inputs).compile().cost_analysis()["flops"]

    alone = jax.jit(make_chunk(make_step(recipe, nets), streamed))
    runner = PARALLEL[mode](recipe, nets, Batch(TABLE), False)
    shared = runner.place(state), runner.feed(indices, 5), np.int32(5)
    whole = flops(alone, state, Batch(TABLE[indices]), np.int32(5))
    assert 0.8 * whole < 4 * flops(runner.chunk, *shared) < 1.2 * whole


def test_pmap_averages_gradients_and_statistics_of_the_devices():
    """The devices of a pmap are the lanes of a vmap with the same axis name, where pmean is a plain mean."""
    c, recipe, nets, state, indices = setting()
    got, _ = run("pmap", False, steps=1)
    shares = TABLE[indices[0]].reshape(1, 4, c.batch_size // 4, *SIDE).swapaxes(0, 1)
    lanes = jax.vmap(make_step(recipe, nets, AXIS), in_axes=(None, 0), axis_name=AXIS)
    want, _ = jax.jit(lanes)(state, Batch(shares))
    for player in ("gen", "disc"):
        mean = jax.tree.map(lambda x: x[0], getattr(want.players, player))
        close(getattr(got.players, player).params, mean.params, rtol=1e-4, atol=1e-6)
        close(getattr(got.players, player).vars, mean.vars, rtol=1e-4, atol=1e-6)


def test_pmap_keeps_the_scale_of_a_gradient():
    """Without anything random or batch-wide, four shares move D exactly as one batch does."""
    changes = {
        "model.norm": "none",
        "model.latent_dist": "tests.own:constant",
        "optim.gen.lr": 0.0,
    }
    _, recipe, nets, state, indices = setting(**changes)
    chunk = jax.jit(make_chunk(make_step(recipe, nets), streamed))
    one, _ = chunk(state, Batch(TABLE[indices]), 1)
    four, _ = run("pmap", False, steps=1, **changes)
    close(four.players.disc.params, one.players.disc.params, rtol=1e-4, atol=1e-6)
    change = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()),
        one.players.disc.params,
        state.players.disc.params,
    )
    assert max(jax.tree.leaves(change)) > 1e-3


@pytest.mark.parametrize("mode", PARALLEL)
def test_the_state_is_one_copy_and_either_mode_loads_it(mode):
    other = {"jit": "pmap", "pmap": "jit"}[mode]
    state, _ = run(mode, False)
    shapes = jax.tree.map(lambda x: x.shape, jax.device_get(state.players.gen.params))
    _, recipe, nets, first, indices = setting()
    assert shapes == jax.tree.map(lambda x: x.shape, first.players.gen.params)
    runner = PARALLEL[other](recipe, nets, Batch(TABLE), False)
    saved = jax.tree.map(lambda x: x, state)
    on, _ = runner.chunk(runner.place(saved), runner.feed(indices[:1], 5), np.int32(1))
    assert int(on.step) == 6 and not bool(on.halted)


def test_a_batch_that_does_not_divide_is_refused_with_the_next_that_does():
    with pytest.raises(UserError, match="batch_size=12"):
        check_batch(10, 4)


def test_a_population_shards_over_devices_without_collectives():
    """Members over four devices equal the same members on one."""
    c, recipe, nets, _, _ = setting(
        **{"model.name": "mlp", "model.init": "xavier_uniform"}
    )
    hyper = parts(c, SIDE)[2]
    states = jax.jit(jax.vmap(partial(init, recipe, nets, hyper)))(jnp.arange(4))
    feed = Batch(np.stack([pictures(c, 3, SIDE, seed=i) for i in range(4)]))
    chunk = jax.vmap(
        make_chunk(make_step(recipe, nets), streamed), in_axes=(0, 0, None)
    )
    mesh = jax.make_mesh((4,), ("member",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("member"))
    spread = jax.jit(chunk, in_shardings=(rows, rows, None), out_shardings=rows)
    text = spread.lower(states, feed, 3).compile().as_text()
    assert "all-reduce" not in text and "all-gather" not in text
    close(
        spread(states, feed, 3)[0].players,
        jax.jit(chunk)(states, feed, 3)[0].players,
        atol=1e-5,
    )


LOWERED = {  # every network, and every penalty and regulariser at once
    **{name: {"model.name": name, "penalty.r1": 1.0} for name in MODELS},
    "penalties": {f"penalty.{name}": 1.0 for name in (*PENALTIES, *REGULARISERS)},
}
LOWERED["r3gan"]["model.norm"] = "none"
for name in TRANSLATORS:
    LOWERED[name] |= {"objective": "image_to_image", "data.source": "edges:digits"}
    LOWERED[name] |= {"model.latent_dim": 100}
LOWERED["began"]["loss"] = "began"


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("recipe", LOWERED)
def test_the_step_lowers_for_accelerators(platform, recipe):
    c = tiny(**{"model.width": 4, **LOWERED[recipe]})
    given = SIDE if c.model.name in TRANSLATORS else ()
    recipe, nets, hyper = parts(c, SIDE, given)
    state = jax.eval_shape(partial(init, recipe, nets, hyper), 0)
    step = jax.jit(make_step(recipe, nets))
    real = pictures(c, 1, SIDE)[0]
    batch = Batch(real, source=real if given else None)
    exported = jax.export.export(step, platforms=[platform])(state, batch)
    assert exported.platforms == (platform,)
