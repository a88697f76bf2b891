"""Latents: noise, codes behind it, classes asked for."""

import jax
import numpy as np
import pytest

from gan_jax.latents import LATENTS, codes_of, draw_latents, noise_size, with_class
from gan_jax.types import ModelSpec

KEY = jax.random.key(0)
N = 2000


def spec(many=2, classes=3, continuous=4, noise=5, dist="normal"):
    size = noise + many * classes + continuous
    codes = (many, classes, continuous)
    return ModelSpec(
        "mlp", (2,), latent_dim=size, codes=codes, latent_dist=dist, norm="none"
    )


def test_sizes():
    assert noise_size(spec()) == 5
    assert draw_latents(spec(), KEY, 7).shape == (7, 15)
    plain = ModelSpec("mlp", (2,), latent_dim=9)
    assert noise_size(plain) == 9 and draw_latents(plain, KEY, 7).shape == (7, 9)


def test_categorical_codes_are_one_hot_blocks_of_uniform_choice():
    blocks = np.asarray(draw_latents(spec(), KEY, N))[:, 5:11].reshape(N, 2, 3)
    assert set(np.unique(blocks)) == {0.0, 1.0}
    np.testing.assert_array_equal(blocks.sum(2), 1)
    np.testing.assert_allclose(blocks.mean(0), 1 / 3, atol=0.05)
    both = np.einsum("na,nb->ab", blocks[:, 0], blocks[:, 1]) / N
    np.testing.assert_allclose(both, 1 / 9, atol=0.03)  # two codes are independent


def test_continuous_codes_are_uniform():
    u = np.asarray(draw_latents(spec(), KEY, N))[:, 11:]
    assert u.min() >= -1 and u.max() <= 1
    np.testing.assert_allclose(u.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(u.var(0), 1 / 3, atol=0.03)


@pytest.mark.parametrize(("dist", "variance"), [("normal", 1.0), ("uniform", 1 / 3)])
def test_the_distributions_of_noise(dist, variance):
    z = np.asarray(draw_latents(spec(0, 10, 0, 8, dist), KEY, N))
    np.testing.assert_allclose(z.mean(), 0, atol=0.03)
    np.testing.assert_allclose(z.var(), variance, atol=0.05)
    assert (np.abs(z).max() <= 1) == (dist == "uniform")
    assert {"normal", "uniform"} == set(LATENTS)


def test_codes_leave_the_noise_as_it_is():
    bare = draw_latents(spec(0, 10, 0), KEY, 6)
    np.testing.assert_array_equal(draw_latents(spec(), KEY, 6)[:, :5], bare)


def test_a_key_is_one_draw():
    one, same = draw_latents(spec(), KEY, 6), draw_latents(spec(), KEY, 6)
    np.testing.assert_array_equal(one, same)
    other = np.asarray(draw_latents(spec(), jax.random.key(1), 50))
    one = np.asarray(draw_latents(spec(), KEY, 50))
    assert all((one[:, s] != other[:, s]).any() for s in (slice(5), slice(5, None)))


@pytest.mark.parametrize(("many", "continuous"), [(2, 4), (1, 0), (0, 2)])
def test_codes_of_finds_what_was_drawn(many, continuous):
    s = spec(many, 3, continuous)
    z = draw_latents(s, KEY, 6)
    codes = codes_of(s, z)
    assert codes.categorical.shape == (6, many, 3)
    assert codes.continuous.shape == (6, continuous)
    flat = [np.asarray(x).reshape(6, -1) for x in (z[:, :5], *codes)]
    np.testing.assert_array_equal(np.concatenate(flat, axis=1), z)


@pytest.mark.parametrize("label", [2, np.array([0, 1, 2, 0, 1, 2])])
def test_with_class_sets_the_first_code_alone(label):
    s = spec()
    z = draw_latents(s, KEY, 6)
    got = with_class(s, z, label)
    first = codes_of(s, got).categorical[:, 0]
    np.testing.assert_array_equal(first, np.eye(3)[np.broadcast_to(label, 6)])
    kept = np.r_[0:5, 8:15]
    np.testing.assert_array_equal(got[:, kept], z[:, kept])
