"""The step's mathematics: who moves, how often, with what; gates; averages; the halt."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.chunk import make_chunk, streamed
from gan_jax.config import flatten
from gan_jax.step import FIXED_NOISE, average, prepare
from gan_jax.turns import OPTIMIZERS
from gan_jax.types import Batch
from tests.recipes import bits, close, pictures, start, tiny


@functools.cache
def played(changes, steps):
    """The state and metrics after some single steps; one compilation for each recipe."""
    c, shape = tiny(**dict(changes)), (4, 4, 1)
    step, state = start(c, shape)
    step = jax.jit(step)
    for image in pictures(c, steps, shape):
        state, metrics = step(state, Batch(image))
    return state, metrics


def after(c, steps=1):
    """The same for a config."""
    return played(frozenset(flatten(c).items()), steps)


@pytest.mark.parametrize("still", ["gen", "disc"])
def test_a_player_without_a_learning_rate_does_not_move(still):
    c = tiny(**{f"optim.{still}.lr": 0.0})
    _, first = start(c)
    state, _ = after(c, 3)
    other = {"gen": "disc", "disc": "gen"}[still]
    assert bits(getattr(state.players, still).params) == bits(
        getattr(first.players, still).params
    )
    assert bits(getattr(state.players, other).params) != bits(
        getattr(first.players, other).params
    )


@pytest.mark.parametrize(("n_disc", "n_gen"), [(1, 1), (3, 1), (1, 2), (2, 3)])
def test_updates_are_counted(n_disc, n_gen):
    state, _ = after(tiny(n_disc=n_disc, n_gen=n_gen), 2)
    counts = [int(player.opt[0].count) for player in state.players]
    assert counts == [2 * n_gen, 2 * n_disc]
    assert int(state.step) == 2


def test_disc_split_is_two_updates_of_the_discriminator():
    state, _ = after(tiny(**{"trick.disc_split": True}), 2)
    assert int(state.players.disc.opt[0].count) == 4


def test_disc_split_halves_add_up_to_the_whole_gradient():
    """With SGD and a small rate two half-steps are one whole step, to first order."""
    plain = {
        "optim.disc.name": "sgd",
        "optim.disc.lr": 1e-4,
        "optim.gen.lr": 0.0,
        "model.norm": "none",
    }
    _, first = start(tiny(**plain))
    whole, _ = after(tiny(**plain))
    split, _ = after(tiny(**plain, **{"trick.disc_split": True}))
    moved = jax.tree.map(
        jnp.subtract, whole.players.disc.params, first.players.disc.params
    )
    moved2 = jax.tree.map(
        jnp.subtract, split.players.disc.params, first.players.disc.params
    )
    close(moved, moved2, rtol=0.02, atol=2e-7)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(moved)) > 1e-5


def test_share_noise_changes_the_generator_only():
    shared, _ = after(tiny())
    fresh, _ = after(tiny(**{"trick.share_noise": False}))
    close(shared.players.disc.params, fresh.players.disc.params, atol=1e-7)
    assert bits(shared.players.gen.params) != bits(fresh.players.gen.params)


def test_each_disc_update_sees_its_own_batch():
    """Reversing the order of two batches changes D; the last batch is what G's context holds."""
    c = tiny(n_disc=2)
    step, state = start(c)
    step, image = jax.jit(step), pictures(c, 1)[0]
    one, _ = step(state, Batch(image))
    two, _ = step(state, Batch(image[::-1]))
    same, _ = step(state, Batch(image))
    assert bits(one) == bits(same)
    assert bits(one.players.disc.params) != bits(two.players.disc.params)


def test_sgd_step_is_the_gradient():
    """One SGD update of D equals theta - lr * grad of the loss, written out by hand."""
    rate = 0.1
    c = tiny(
        **{
            "optim.disc.name": "sgd",
            "optim.disc.lr": rate,
            "optim.gen.lr": 0.0,
            "model.norm": "none",
        }
    )
    _, first = start(c)
    state, metrics = after(c)
    moved = jax.tree.map(
        lambda a, b: (a - b) / rate,
        first.players.disc.params,
        state.players.disc.params,
    )
    norm = np.sqrt(sum(float(jnp.sum(x**2)) for x in jax.tree.leaves(moved)))
    np.testing.assert_allclose(norm, float(metrics["grad/disc"]), rtol=1e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_state_has_one_structure_for_all_numbers(name):
    makes = [
        OPTIMIZERS[name](
            {"lr": lr, "b1": b, "b2": b, "eps": 1e-8, "momentum": m, "weight_decay": w}
        )
        for lr, b, m, w in [(0.0, 0.0, 0.0, 0.0), (1.0, 0.9, 0.9, 0.1)]
    ]
    params = {"w": jnp.ones(3)}
    trees = [jax.tree.structure(tx.init(params)) for tx in makes]
    assert trees[0] == trees[1]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains(name):
    c = tiny(**{"optim.gen.name": name, "optim.disc.name": name})
    _, first = start(c)
    state, _ = after(c, 2)
    assert not bool(state.halted)
    assert all(
        a != b
        for a, b in zip(bits(state.players), bits(first.players), strict=True)
        if len(a) > 8
    )


def test_average_warms_up():
    for t, decay in [(0, 0.1), (8, 0.5), (10_000, 0.999)]:
        got = average(
            jnp.float32(1.0), jnp.float32(0.0), jnp.float32(0.999), jnp.int32(t)
        )
        np.testing.assert_allclose(got, decay, rtol=1e-5)


def test_ema_follows_parameters_and_statistics():
    c = tiny(ema_decay=0.0)
    state, _ = after(c, 2)
    assert bits(state.ema["params"]) == bits(state.players.gen.params)
    close(state.ema["vars"], state.players.gen.vars, rtol=1e-5)
    assert state.ema["vars"], "the recipe has BatchNorm, so there are statistics"
    kept, _ = after(tiny(ema_decay=0.9999), 1)
    _, first = start(tiny())
    want = jax.tree.map(
        lambda a, b: 0.1 * a + 0.9 * b, first.ema["params"], kept.players.gen.params
    )
    close(kept.ema["params"], want, atol=1e-6)


def test_prepare_scales_and_mirrors():
    image = pictures(tiny(batch_size=512), 1)[0]
    plain = prepare(Batch(image), False, jax.random.key(0)).image
    np.testing.assert_allclose(plain, image / 127.5 - 1, atol=1e-6)
    flipped = np.asarray(prepare(Batch(image), True, jax.random.key(0)).image)
    turned = np.all(flipped == np.asarray(plain)[..., ::-1, :], axis=(2, 3, 4))
    kept = np.all(flipped == np.asarray(plain), axis=(2, 3, 4))
    assert np.all(turned | kept) and 0.4 < turned.mean() < 0.6


def test_instance_noise_reaches_both_batches_and_fades():
    c = tiny(**{"trick.instance_noise": 0.5, "trick.instance_noise_steps": 2})
    clean = tiny()
    noisy, plain = after(c)[1], after(clean)[1]
    for side in ("logits/real", "logits/fake"):
        assert float(jnp.abs(noisy[side] - plain[side]).max()) > 1e-3
    # at step 2 the noise is gone: the same state then gives the same logits
    step, state = start(c)
    quiet, _ = start(clean)
    late = jax.tree.map(lambda x: x, state)
    late = type(late)(**{**vars(late), "step": jnp.int32(2)})
    image = Batch(pictures(c, 1)[0])
    np.testing.assert_allclose(
        jax.jit(step)(late, image)[1]["logits/real"],
        jax.jit(quiet)(late, image)[1]["logits/real"],
        atol=1e-6,
    )


def test_label_smoothing_reaches_the_loss():
    plain, smooth = after(tiny())[1], after(tiny(**{"trick.label_smooth": 0.1}))[1]
    real = np.asarray(plain["logits/real"])
    extra = 0.1 * np.mean(np.logaddexp(0, real) - np.logaddexp(0, -real))
    np.testing.assert_allclose(
        smooth["loss/disc"] - plain["loss/disc"], extra, atol=1e-5
    )


def test_penalty_is_weighted_once():
    c = tiny(
        **{
            "penalty.r1": 3.0,
            "optim.disc.name": "sgd",
            "optim.disc.lr": 1.0,
            "optim.gen.lr": 0.0,
        }
    )
    none = tiny(**{"optim.disc.name": "sgd", "optim.disc.lr": 1.0, "optim.gen.lr": 0.0})
    twice = tiny(
        **{
            "penalty.r1": 6.0,
            "optim.disc.name": "sgd",
            "optim.disc.lr": 1.0,
            "optim.gen.lr": 0.0,
        }
    )
    params = [after(x)[0].players.disc.params for x in (none, c, twice)]
    one = jax.tree.map(jnp.subtract, params[1], params[0])
    two = jax.tree.map(jnp.subtract, params[2], params[0])
    close(jax.tree.map(lambda x: 2 * x, one), two, atol=1e-5)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(one)) > 1e-4


@pytest.mark.parametrize("where", ["data", "parameter"])
def test_the_first_non_finite_number_freezes_the_state(where):
    c = tiny(**({} if where == "data" else {"optim.disc.lr": 1e38}))
    step, state = start(c)
    feed = pictures(c, 6).astype(np.float32) / 127.5 - 1
    if where == "data":
        feed[3, 0, 0] = np.nan
    chunk = jax.jit(make_chunk(step, streamed))
    good, _ = chunk(state, Batch(feed), 3)
    done, metrics = chunk(state, Batch(feed), 6)
    assert bool(done.halted)
    if where == "data":
        assert int(done.step) == 3 and not bool(good.halted)
        assert bits(done.players) == bits(good.players) and bits(done.ema) == bits(
            good.ema
        )
        assert not np.isfinite(float(metrics["loss/disc"])), (
            "the metrics are those of the bad step"
        )
    assert all(
        np.all(np.isfinite(x))
        for x in jax.tree.leaves(done.players)
        if x.dtype == np.float32
    )


@pytest.mark.parametrize(
    "loss", ["saturating", "least_squares", "hinge", "wasserstein"]
)
def test_every_loss_with_every_penalty_takes_a_step(loss):
    state, metrics = after(
        tiny(loss=loss, **{"penalty.r1": 1.0, "penalty.gp": 10.0}), 2
    )
    assert not bool(state.halted) and float(metrics["penalty/gp"]) >= 0


def test_your_own_loss_needs_no_fork():
    state, metrics = after(tiny(loss="tests.own:my_loss"))
    assert not bool(state.halted)
    np.testing.assert_allclose(metrics["loss/gen"], 7.0, rtol=1e-6)


def test_the_fixed_noise_is_no_step():
    assert FIXED_NOISE > np.iinfo(np.int32).max


def test_bfloat16_keeps_float32_parameters_and_losses():
    state, metrics = after(tiny(precision="bfloat16"), 2)
    floats = jax.tree.leaves((state.players, state.ema, metrics))
    assert all(x.dtype in (jnp.float32, jnp.int32) for x in floats)
    assert not bool(state.halted)
    exact = after(tiny(), 2)[1]
    assert float(metrics["loss/disc"]) != float(exact["loss/disc"])
    np.testing.assert_allclose(metrics["loss/disc"], exact["loss/disc"], rtol=0.05)
