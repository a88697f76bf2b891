import json
from pathlib import Path

import numpy as np
import pytest

from gan_jax.eval.frechet import (
    Gaussian,
    covariance,
    fid,
    fid_infinity,
    frechet,
    gaussian,
    gaussian_of,
)
from gan_jax.types import UserError
from tests.golden import make_metrics

GOLDEN = json.loads(Path(make_metrics.__file__).with_name("metrics.json").read_text())
SETS = make_metrics.sets()
# relative; measured 3e-14 at most elsewhere. The packages' roots of a product of rank 31 of 40 lose half their digits (7e-9).
PACKAGES = {"wide": 1e-8}


def normal(n: int, d: int, seed: int = 0, shift: float = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(shift, 1, (n, d))


def orthogonal(d: int) -> np.ndarray:
    return np.linalg.qr(normal(d, d, 9))[0]


@pytest.mark.parametrize("name", SETS)
def test_golden(name):
    """Against 50 digits (measured 2e-15), and the numbers that people quote."""
    want = dict(GOLDEN["sets"][name]["fid"])
    got = fid(*SETS[name])
    assert got == pytest.approx(want.pop("exact"), rel=1e-13)
    for package, value in want.items():
        assert got == pytest.approx(value, rel=PACKAGES.get(name, 1e-12)), package


def test_one_feature_in_closed_form():
    """(mean difference)^2 + (std difference)^2 of the sample moments."""
    a, b = SETS["line"]
    want = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert fid(a, b) == pytest.approx(want, rel=1e-13)


def test_commuting_covariances_in_closed_form():
    """Two Gaussians with the same principal axes: the squared distance of the stds, axis by axis."""
    turn, std = orthogonal(5), np.array([[1, 2, 3, 0, 5.0], [2, 2, 0, 0, 1.0]])
    a, b = (
        gaussian_of(np.full(5, m), turn @ np.diag(s**2) @ turn.T, 10)
        for m, s in zip((0.0, 2.0), std, strict=True)
    )
    want = 5 * 4 + ((std[0] - std[1]) ** 2).sum()
    assert frechet(a, b) == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("rows", [(9, 9), (40, 40), (9, 40), (17, 16)])
def test_laws(rows):
    """Zero on itself, symmetric, unchanged by turns and shifts of both; n below, at and above D = 16."""
    a, b = normal(rows[0], 16), normal(rows[1], 16, 1, 0.3)
    turn, value = orthogonal(16), fid(a, b)
    scale = 1e-13 * (a.var(0).sum() + b.var(0).sum())
    assert value > 1
    assert fid(a, a) == pytest.approx(0, abs=scale)
    assert fid(b, a) == pytest.approx(value, rel=1e-12)
    assert fid(a @ turn + 3, b @ turn + 3) == pytest.approx(value, rel=1e-12)
    assert fid(a + 1e3, b + 1e3) == pytest.approx(value, rel=1e-9)
    assert fid(a, a + 1) == pytest.approx(16, rel=1e-12)


def test_constant_features():
    """Sets without any variance, at a number that has no exact mean in floating point."""
    one, other = np.full((30, 3), 0.1), np.full((7, 3), 0.3)
    assert fid(one, one) == 0
    assert fid(one, other) == pytest.approx(3 * 0.2**2, rel=1e-14)
    assert gaussian(one).factor.shape == (3, 0)
    real = normal(50, 3)
    want = ((real.mean(0) - 0.1) ** 2).sum() + real.var(0, ddof=1).sum()
    assert fid(one, real) == pytest.approx(want, rel=1e-13)


def test_rank_deficient_with_many_rows():
    """Features on a plane of 6 of 40 dimensions: as exact as on the plane itself."""
    a, b = normal(300, 6), normal(200, 40, 1)
    plane = orthogonal(40)[:6]
    mixed = fid(a @ plane, b)
    thin = gaussian(b)
    direct = Gaussian(a.mean(0) @ plane, plane.T @ gaussian(a).factor, 300)
    assert gaussian(a @ plane).factor.shape == (40, 6)
    assert mixed == pytest.approx(frechet(direct, thin), rel=1e-13)


def test_rounding_noise_is_no_feature():
    """A third feature that the others determine; for about half the draws its last pivot is 1e-16 and not negative."""
    for seed in range(20):
        x = normal(50, 2, seed) @ normal(2, 3, seed + 50)
        assert gaussian(x).factor.shape == (3, 2)


@pytest.mark.parametrize("n", [7, 12, 13, 9000])
def test_factor_gives_the_covariance(n):
    """For thin, square and Cholesky factors, and where rows come in several chunks; beside NumPy."""
    x = normal(n, 12) * 3 + 100
    got, (mean, cov) = gaussian(x.astype(np.float32)), covariance(x.astype(np.float32))
    want = np.cov(x.astype(np.float32).astype(float), rowvar=False)
    np.testing.assert_allclose(cov, want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.factor @ got.factor.T, want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(mean, got.mean, rtol=0)
    assert got.n == n and got.mean.dtype == got.factor.dtype == np.float64


@pytest.mark.parametrize("name", SETS)
def test_stored_statistics(name):
    """Statistics in place of features (measured 0), also where those gave a thin factor; in float32 (4e-8)."""
    fake, real = SETS[name]
    stored = gaussian_of(*covariance(real), len(real))
    got = frechet(gaussian(fake), stored)
    assert got == pytest.approx(fid(fake, real), rel=1e-12)
    single = (x.astype(np.float32) for x in covariance(real))
    rough = frechet(gaussian(fake), gaussian_of(*single, len(real)))
    assert rough == pytest.approx(fid(fake, real), rel=1e-6)


def test_fewer_samples_score_worse_and_infinity_mends_it():
    """Two sets of one law: FID is biased up by about 1/n, the line at 1/n = 0 is near FID with 10 times the rows."""
    real = normal(20_000, 8, 1)
    fake = normal(2_000, 8, 2, 0.1)
    small, few, many = fid(fake[:200], real), fid(fake, real), 8 * 0.01
    end = fid_infinity(fake, real)
    assert small > few > end
    assert end == pytest.approx(many, abs=0.03)
    assert fid_infinity(fake, real, seed=1) != end == fid_infinity(fake, real)


def test_infinity_of_one_law_may_be_negative():
    values = [
        fid_infinity(normal(300, 4, s), normal(3000, 4, s + 50)) for s in range(20)
    ]
    assert min(values) < 0 < max(values)
    assert np.mean(values) == pytest.approx(0, abs=0.01)


def test_infinity_of_few_and_of_constant_fakes():
    assert np.isfinite(fid_infinity(normal(16, 5), normal(16, 5, 1)))
    assert fid_infinity(np.zeros((40, 2)), np.ones((40, 2))) == pytest.approx(2)
    with pytest.raises(UserError, match="15 fakes give no 15 different"):
        fid_infinity(normal(15, 5), normal(16, 5))
    with pytest.raises(UserError, match="points is 1"):
        fid_infinity(normal(30, 5), normal(16, 5), points=1)


def test_refusals():
    good = normal(9, 3)
    broken = good.copy()
    broken[4, 1] = np.nan
    for measure in (fid, fid_infinity):
        with pytest.raises(UserError, match="1 of 9 rows of fake are not finite"):
            measure(broken, good)
        with pytest.raises(UserError, match="real has 1 rows"):
            measure(good, good[:1])
        with pytest.raises(UserError, match="3 features and real 2"):
            measure(good, good[:, :2])
    with pytest.raises(UserError, match="are not finite"):
        gaussian(np.full((4, 2), np.inf))
    with pytest.raises(UserError, match="3 features and the other 2"):
        frechet(gaussian(good), gaussian(good[:, :2]))


@pytest.mark.parametrize(
    ("mean", "matrix", "n", "words"),
    [
        (np.zeros(2), np.eye(3), 9, r"\[2\] and the covariance \[3, 3\]"),
        (np.zeros(2), np.eye(2), 1, "of 1 rows"),
        (np.zeros(2), np.eye(2) * np.nan, 9, "not finite"),
        (np.zeros(2), np.array([[1.0, 1], [0, 1]]), 9, "not symmetric"),
        (np.zeros(2), np.array([[1.0, 2], [2, 1]]), 9, "eigenvalue -1"),
        (np.zeros(2), -np.eye(2), 9, "eigenvalue -1"),
    ],
)
def test_refused_statistics(mean, matrix, n, words):
    with pytest.raises(UserError, match=words):
        gaussian_of(mean, matrix, n)
