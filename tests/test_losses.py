"""Losses against the formulas in float64, PyTorch, closed forms and their optima."""

import inspect
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax.energies import began_balance, began_measure
from gan_jax.losses import LOSSES, linear_exp
from tests import golden

LN2 = np.log(2.0)
SIGMOID = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731


def f_gan(g, conjugate):
    return (
        lambda r, f: np.mean(conjugate(g(f))) - np.mean(g(r)),
        lambda r, f: -np.mean(conjugate(g(f))),
    )


def log_d(x):
    return np.mean(np.log(SIGMOID(x)))


# the textbook formulas, written with probabilities where the paper does; f-GANs as g and f*
FORMULAS = {
    "saturating": (
        lambda r, f: -log_d(r) - np.mean(np.log(1 - SIGMOID(f))),
        lambda r, f: np.mean(np.log(1 - SIGMOID(f))),
    ),
    "non_saturating": (
        lambda r, f: -log_d(r) - np.mean(np.log(1 - SIGMOID(f))),
        lambda r, f: -log_d(f),
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
    "rp": (lambda r, f: -log_d(r - f), lambda r, f: -log_d(f - r)),
    "ra": (
        lambda r, f: -log_d(r - f.mean()) - np.mean(np.log(1 - SIGMOID(f - r.mean()))),
        lambda r, f: -np.mean(np.log(1 - SIGMOID(r - f.mean()))) - log_d(f - r.mean()),
    ),
    "began": (lambda r, f: np.mean(r), lambda r, f: np.mean(f)),
    "energy_margin": (
        lambda r, f: np.mean(r) + np.mean(np.maximum(0, 1 - f)),
        lambda r, f: np.mean(f),
    ),
    "f_kl": f_gan(lambda v: v, lambda t: np.exp(t - 1)),
    "f_reverse_kl": f_gan(lambda v: -np.exp(-v), lambda t: -1 - np.log(-t)),
    "f_pearson": f_gan(lambda v: v, lambda t: t**2 / 4 + t),
    "f_hellinger": f_gan(lambda v: 1 - np.exp(-v), lambda t: t / (1 - t)),
    "f_js": f_gan(lambda v: np.log(2 * SIGMOID(v)), lambda t: -np.log(2 - np.exp(t))),
}
UNDECIDED = {  # all logits 0: (D's loss, G's loss)
    "saturating": (2 * LN2, -LN2),
    "non_saturating": (2 * LN2, LN2),
    "least_squares": (1.0, 1.0),
    "hinge": (2.0, 0.0),
    "wasserstein": (0.0, 0.0),
    "rp": (LN2, LN2),
    "ra": (2 * LN2, 2 * LN2),
    "began": (0.0, 0.0),
    "energy_margin": (1.0, 0.0),
    "f_kl": (np.exp(-1), -np.exp(-1)),
    "f_reverse_kl": (0.0, 1.0),
    "f_pearson": (0.0, 0.0),
    "f_hellinger": (0.0, 0.0),
    "f_js": (0.0, 0.0),
}
GOLDEN = [
    row
    for row in json.loads(Path(golden.__file__).with_name("losses.json").read_text())
    if "loss" in row
]


def logits(seed: int, n: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, n)


def test_every_loss_has_its_formula_here():
    assert set(FORMULAS) == set(UNDECIDED) == set(LOSSES)
    assert {(row["loss"], row["side"]) for row in GOLDEN} == {
        (name, side) for name in LOSSES for side in ("disc", "gen")
    }


@pytest.mark.parametrize("name", LOSSES)
def test_equals_the_formula_in_float64(name):
    real, fake = logits(0), logits(1)
    with jax.enable_x64(True):
        row = LOSSES[name]
        got = [
            float(jax.jit(player)(jnp.asarray(real), jnp.asarray(fake)))
            for player in row[:2]
        ]
    want = tuple(formula(real, fake) for formula in FORMULAS[name])
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "row", GOLDEN, ids=lambda row: "-".join([row["loss"], row["side"], *row["numbers"]])
)
def test_equals_pytorch(row):
    """Value and gradients; the numbers may be traced."""
    pair = LOSSES[row["loss"]]
    player = getattr(pair, row["side"])

    def value(real, fake, numbers):
        if pair.energy:
            real, fake = jnp.abs(real), jnp.abs(fake)
        return player(real, fake, **numbers)

    with jax.enable_x64(True):
        compute = jax.jit(jax.value_and_grad(value, argnums=(0, 1)))
        got, grads = compute(*map(jnp.asarray, golden.logits()), row["numbers"])
        np.testing.assert_allclose(got, row["value"], rtol=1e-10)
        np.testing.assert_allclose(grads, row["grads"], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_an_undecided_discriminator(name):
    zero = jnp.zeros(4)
    row = LOSSES[name]
    got = float(row.disc(zero, zero)), float(row.gen(zero, zero))
    np.testing.assert_allclose(got, UNDECIDED[name], atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_finite_at_extreme_logits(name, dtype):
    """All four pairs of signs."""
    sizes = jnp.array([[1e4, 1e4], [1e4, -1e4], [-1e4, 1e4], [-1e4, -1e4]], dtype)
    real, fake = (jnp.tile(x[:, None], (1, 3)) for x in sizes.T)
    for player in LOSSES[name][:2]:
        compute = jax.jit(jax.vmap(jax.value_and_grad(player, argnums=(0, 1))))
        values, grads = compute(real, fake)
        assert values.shape == (4,) and values.dtype == dtype
        for x in (values, *grads):
            assert np.all(np.isfinite(np.asarray(x, np.float32)))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_match_finite_differences(name):
    with jax.enable_x64(True):
        real, fake = jnp.asarray(logits(2, 5)), jnp.asarray(logits(3, 5))
        for player in LOSSES[name][:2]:
            check_grads(
                jax.jit(player), (real, fake), order=1, modes=["rev"], atol=1e-6
            )


@pytest.mark.parametrize("name", LOSSES)
def test_a_column_of_logits_is_refused(name):
    """(B, 1) against (B,) would broadcast to (B, B) without a word."""
    column, row = jnp.zeros((8, 1)), jnp.zeros(8)
    for player in LOSSES[name][:2]:
        for wrong in ((column, row), (row, column), (column, column)):
            with pytest.raises(Exception, match="(?i)type|violat|shape"):
                player(*wrong)


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


@pytest.mark.parametrize("name", LOSSES)
def test_what_the_row_says_of_the_loss_is_so(name):
    """energy: G lowers what D gives. separable: a mean of one term a sample. symmetric: disc(r, f) = disc(-f, -r)."""
    row = LOSSES[name]
    real, fake = (jnp.asarray(logits(seed, 6), jnp.float32) for seed in (4, 5))
    slopes = jax.grad(row.gen, argnums=1)(real, fake / 4)
    assert np.all(np.asarray(slopes) * (1 if row.energy else -1) > 0)
    each = jax.vmap(row.gen)(real[:, None], fake[:, None])
    assert np.isclose(jnp.mean(each), row.gen(real, fake), rtol=1e-5) == row.separable
    same = np.isclose(row.disc(-fake, -real), row.disc(real, fake), rtol=1e-5)
    assert same == row.symmetric


P, Q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])  # of the data, of G
RATIO, PAIRS = P / Q, np.outer(P, Q)
CROSS_ENTROPY = -np.sum(P * np.log(P / (P + Q)) + Q * np.log(Q / (P + Q)))
OPTIMA = {  # what D gives of the three points at its best, and its loss there
    "saturating": (np.log(RATIO), CROSS_ENTROPY),
    "non_saturating": (np.log(RATIO), CROSS_ENTROPY),
    "least_squares": (P / (P + Q), np.sum(P * Q / (P + Q))),
    "hinge": (np.sign(P - Q), 2 * np.sum(np.minimum(P, Q))),
    "energy_margin": (1.0 * (Q > P), np.sum(np.minimum(P, Q))),
    "rp": (np.log(RATIO), -np.sum(PAIRS * np.log(PAIRS / (PAIRS + PAIRS.T)))),
    "f_kl": (1 + np.log(RATIO), -np.sum(P * np.log(RATIO))),
    "f_reverse_kl": (np.log(RATIO), np.sum(Q * np.log(RATIO))),
    "f_pearson": (2 * (RATIO - 1), -np.sum((P - Q) ** 2 / Q)),
    "f_hellinger": (np.log(RATIO) / 2, -np.sum((np.sqrt(P) - np.sqrt(Q)) ** 2)),
    "f_js": (np.log(RATIO), CROSS_ENTROPY - 2 * LN2),
}


@pytest.mark.parametrize("name", OPTIMA)
def test_the_best_discriminator_of_two_discrete_densities(name):
    """Every real with every fake once. Its loss is the divergence, negated, and no other D's is lower."""
    at = np.arange(3)
    of_real = np.repeat(np.repeat(at, [6, 3, 1]), 10)
    of_fake = np.tile(np.repeat(at, [2, 3, 5]), 10)

    def loss(given):
        return LOSSES[name].disc(given[of_real], given[of_fake])

    every = jax.jit(jax.vmap(loss))
    with jax.enable_x64(True):
        best, least = OPTIMA[name]
        np.testing.assert_allclose(every(jnp.asarray(best)[None]), least, rtol=1e-12)
        others = best + np.random.default_rng(0).normal(0, 0.5, (200, 3))
        if LOSSES[name].energy:
            others = np.maximum(others, 0)
        assert np.all(np.asarray(every(jnp.asarray(others))) > least - 1e-12)
        if name not in ("hinge", "energy_margin"):  # these have a corner there
            slope = jax.jit(jax.grad(loss))(jnp.asarray(best))
            np.testing.assert_allclose(slope, 0, atol=1e-12)


@pytest.mark.parametrize("name", ["rp", "ra", "wasserstein"])
def test_only_differences_of_logits_count(name):
    real, fake = jnp.asarray(logits(0)), jnp.asarray(logits(1))
    disc, gen = LOSSES[name][:2]
    moved = disc(real + 3, fake + 3)
    np.testing.assert_allclose(moved, disc(real, fake), rtol=1e-5)
    if name != "wasserstein":
        moved = gen(real + 3, fake + 3)
        np.testing.assert_allclose(moved, gen(real, fake), rtol=1e-5)


def test_batches_of_two_sizes_are_refused_by_the_loss_that_pairs_them_only():
    for name, row in LOSSES.items():
        if name == "rp":
            with pytest.raises(Exception, match="(?i)type|violat|shape"):
                row.disc(jnp.zeros(8), jnp.zeros(4))
        else:
            got = float(row.disc(jnp.zeros(8), jnp.zeros(4)))
            np.testing.assert_allclose(got, UNDECIDED[name][0], atol=1e-6)


def test_saturating_gradient_vanishes_where_non_saturating_does_not():
    """D is sure (logit -10): the factors are sigmoid(l) and 1 - sigmoid(l)."""
    sure = jnp.full(1, -10.0)
    slope = {
        name: float(jax.grad(LOSSES[name].gen, argnums=1)(sure, sure)[0])
        for name in ("saturating", "non_saturating")
    }
    np.testing.assert_allclose(slope["saturating"], -SIGMOID(-10.0), rtol=1e-4)
    np.testing.assert_allclose(slope["non_saturating"], -SIGMOID(10.0), rtol=1e-4)


@pytest.mark.parametrize("name", ["saturating", "non_saturating", "least_squares"])
def test_smoothing_moves_each_optimum_to_its_label(name):
    """With labels 1 - s and t the best D(x) on one kind of data alone is that label."""
    chance = jnp.array([0.9, 0.2])
    best = chance if name == "least_squares" else jnp.log(chance / (1 - chance))

    def slope(**numbers):
        disc = LOSSES[name].disc
        return jax.grad(lambda x: disc(x[:1], x[1:], **numbers))(best)

    np.testing.assert_allclose(slope(smooth=0.1, smooth_fake=0.2), 0.0, atol=1e-6)
    of_real, of_fake = slope()
    assert of_real < -0.05 and of_fake > 0.05


def test_least_squares_numbers():
    row = LOSSES["least_squares"]
    x = jnp.array([0.5, -0.5])
    np.testing.assert_allclose(row.disc(x, x, a=-1.0, b=1.0), 1.25 + 1.25, rtol=1e-6)
    np.testing.assert_allclose(row.gen(x, x, c=0.0), 0.25, rtol=1e-6)
    np.testing.assert_allclose(
        row.disc(x, x, smooth=0.1), row.disc(x, x, b=0.9), rtol=1e-6
    )
    both = row.disc(x, x, a=-1.0, b=1.0, smooth=0.1, smooth_fake=0.2)
    np.testing.assert_allclose(both, row.disc(x, x, a=-0.6, b=0.8), rtol=1e-6)


def test_margins():
    x = jnp.array([0.0, 2.0])
    np.testing.assert_allclose(
        LOSSES["hinge"].disc(x, x, margin=0.25), 0.125 + 1.25, rtol=1e-6
    )
    energy = LOSSES["energy_margin"].disc
    np.testing.assert_allclose(energy(x, x, margin=0.5), 1 + 0.25, rtol=1e-6)


def test_exp_goes_on_along_its_tangent():
    x = jnp.array([-50.0, 0.0, 19.9, 20.0, 21.0, 1e4])
    value, slope = jax.vmap(jax.value_and_grad(linear_exp))(x)
    edge = np.exp(20.0)
    want = [np.exp(-50.0), 1.0, np.exp(19.9), edge, 2 * edge, edge * (1e4 - 19)]
    np.testing.assert_allclose(value, want, rtol=2e-6)
    np.testing.assert_allclose(slope, [*want[:4], edge, edge], rtol=2e-6)


def test_began_balance_moves_k_towards_equilibrium():
    """Equilibrium is mean fake = gamma mean real; k grows while the fakes' error is below that."""
    real = jnp.array([1.0, 3.0])
    k = {
        error: float(began_balance(0.5, real, jnp.full(4, error), 0.5, 0.1))
        for error in (0.25, 1.0, 1.5)
    }
    np.testing.assert_allclose(list(k.values()), [0.575, 0.5, 0.45], rtol=1e-6)
    assert began_balance(0.999, real, jnp.zeros(4), 0.5, 0.1) == 1.0
    assert began_balance(0.001, real, jnp.full(4, 9.0), 0.5, 0.1) == 0.0


def test_began_k_weighs_the_fakes():
    real, fake = jnp.array([1.0, 3.0]), jnp.array([4.0, 6.0])
    np.testing.assert_allclose(LOSSES["began"].disc(real, fake, k=0.4), 0.0, atol=1e-6)


def test_began_measure():
    real = jnp.array([1.0, 3.0])
    for error, want in ((0.25, 2.75), (1.0, 2.0), (1.5, 2.5)):
        got = began_measure(real, jnp.full(4, error), 0.5)
        np.testing.assert_allclose(got, want, rtol=1e-6)
