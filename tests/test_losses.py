"""Losses against closed forms, their optima, and the formulas in float64."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.losses import LOSSES

LN2 = np.log(2.0)
SIGMOID = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731

# the textbook formulas, written with probabilities where the paper does
FORMULAS = {
    "saturating": (
        lambda r, f: -np.mean(np.log(SIGMOID(r))) - np.mean(np.log(1 - SIGMOID(f))),
        lambda r, f: np.mean(np.log(1 - SIGMOID(f))),
    ),
    "non_saturating": (
        lambda r, f: -np.mean(np.log(SIGMOID(r))) - np.mean(np.log(1 - SIGMOID(f))),
        lambda r, f: -np.mean(np.log(SIGMOID(f))),
    ),
    "least_squares": (
        lambda r, f: np.mean((r - 1) ** 2) + np.mean(f**2),
        lambda r, f: np.mean((f - 1) ** 2),
    ),
    "hinge": (
        lambda r, f: np.mean(np.maximum(0, 1 - r)) + np.mean(np.maximum(0, 1 + f)),
        lambda r, f: -np.mean(f),
    ),
    "wasserstein": (
        lambda r, f: np.mean(f) - np.mean(r),
        lambda r, f: -np.mean(f),
    ),
}
UNDECIDED = {  # all logits 0: (D's loss, G's loss)
    "saturating": (2 * LN2, -LN2),
    "non_saturating": (2 * LN2, LN2),
    "least_squares": (1.0, 1.0),
    "hinge": (2.0, 0.0),
    "wasserstein": (0.0, 0.0),
}


def logits(seed: int, n: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, n)


def test_every_loss_has_its_formula_here():
    assert set(FORMULAS) == set(UNDECIDED) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_equals_the_formula_in_float64(name):
    real, fake = logits(0), logits(1)
    with jax.enable_x64(True):
        row = LOSSES[name]
        got = (
            float(row.disc(jnp.asarray(real), jnp.asarray(fake))),
            float(row.gen(jnp.asarray(real), jnp.asarray(fake))),
        )
    want = tuple(formula(real, fake) for formula in FORMULAS[name])
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_an_undecided_discriminator(name):
    zero = jnp.zeros(4)
    row = LOSSES[name]
    got = float(row.disc(zero, zero)), float(row.gen(zero, zero))
    np.testing.assert_allclose(got, UNDECIDED[name], atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_finite_at_extreme_logits(name, size):
    x = jnp.full(3, size)
    for player in LOSSES[name][:2]:
        values, grads = jax.value_and_grad(player, argnums=(0, 1))(x, -x)
        assert np.isfinite(float(values))
        assert np.all(np.isfinite(np.asarray(grads)))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_match_finite_differences(name):
    with jax.enable_x64(True):
        real, fake = jnp.asarray(logits(2, 5)), jnp.asarray(logits(3, 5))
        for player in LOSSES[name][:2]:
            check_grads(player, (real, fake), order=1, modes=["rev"], atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_column_of_logits_is_refused(name):
    """(B, 1) against (B,) would broadcast to (B, B) without a word."""
    with pytest.raises(Exception, match="(?i)type|violat|shape"):
        LOSSES[name].disc(jnp.zeros((8, 1)), jnp.zeros(8))


@pytest.mark.parametrize("name", LOSSES)
def test_the_row_lists_the_numbers_and_their_defaults(name):
    row = LOSSES[name]
    for player, listed in zip((row.gen, row.disc), row.numbers, strict=True):
        taken = {
            p.name: p.default
            for p in inspect.signature(player).parameters.values()
            if p.default is not p.empty
        }
        assert taken == listed


def test_saturating_gradient_vanishes_where_non_saturating_does_not():
    """D is sure (logit -10): the factors are sigmoid(l) and 1 - sigmoid(l)."""
    sure = jnp.full(1, -10.0)
    slope = {
        name: float(jax.grad(LOSSES[name].gen, argnums=1)(sure, sure)[0])
        for name in ("saturating", "non_saturating")
    }
    np.testing.assert_allclose(slope["saturating"], -SIGMOID(-10.0), rtol=1e-4)
    np.testing.assert_allclose(slope["non_saturating"], -SIGMOID(10.0), rtol=1e-4)


@pytest.mark.parametrize("name", ["saturating", "non_saturating"])
def test_smoothing_moves_the_optimum_to_the_label(name):
    """With label 1 - s the best D(x) on real data alone is 1 - s."""
    best = jnp.full(1, np.log(0.9 / 0.1), jnp.float32)
    slope = jax.grad(lambda x: LOSSES[name].disc(x, jnp.zeros(1), smooth=0.1))(best)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)
    assert (
        float(jax.grad(lambda x: LOSSES[name].disc(x, jnp.zeros(1)))(best)[0]) < -0.05
    )


def test_least_squares_numbers():
    row = LOSSES["least_squares"]
    x = jnp.array([0.5, -0.5])
    np.testing.assert_allclose(row.disc(x, x, a=-1.0, b=1.0), 1.25 + 1.25, rtol=1e-6)
    np.testing.assert_allclose(row.gen(x, x, c=0.0), 0.25, rtol=1e-6)
    np.testing.assert_allclose(
        row.disc(x, x, smooth=0.1), row.disc(x, x, b=0.9), rtol=1e-6
    )


def test_hinge_margin():
    x = jnp.zeros(2)
    np.testing.assert_allclose(LOSSES["hinge"].disc(x, x, margin=0.25), 0.5, rtol=1e-6)
