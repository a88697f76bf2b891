import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from gan_jax.eval import sliced
from gan_jax.eval.sliced import sliced_wasserstein
from gan_jax.types import UserError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 4)), 1.5 * RNG.normal(size=(20, 4)) + 0.3


def transport(x, y):
    """W2^2 of numbers by the best assignment of as many copies as make the sets equal: no sorting, no quantiles."""
    n = np.lcm(len(x), len(y))
    costs = (x.repeat(n // len(x))[:, None] - y.repeat(n // len(y))) ** 2
    return costs[linear_sum_assignment(costs)].mean()


@pytest.mark.parametrize("n, m", [(8, 8), (4, 6), (6, 4), (7, 3), (2, 10), (9, 8)])
def test_one_dimension_is_optimal_transport(n, m):
    rng = np.random.default_rng(n * m)
    x, y = rng.normal(size=n), rng.exponential(size=m)
    got = sliced_wasserstein(x[:, None], y[:, None], directions=3)
    assert got == pytest.approx(transport(x, y), rel=1e-12)


def test_each_direction_is_optimal_transport():
    units = np.random.default_rng(7).normal(size=(5, 4))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    expected = np.mean([transport(X[:12] @ u, Y[:8] @ u) for u in units])
    got = sliced_wasserstein(X[:12], Y[:8], directions=5, seed=7)
    assert got == pytest.approx(expected, rel=1e-12)


def test_translation_in_one_dimension():
    assert sliced_wasserstein(X[:, :1], X[:, :1] - 3) == pytest.approx(9, rel=1e-12)


def test_scaling_and_translation():
    """y = s x + v keeps the order in all directions, so that the expectation is mean |y - x|^2 / D.

    For s = 1 each direction gives |v|^2 times a Beta(1/2, (D-1)/2) variable, whose variance is 2(D-1) / (D^2 (D+2)).
    """
    v, count = np.array([1.0, -2.0, 0.5, 3.0]), 20_000
    error = v @ v * np.sqrt(2 * 3 / (16 * 6) / count)
    assert abs(sliced_wasserstein(X, X + v, count) - v @ v / 4) < 4 * error
    y = 2.5 * X + v
    expected = ((y - X) ** 2).sum(axis=1).mean() / 4
    assert sliced_wasserstein(X, y, count) == pytest.approx(expected, rel=0.03)


def test_laws_of_a_distance():
    assert sliced_wasserstein(X, Y) > 0.1
    assert sliced_wasserstein(Y, X) == pytest.approx(sliced_wasserstein(X, Y))
    assert sliced_wasserstein(X, X[::-1]) == pytest.approx(0, abs=1e-20)
    scaled = sliced_wasserstein(3 * X, 3 * Y)
    assert scaled == pytest.approx(9 * sliced_wasserstein(X, Y))


def test_copies_change_nothing():
    expected = sliced_wasserstein(X, Y)
    assert sliced_wasserstein(X.repeat(3, axis=0), Y) == pytest.approx(expected)
    assert sliced_wasserstein(X, X.repeat(2, axis=0)) == pytest.approx(0, abs=1e-20)


def test_orthogonal_maps_keep_the_law():
    """The mean over seeds is the same after a rotation; a set a tenth larger is told apart."""

    def values(map):
        return np.array(
            [sliced_wasserstein(X @ map, Y @ map, 50, seed) for seed in range(100)]
        )

    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    plain, turned, larger = values(np.eye(4)), values(rotation), values(1.1 * rotation)
    error = np.sqrt((plain.var() + turned.var()) / len(plain))
    assert abs(turned.mean() - plain.mean()) < 4 * error
    assert larger.mean() - plain.mean() > 4 * error


def test_constant_features():
    point = np.full((6, 1), 2.0)
    assert sliced_wasserstein(point, point) == 0
    assert sliced_wasserstein(point, point[:4] + 5) == pytest.approx(25)
    spread = ((X[:, :1] - 2) ** 2).mean()
    assert sliced_wasserstein(point, X[:, :1]) == pytest.approx(spread)


def test_seeds_and_chunks(monkeypatch):
    value = sliced_wasserstein(X, Y, 100)
    assert sliced_wasserstein(X, Y, 100) == value
    assert abs(sliced_wasserstein(X, Y, 100, seed=1) - value) > 1e-6
    monkeypatch.setattr(sliced, "_CHUNK", 7)
    assert sliced_wasserstein(X, Y, 100) == pytest.approx(value, rel=1e-12)


def test_types():
    got = sliced_wasserstein(X.astype(np.float32), Y.astype(np.float32))
    assert isinstance(got, float)
    assert got == pytest.approx(sliced_wasserstein(X, Y), rel=1e-5)


@pytest.mark.parametrize(
    "fake, real, directions, message",
    [
        (X, Y, 0, "directions is 0"),
        (X, Y[:, :2], 9, "4 features and real 2"),
        (X[:1], Y, 9, "at least 2"),
        (X, np.where(Y > 1, np.nan, Y), 9, "not finite"),
        (X[:, 0], Y, 9, "must be .number, features"),
    ],
)
def test_refusals(fake, real, directions, message):
    with pytest.raises(UserError, match=message):
        sliced_wasserstein(fake, real, directions)
