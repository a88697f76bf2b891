"""Paths through the latent space: curves, walks, truncation, arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gan_jax.latents import draw_latents
from gan_jax.paths import (
    CURVES,
    LAWS,
    Term,
    arithmetic,
    interpolation,
    lerp,
    random_walk,
    slerp,
    truncated,
    walk,
)
from gan_jax.types import ModelSpec, UserError

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 16)).astype(np.float32)
Z = RNG.normal(size=(4, 8)).astype(np.float32)
KEY = jax.random.key(0)
LAW = {"normal": stats.norm(), "uniform": stats.uniform(-1, 2)}


def spec(dist="normal", size=8, codes=(0, 0, 0)):
    return ModelSpec("mlp", (2,), latent_dim=size, latent_dist=dist, codes=codes)


def test_slerp_ends_and_middle():
    np.testing.assert_allclose(slerp(A, B, 0.0), A, rtol=1e-5)
    np.testing.assert_allclose(slerp(A, B, 1.0), B, rtol=1e-5)
    x, y = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
    np.testing.assert_allclose(slerp(x, y, 0.5), np.sqrt([0.5, 0.5]), rtol=1e-5)


def test_slerp_keeps_the_norm_where_a_line_does_not():
    a, b = A / np.linalg.norm(A), B / np.linalg.norm(B)
    for t in (0.25, 0.5, 0.75):
        np.testing.assert_allclose(np.linalg.norm(slerp(a, b, t)), 1.0, rtol=1e-5)
    np.testing.assert_allclose(lerp(a, b, 0.25), 0.75 * a + 0.25 * b, rtol=1e-6)
    assert np.linalg.norm(lerp(a, b, 0.5)) < 0.9


@pytest.mark.parametrize("b", [A, 2 * A, 0 * A, -A])
def test_slerp_of_parallel_or_zero_vectors_is_the_line(b):
    np.testing.assert_allclose(slerp(A, b, 0.5), 0.5 * A + 0.5 * b, atol=1e-3)


@pytest.mark.parametrize("name", CURVES)
def test_interpolation_has_a_row_for_each_pair_and_curve(name):
    curves = CURVES[name]
    rows = np.asarray(interpolation(Z, 5, curves)).reshape(2, len(curves), 5, 8)
    for i, curve in enumerate(curves):
        np.testing.assert_allclose(rows[:, i, 0], Z[::2], rtol=1e-5)
        np.testing.assert_allclose(rows[:, i, -1], Z[1::2], rtol=1e-5)
        middle = curve(Z[2], Z[3], 0.25)
        np.testing.assert_allclose(rows[1, i, 1], middle, rtol=1e-5, atol=1e-6)


def test_interpolation_leaves_an_odd_one_out():
    assert interpolation(Z[:3], 5).shape == (5, 8)


def test_a_walk_moves_one_dimension_in_each_block():
    values = jnp.array([-2.0, -1.0, 0.0, 5.0])
    rows = np.asarray(walk(Z[:2], [3, 0], values)).reshape(2, 2, 4, 8)
    for block, dim in zip(rows, (3, 0), strict=True):
        np.testing.assert_array_equal(block[:, :, dim], [values] * 2)
        rest, still = np.delete(block, dim, axis=2), np.delete(Z[:2], dim, axis=1)
        np.testing.assert_array_equal(rest, np.repeat(still[:, None], 4, axis=1))


@pytest.mark.parametrize("dim", [8, -1])
def test_a_walk_outside_the_latent_space_is_refused(dim):
    with pytest.raises(UserError, match=rf"--walk={dim}: .* 0 to 7"):
        walk(Z, [0, dim], jnp.zeros(2))


@pytest.mark.parametrize("dist", LAWS)
def test_every_point_of_a_random_walk_has_the_law_of_the_prior(dist):
    z = draw_latents(spec(dist), KEY, 2500)
    rows = random_walk(spec(dist), jax.random.key(1), z, 0.3, 31)
    rows = np.asarray(rows).reshape(2500, 31, 8)
    np.testing.assert_array_equal(rows[:, 0], z)
    law = LAW[dist]
    for column in (1, 2, 15, 30):
        values = rows[:, column].ravel()
        # 20,000 of them: 1.95 / sqrt(n) is passed by one in a thousand
        assert stats.kstest(values, law.cdf).statistic < 0.0138
        np.testing.assert_allclose(values.var(), law.var(), rtol=0.04)
    g = np.asarray(LAWS[dist].to(rows))
    for steps in (1, 10, 29):
        moved = np.mean(g[:, 1] * g[:, 1 + steps])
        np.testing.assert_allclose(moved, np.cos(0.3) ** steps, atol=0.025)


def test_a_quarter_turn_makes_steps_independent():
    z = draw_latents(spec(), KEY, 2500)
    rows = random_walk(spec(), jax.random.key(1), z, np.pi / 2, 3)
    rows = np.asarray(rows).reshape(2500, 3, 8)
    for step in (1, 2):
        assert abs(np.mean(rows[:, step - 1] * rows[:, step])) < 0.025


def test_a_random_walk_keeps_codes_and_refuses_other_laws():
    coded = spec("uniform", 12, (1, 3, 1))
    z = draw_latents(coded, KEY, 4)
    rows = np.asarray(random_walk(coded, KEY, z, 0.3, 6)).reshape(4, 6, 12)
    still = np.repeat(np.asarray(z)[:, None, 8:], 6, axis=1)
    np.testing.assert_array_equal(rows[:, :, 8:], still)
    assert (np.abs(np.diff(rows[:, :, :8], axis=1)) > 0).mean() > 0.99
    own = spec("package.module:law")
    with pytest.raises(UserError, match="choices: normal, uniform"):
        random_walk(own, KEY, Z, 0.3, 6)


def test_gaussian_coordinates_of_uniform_ones_are_finite_and_come_back():
    u = np.array([-1.0, -0.999, -0.3, 0.0, 0.7, 1.0], np.float32)
    g = np.asarray(LAWS["uniform"].to(u))
    np.testing.assert_allclose(g[1:5], stats.norm.ppf((u[1:5] + 1) / 2), rtol=1e-4)
    assert np.isfinite(g).all() and g[0] == -g[-1] < -5
    np.testing.assert_allclose(LAWS["uniform"].of(g), u, atol=1e-6)


@pytest.mark.parametrize("limit", [0.04, 0.5, 2])
def test_truncation_is_the_truncated_normal_law(limit):
    z = np.asarray(draw_latents(spec(), KEY, 2500))
    got = np.asarray(truncated(spec(), z, limit))
    assert np.abs(got).max() <= limit
    law = stats.truncnorm(-limit, limit)
    assert stats.kstest(got.ravel(), law.cdf).statistic < 0.0138
    np.testing.assert_allclose(got.var(), law.var(), rtol=0.04)
    order = np.argsort(z, axis=None)
    assert (np.diff(got.ravel()[order]) >= 0).all(), "each keeps its quantile"
    exact = law.ppf(stats.norm.cdf(z.astype(np.float64)))
    np.testing.assert_allclose(got, exact, atol=1e-5)


def test_truncation_far_out_changes_nothing():
    z = np.array([[-9.0, -5.5, -3.0, -1e-3, 0.0, 1.0, 4.0, 7.0]], np.float32)
    got = np.asarray(truncated(spec(), z, 20))
    np.testing.assert_allclose(got[:, 2:7], z[:, 2:7], rtol=2e-4)
    assert (np.abs(got) <= np.abs(z)).all()
    assert np.abs(np.asarray(truncated(spec(), z, 1.5))).max() == 1.5


def test_truncation_keeps_codes_and_refuses_uniform_latents():
    coded = spec("normal", 12, (1, 3, 1))
    z = np.asarray(draw_latents(coded, KEY, 50))
    got = np.asarray(truncated(coded, z, 0.1))
    np.testing.assert_array_equal(got[:, 8:], z[:, 8:])
    assert np.abs(got[:, :8]).max() <= np.float32(0.1)
    with pytest.raises(UserError, match="those of this run are uniform"):
        truncated(spec("uniform"), Z, 1.0)


def test_arithmetic_is_a_sum_of_means():
    terms = [Term(1, (0, 3)), Term(-1, (1,)), Term(1, (2, 2, 0))]
    made = np.asarray(arithmetic(Z, terms))
    means = [(Z[0] + Z[3]) / 2, Z[1], (2 * Z[2] + Z[0]) / 3]
    np.testing.assert_allclose(made[:3], means, rtol=1e-5, atol=1e-6)
    result = means[0] - means[1] + means[2]
    np.testing.assert_allclose(made[3], result, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("index", [4, -1])
def test_arithmetic_names_a_sample_that_is_not_there(index):
    with pytest.raises(UserError, match=rf"sample {index}, .* 0 to 3"):
        arithmetic(Z, [Term(1, (0, index))])


def test_paths_are_functions_of_arrays():
    def all_of(z):
        moved = random_walk(spec(), KEY, truncated(spec(), z, 1.0), 0.3, 3)
        walked = walk(z, [1], jnp.array([0.0, 1.0]))
        return interpolation(z, 3).sum() + moved.sum() + walked.sum()

    value, slope = jax.jit(jax.value_and_grad(all_of))(Z)
    np.testing.assert_allclose(value, all_of(Z), rtol=1e-4)
    assert np.isfinite(slope).all() and np.any(slope != 0)
