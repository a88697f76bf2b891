"""Penalties on critics whose gradients are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.penalties import PENALTIES, on_segment
from gan_jax.types import Scores

KEY = jax.random.key(0)
SLOPE = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
NORM2 = float(np.sum(SLOPE**2))
LINEAR = {"r1": 0.5 * NORM2, "gp": (np.sqrt(NORM2) - 1) ** 2}


def linear(x):
    return Scores(jnp.einsum("bhwc,hwc->b", x, SLOPE) + 3.0)


def quadratic(x):
    return Scores(0.5 * jnp.sum(x**2, axis=(1, 2, 3)))


def samples(seed, n=5):
    return jnp.asarray(
        np.random.default_rng(seed).normal(size=(n, 4, 3, 2)), jnp.float32
    )


def test_every_penalty_has_its_closed_form_here():
    assert set(LINEAR) == set(PENALTIES)


@pytest.mark.parametrize("name", PENALTIES)
def test_linear_critic(name):
    """The norm is over all of a sample's elements: |w|, wherever it is taken."""
    value = PENALTIES[name](linear, samples(0), samples(1), KEY)
    np.testing.assert_allclose(value, LINEAR[name], rtol=1e-5)


def test_r1_of_a_quadratic_critic_is_half_the_mean_square_of_real():
    real = samples(0)
    want = 0.5 * np.mean(np.sum(np.asarray(real) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(
        PENALTIES["r1"](quadratic, real, samples(1), KEY), want, rtol=1e-5
    )


def test_gp_of_a_quadratic_critic_is_taken_on_the_segments():
    real, fake = samples(0), samples(1)
    x = np.asarray(on_segment(real, fake, KEY)).reshape(5, -1)
    want = np.mean((np.linalg.norm(x, axis=1) - 1) ** 2)
    np.testing.assert_allclose(
        PENALTIES["gp"](quadratic, real, fake, KEY), want, rtol=1e-5
    )


def test_one_position_a_sample():
    real, fake = samples(0), samples(1)
    share = np.asarray((on_segment(real, fake, KEY) - fake) / (real - fake))
    share = share.reshape(5, -1)
    np.testing.assert_allclose(share, share[:, :1] * np.ones_like(share), atol=1e-3)
    assert np.ptp(share[:, 0]) > 0.1 and share.min() >= -1e-3 and share.max() <= 1.001


@pytest.mark.parametrize("name", PENALTIES)
def test_a_flat_critic_gives_finite_gradients(name):
    def value(weight):
        return PENALTIES[name](
            lambda x: Scores(weight * jnp.sum(x, axis=(1, 2, 3))),
            samples(0),
            samples(1),
            KEY,
        )

    got, slope = jax.value_and_grad(value)(0.0)
    assert np.isfinite(got) and np.isfinite(slope)


@pytest.mark.parametrize("name", PENALTIES)
def test_gradients_match_finite_differences(name):
    with jax.enable_x64(True):
        real, fake = samples(0).astype(jnp.float64), samples(1).astype(jnp.float64)

        def value(weight):
            def critic(x):
                return Scores(jnp.sum(jnp.tanh(weight * x), axis=(1, 2, 3)))

            return PENALTIES[name](critic, real, fake, KEY)

        check_grads(value, (jnp.float64(0.7),), order=1, modes=["rev"], atol=1e-6)
