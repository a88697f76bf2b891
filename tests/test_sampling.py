"""Paths through the latent space."""

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.sampling import interpolation, slerp, walk

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 16)).astype(np.float32)


def test_slerp_ends_and_middle():
    np.testing.assert_allclose(slerp(A, B, 0.0), A, rtol=1e-5)
    np.testing.assert_allclose(slerp(A, B, 1.0), B, rtol=1e-5)
    x, y = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
    np.testing.assert_allclose(slerp(x, y, 0.5), np.sqrt([0.5, 0.5]), rtol=1e-5)


def test_slerp_keeps_the_norm_where_a_line_does_not():
    a, b = A / np.linalg.norm(A), B / np.linalg.norm(B)
    for t in (0.25, 0.5, 0.75):
        np.testing.assert_allclose(np.linalg.norm(slerp(a, b, t)), 1.0, rtol=1e-5)
    assert np.linalg.norm(0.5 * a + 0.5 * b) < 0.9


@pytest.mark.parametrize("b", [A, 2 * A, 0 * A, -A])
def test_slerp_of_parallel_or_zero_vectors_is_the_line(b):
    np.testing.assert_allclose(slerp(A, b, 0.5), 0.5 * A + 0.5 * b, atol=1e-3)


def test_interpolation_rows():
    z = RNG.normal(size=(4, 8)).astype(np.float32)
    rows = np.asarray(interpolation(z, 5)).reshape(2, 5, 8)
    np.testing.assert_allclose(rows[:, 0], z[::2], rtol=1e-5)
    np.testing.assert_allclose(rows[:, -1], z[1::2], rtol=1e-5)


def test_a_walk_moves_one_dimension():
    z = RNG.normal(size=(2, 8)).astype(np.float32)
    rows = np.asarray(walk(z, 3, 2.0, 5)).reshape(2, 5, 8)
    np.testing.assert_allclose(rows[:, :, 3], [[-2, -1, 0, 1, 2]] * 2, atol=1e-6)
    rest = np.delete(rows, 3, axis=2)
    np.testing.assert_array_equal(
        rest, np.repeat(np.delete(z, 3, axis=1)[:, None], 5, axis=1)
    )
