"""Tricks and schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.tricks import instance_noise, linear_decay


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
