"""Penalties on critics whose gradients are known in closed form, against PyTorch, and their random points."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax import penalties
from gan_jax.penalties import PENALTIES, around, jitter, on_segment
from gan_jax.types import Scores
from tests import golden

KEY = jax.random.key(0)
SLOPE = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
NORM2 = float(np.sum(SLOPE**2))
OF_GRADIENT = {  # what a norm says, whether on all samples alike
    "gp": lambda norm: (norm - 1) ** 2,
    "one_sided_gp": lambda norm: np.maximum(norm - 1, 0) ** 2,
    "zero_gp": lambda norm: norm**2,
    "dragan": lambda norm: (norm - 1) ** 2,
    "r1": lambda norm: 0.5 * norm**2,
    "r2": lambda norm: 0.5 * norm**2,
}
WHERE = {  # the points that each looks at
    "gp": lambda real, fake: on_segment(real, fake, KEY),
    "one_sided_gp": lambda real, fake: on_segment(real, fake, KEY),
    "zero_gp": lambda real, fake: on_segment(real, fake, KEY),
    "dragan": lambda real, fake: around(real, KEY),
    "r1": lambda real, fake: real,
    "r2": lambda real, fake: fake,
}
GOLDEN = [
    row
    for row in json.loads(Path(golden.__file__).with_name("losses.json").read_text())
    if "penalty" in row
]


def linear(scale):
    return lambda x: Scores(scale * jnp.einsum("bhwc,hwc->b", x, SLOPE) + 3.0)


def quadratic(x):
    return Scores(0.125 * jnp.sum(x**2, axis=(1, 2, 3)))


def curved(weight):
    return lambda x: Scores(jnp.sum(jnp.tanh(weight * x * SLOPE), axis=(1, 2, 3)))


def evaluate(name, critic, real, fake):
    """The penalty, compiled: quicker than operation by operation."""
    return jax.jit(lambda r, f: PENALTIES[name](critic, r, f, KEY))(real, fake)


def samples(seed, n=5):
    return jnp.asarray(
        np.random.default_rng(seed).normal(size=(n, 4, 3, 2)), jnp.float32
    )


def test_every_penalty_has_its_closed_form_here():
    assert {*OF_GRADIENT, "consistency"} == set(PENALTIES)
    assert {row["penalty"] for row in GOLDEN} == set(PENALTIES)


@pytest.mark.parametrize("name", OF_GRADIENT)
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_linear_critic(name, scale):
    """The norm is over all of a sample's elements: |w|, wherever it is taken; above 1, then below."""
    value = evaluate(name, linear(scale), samples(0), samples(1))
    want = OF_GRADIENT[name](scale * np.sqrt(NORM2))
    np.testing.assert_allclose(value, want, rtol=1e-5)


@pytest.mark.parametrize("name", OF_GRADIENT)
def test_a_quadratic_critic_shows_where_the_gradient_is_taken(name):
    """Its gradient is x / 4: norms on both sides of 1, different at every point."""
    spread = jnp.linspace(0.5, 2, 5).reshape(5, 1, 1, 1)
    real, fake = spread * samples(0), spread * samples(1)
    x = np.asarray(WHERE[name](real, fake)).reshape(5, -1)
    norms = np.linalg.norm(x, axis=1) / 4
    assert norms.min() < 1 < norms.max()
    value = evaluate(name, quadratic, real, fake)
    np.testing.assert_allclose(value, np.mean(OF_GRADIENT[name](norms)), rtol=1e-5)


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["penalty"])
def test_equals_pytorch(row, monkeypatch):
    """Value and gradient with respect to the critic's weights, a second derivative, at PyTorch's points."""
    arrays = golden.pictures()
    with jax.enable_x64(True):
        real, fake, points, weights = (jnp.asarray(x) for x in arrays.values())
        monkeypatch.setattr(penalties, "on_segment", lambda real, fake, key: points)
        monkeypatch.setattr(penalties, "around", lambda real, key: points)
        monkeypatch.setattr(penalties, "jitter", lambda x, key: x[:, :, ::-1])

        def value(w):
            def critic(x):
                return Scores(jnp.sum(jnp.tanh(x.reshape(len(x), -1) @ w), axis=1))

            return PENALTIES[row["penalty"]](critic, real, fake, KEY)

        got, grad = jax.jit(jax.value_and_grad(value))(weights)
        np.testing.assert_allclose(got, row["value"], rtol=1e-10)
        np.testing.assert_allclose(grad, row["grad"], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_flat_critic_gives_finite_gradients(name):
    def value(weight):
        return PENALTIES[name](linear(weight), samples(0), samples(1), KEY)

    got, slope = jax.jit(jax.value_and_grad(value))(0.0)
    assert np.isfinite(got) and np.isfinite(slope)


@pytest.mark.parametrize("name", PENALTIES)
def test_gradients_match_finite_differences(name):
    with jax.enable_x64(True):
        real, fake = samples(0).astype(jnp.float64), samples(1).astype(jnp.float64)

        @jax.jit
        def value(weight):
            return PENALTIES[name](curved(weight), real, fake, KEY)

        check_grads(value, (jnp.float64(0.7),), order=1, modes=["rev"], atol=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_many_critics_at_once(name):
    """As in a sweep: under jit and vmap the same numbers as one by one."""
    real, fake = samples(0), samples(1)
    weights = jnp.array([0.3, 0.7])

    @jax.jit
    def value(weight):
        return PENALTIES[name](curved(weight), real, fake, KEY)

    together = jax.jit(jax.vmap(value))(weights)
    np.testing.assert_allclose(together, [value(w) for w in weights], rtol=1e-5)


@pytest.mark.parametrize("name", OF_GRADIENT)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_norms_are_float32_when_the_critic_is_bfloat16(name, dtype):
    """Squares in bfloat16 would be off by 1e-3."""
    rounded = jnp.asarray(SLOPE, jnp.bfloat16)

    def critic(x):
        products = x.astype(jnp.bfloat16) * rounded
        return Scores(jnp.sum(products.astype(jnp.float32), axis=(1, 2, 3)))

    real, fake = samples(0).astype(dtype), samples(1).astype(dtype)
    value = evaluate(name, critic, real, fake)
    norm = np.linalg.norm(np.asarray(rounded, np.float64))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, OF_GRADIENT[name](norm), rtol=1e-5)


def test_one_position_a_sample():
    real, fake = samples(0), samples(1)
    share = np.asarray((on_segment(real, fake, KEY) - fake) / (real - fake))
    share = share.reshape(5, -1)
    np.testing.assert_allclose(share, share[:, :1] * np.ones_like(share), atol=1e-3)
    assert np.ptp(share[:, 0]) > 0.1 and share.min() >= -1e-3 and share.max() <= 1.001


def test_points_around_the_data_lie_within_half_a_standard_deviation():
    """(x' - x) / (std / 2) = alpha u: with many elements the largest u of a sample is nearly 1."""
    real = 3 * jax.random.normal(jax.random.key(1), (400, 500)) + 1
    share = np.asarray((around(real, KEY) - real) / (0.5 * jnp.std(real)))
    alpha = share.max(axis=1)
    assert share.min() > -1e-5 and 0.9 < alpha.max() < 1 + 1e-5
    assert abs(alpha.mean() - 0.5) < 5 * 0.289 / np.sqrt(400)
    assert abs(alpha.var() - 1 / 12) < 5 * 0.0745 / np.sqrt(400)
    u = share / alpha[:, None]
    assert abs(u.mean() - 0.5) < 0.005
    np.testing.assert_allclose(np.quantile(u, [0.25, 0.75]), [0.25, 0.75], atol=0.01)


def test_consistency_of_a_linear_critic_on_points():
    """T adds noise of 5 % of std, so each half is |w|^2 (0.05 std)^2 in the mean; real and fake each have one."""
    n, w = 4000, np.array([1.0, -2.0, 0.5], np.float32)
    real = 4 * jax.random.normal(jax.random.key(1), (n, 3))
    fake = jax.random.normal(jax.random.key(2), (n, 3))

    def value(real, fake):
        return evaluate("consistency", lambda x: Scores(x @ w), real, fake)

    both = value(real, fake)
    want = np.sum(w**2) * 0.05**2 * (np.var(real) + np.var(fake))
    np.testing.assert_allclose(both, want, rtol=5 * np.sqrt(2 / n))
    same = value(real, real), 2 * np.sum(w**2) * 0.05**2 * np.var(real)
    np.testing.assert_allclose(*same, rtol=5 / np.sqrt(n))


def test_consistency_draws_apart_for_real_and_fake():
    """The same batch twice, a critic that sees only a mirroring: each half is its own share of mirrored."""
    x = jnp.tile(jnp.array([1.0, 0.0]).reshape(1, 1, 2, 1), (300, 1, 1, 1))
    value = evaluate("consistency", lambda x: Scores(x[:, 0, 0, 0]), x, x)
    draw = jax.jit(jitter)
    of_real, of_fake = (
        np.mean(draw(x, key)[:, 0, 0, 0] == 0) for key in jax.random.split(KEY)
    )
    assert of_real != of_fake
    np.testing.assert_allclose(value, of_real + of_fake, rtol=1e-5)


def test_jittered_pictures_are_mirrored_and_shifted_with_reflected_edges():
    """Every result is one of 2 x 5 x 7, each about as frequent; NumPy's reflection is the reference."""
    n, (height, width) = 3500, (16, 24)
    picture = np.random.default_rng(0).normal(size=(height, width, 1))
    picture = picture.astype(np.float32)
    padded = np.pad(picture, ((2, 2), (3, 3), (0, 0)), mode="reflect")
    index = {}
    for mirror in range(2):
        for down in range(5):
            for right in range(7):
                cut = padded[down : down + height, right : right + width]
                index[(cut[:, ::-1] if mirror else cut).tobytes()] = mirror, down, right
    assert len(index) == 70
    out = jax.jit(jitter)(jnp.tile(picture, (n, 1, 1, 1)), KEY)
    draws = np.array([index[one.tobytes()] for one in np.asarray(out)])
    for column, choices in zip(draws.T, (2, 5, 7), strict=True):
        share = np.bincount(column, minlength=choices) / n
        bound = 5 * np.sqrt((1 - 1 / choices) / (choices * n))
        np.testing.assert_allclose(share, 1 / choices, atol=bound)
    assert np.all(np.abs(np.corrcoef(draws.T) - np.eye(3)) < 5 / np.sqrt(n))


@pytest.mark.parametrize("shape", [(6, 8, 8, 3), (6, 1, 5, 1), (6, 2)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_jitter_keeps_shape_and_dtype(shape, dtype):
    x = jax.random.normal(KEY, shape, dtype)
    out = jax.jit(jitter)(x, KEY)
    assert out.shape == shape and out.dtype == dtype
    assert np.all(np.isfinite(np.asarray(out, np.float32))) and np.any(out != x)
