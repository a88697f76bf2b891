"""Tricks as pure functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.tricks import (
    FEATURE_MATCHING,
    instance_noise,
    keep,
    label_flip,
    linear_decay,
    pack,
    stalled,
    top_k,
    unpack,
)

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(size=(2, 6, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("step", "steps", "want"),
    [(0, 10, 1.0), (5, 10, 0.5), (10, 10, 0.0), (99, 10, 0.0), (7, 0, 1.0)],
)
def test_linear_decay(step, steps, want):
    np.testing.assert_allclose(linear_decay(step, steps), want, atol=1e-7)


def test_instance_noise_has_the_standard_deviation_asked_for():
    x = jnp.full((100, 1000), 2.0)
    noisy = instance_noise(x, 0.3, jax.random.key(0)) - x
    np.testing.assert_allclose(noisy.std(), 0.3, rtol=0.01)
    np.testing.assert_allclose(noisy.mean(), 0.0, atol=0.005)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_label_flip_exchanges_a_share_of_the_pairs(share):
    n = 10_000
    real, fake = jnp.arange(n) + 0.0, -1.0 - jnp.arange(n)
    a, b = map(np.asarray, label_flip(real, fake, share, jax.random.key(0)))
    swapped = a < 0
    np.testing.assert_array_equal(a, np.where(swapped, fake, real))
    np.testing.assert_array_equal(b, np.where(swapped, real, fake))
    margin = 4 * np.sqrt(share * (1 - share) / n)  # four standard errors, either side
    assert abs(swapped.mean() - share) <= margin
    other = label_flip(real, fake, share, jax.random.key(1))[0]
    assert np.array_equal(a, other) == (share in (0.0, 1.0))


@pytest.mark.parametrize(
    ("share", "kept"),
    [(0.5, [1, 3]), (1.0, [0, 1, 2, 3]), (1e-6, [3]), (0.8, [0, 1, 3])],
)
def test_top_k_keeps_the_highest_and_sums_to_1(share, kept):
    weights = top_k(jnp.array([0.1, 2.0, -1.0, 3.0]), share)
    want = np.zeros(4)
    want[kept] = 1 / len(kept)
    np.testing.assert_allclose(weights, want, rtol=1e-6)


def test_top_k_of_ties_keeps_as_many_as_it_should():
    weights = np.asarray(top_k(jnp.zeros(8), 0.25))
    assert sorted(weights) == [0] * 6 + [0.5] * 2


def test_top_k_gives_a_gradient_to_the_kept_alone():
    def loss(x):
        return jnp.sum(top_k(x, 0.5) * x**2)

    x = jnp.array([1.0, 4.0, 3.0, 2.0])
    np.testing.assert_allclose(jax.grad(loss)(x), [0.0, 4.0, 3.0, 0.0], rtol=1e-6)


FORMS = {
    "l2_of_means": lambda r, f: np.sum((r.mean(0) - f.mean(0)) ** 2),
    "l1_of_means": lambda r, f: np.mean(np.abs(r.mean(0) - f.mean(0))),
    "per_sample_l2": lambda r, f: np.mean((r - f) ** 2),
    "per_sample_sum": lambda r, f: np.sum(np.mean((r - f) ** 2, 1)),
}


@pytest.mark.parametrize("form", FEATURE_MATCHING)
def test_the_forms_of_feature_matching(form):
    got = FEATURE_MATCHING[form](REAL, FAKE)
    np.testing.assert_allclose(got, FORMS[form](REAL, FAKE), rtol=1e-5)
    shuffled = FEATURE_MATCHING[form](REAL, FAKE[::-1].copy())
    of_means = "per_sample" not in form
    assert np.isclose(got, shuffled, rtol=1e-5) == of_means


def test_a_tenth_of_the_published_sum_is_6_4_mean_squares():
    """configs/sources/shekkizh_celeba.py: 64 pictures of 64 x 64 pixels, 4 x 4 x 512 features."""
    real, fake = RNG.normal(size=(2, 64, 4 * 4 * 512)).astype(np.float32)
    half_sum = np.sum((real - fake).astype(np.float64) ** 2) / 2
    ours = FEATURE_MATCHING["per_sample_sum"](real, fake)
    np.testing.assert_allclose(ours, half_sum / (64 * 64), rtol=1e-5)
    mean_squares = FEATURE_MATCHING["per_sample_l2"](real, fake)
    np.testing.assert_allclose(0.1 * ours, 6.4 * mean_squares, rtol=1e-5)


@pytest.mark.parametrize("shape", [(12, 4, 3, 2), (12, 5)])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_unpack_is_the_inverse_of_pack(shape, m):
    x = RNG.normal(size=shape).astype(np.float32)
    packed = pack(x, m)
    assert packed.shape == (12 // m, *shape[1:-1], m * shape[-1])
    np.testing.assert_array_equal(unpack(packed, m), x)


@pytest.mark.parametrize("shape", [(6, 4, 3, 2), (6, 2)])
def test_a_pack_holds_neighbours_one_after_the_other_in_its_channels(shape):
    x = RNG.normal(size=shape).astype(np.float32)
    packed = np.asarray(pack(x, 3))
    for i in range(2):
        want = np.concatenate([x[3 * i], x[3 * i + 1], x[3 * i + 2]], axis=-1)
        np.testing.assert_array_equal(packed[i], want)


@pytest.mark.parametrize(
    ("bound", "player", "metric", "value", "rests"),
    [
        ("stall_disc_accuracy", "disc", "disc/accuracy", 0.9, True),
        ("stall_disc_accuracy", "disc", "disc/accuracy", 0.7, False),
        ("stall_disc_loss", "disc", "loss/disc", 0.7, True),
        ("stall_disc_loss", "disc", "loss/disc", 0.9, False),
        ("stall_gen_loss", "gen", "loss/gen", 0.7, True),
        ("stall_gen_loss", "gen", "loss/gen", 0.9, False),
    ],
)
def test_a_player_rests_beyond_its_bound(bound, player, metric, value, rests):
    got = stalled({metric: jnp.float32(value)}, {bound: 0.8})
    other = {"gen": "disc", "disc": "gen"}[player]
    assert bool(got[player]) == rests and not bool(got[other])


def test_one_of_two_bounds_is_enough_to_rest():
    bounds = {"stall_disc_accuracy": 0.8, "stall_disc_loss": 0.3}
    for accuracy, loss, rests in [(0.9, 1.0, 1), (0.5, 0.1, 1), (0.5, 1.0, 0)]:
        seen = {"disc/accuracy": jnp.float32(accuracy), "loss/disc": jnp.float32(loss)}
        assert bool(stalled(seen, bounds)["disc"]) == rests


def test_a_bound_on_a_metric_that_is_not_there_waits():
    assert not any(map(bool, stalled({}, {"stall_gen_loss": 0.8}).values()))


def test_keep_takes_the_old_tree_or_the_new():
    old, new = {"a": jnp.zeros(2), "b": jnp.int32(1)}, {"a": jnp.ones(2), "b": 2}
    for rest, want in [(True, old), (False, new)]:
        got = jax.jit(keep)(jnp.bool_(rest), new, old)
        assert jax.tree.all(jax.tree.map(np.array_equal, got, want))
