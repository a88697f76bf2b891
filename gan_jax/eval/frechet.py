"""The Frechet distance of two sets of features (FID), from their means and covariances. NumPy, float64.

A covariance S is kept as a factor L with S = L L^T. The trace of (S1 S2)^(1/2) is the sum of the singular values
of L1^T L2, which is real and not negative for every covariance, singular and zero ones as well: no epsilon on the
diagonal, no imaginary part to throw away, and a small problem where a set has fewer rows than features.
"""

from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float

from gan_jax.eval.checks import rows, two_sets
from gan_jax.types import AnyArray, UserError

Mean = Float[np.ndarray, " d"]
Square = Float[np.ndarray, "d d"]

_CHUNK = 4096  # rows centred at once, which bounds the memory
_SMALLEST = 5000  # of FID-infinity's subsets
_NOISE = 1e-13  # of the largest eigenvalue: 200 times what rounding leaves of a zero
_SQUARED = 1e-9  # of the sum of singular values: what squaring may cost at worst
_INDEFINITE = 1e-3  # a negative eigenvalue this large is no rounding, even of float32


class Gaussian(NamedTuple):
    """Mean [D], and a factor [D, r] of the covariance: covariance = factor @ factor.T. n: rows it was taken from."""

    mean: Mean
    factor: Float[np.ndarray, "d r"]
    n: int


def gaussian(features: AnyArray) -> Gaussian:
    """Return mean and covariance (divided by n - 1) of features [n, D].

    For n <= D the factor is the centred features themselves, [D, n]. A constant feature has a variance of exactly 0.
    Raises UserError as `checks.rows`.
    """
    return _gaussian(rows("features", features))


def gaussian_of(mean: AnyArray, covariance: AnyArray, n: int) -> Gaussian:
    """Return the Gaussian of stored statistics: mean [D] and covariance [D, D] of n rows, divided by n - 1.

    Raises UserError for other shapes, numbers that are not finite, n below 2, or a matrix that is no covariance
    (not symmetric, or with an eigenvalue below -1/1000 of the largest).
    """
    mean, covariance = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean), len(mean)):
        raise UserError(
            f"the mean has the shape {list(mean.shape)} and the covariance {list(covariance.shape)}; "
            "they must be [D] and [D, D]"
        )
    if n < 2:
        raise UserError(f"the statistics are of {n} rows; at least 2 are needed")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError("the mean or the covariance is not finite; compute them anew")
    scale = np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > _INDEFINITE * scale:
        raise UserError("the covariance is not symmetric; is it another matrix?")
    return Gaussian(mean, _root(covariance), n)


def covariance(features: AnyArray) -> tuple[Mean, Square]:
    """Return the mean [D] and the covariance [D, D], divided by n - 1, of features [n, D].

    Raises UserError as `checks.rows`.
    """
    x = rows("features", features)
    mean = _mean(x)
    return mean, _covariance(x, mean)


def frechet(a: Gaussian, b: Gaussian) -> float:
    """|mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), at least 0: the squared 2-Wasserstein distance.

    Dowson & Landau 1982 (J. Multivariate Analysis 12). Raises UserError for Gaussians of unequal dimension.
    """
    if len(a.mean) != len(b.mean):
        raise UserError(
            f"one Gaussian has {len(a.mean)} features and the other {len(b.mean)}; they must have as many"
        )
    root = _singular_values(a.factor.T @ b.factor).sum()
    traces = np.sum(a.factor**2) + np.sum(b.factor**2)
    # rounding leaves about -1e-15 of the traces where the two are equal
    return max(0.0, float(np.sum((a.mean - b.mean) ** 2) + traces - 2 * root))


def fid(fake: AnyArray, real: AnyArray) -> float:
    """Return the Frechet distance of features [N, D] and [M, D]; 0 is best.

    Heusel et al. 2017 (arXiv:1706.08500), eq. 6, who take at least 10,000 samples: the value falls with their number
    (see `fid_infinity`), so only values of equal N and M compare. Raises UserError as `checks.two_sets`.
    """
    fake, real = two_sets(fake, real)
    return frechet(_gaussian(fake), _gaussian(real))


def fid_infinity(
    fake: AnyArray, real: AnyArray, points: int = 15, seed: int = 2020
) -> float:
    """Return FID extrapolated to infinitely many fakes: the value at 1/n = 0 of a line through FIDs over 1/n.

    Chong & Forsyth 2020 (arXiv:1911.07023), without their quasi-random latents: FIDs of random subsets of
    the fakes [N, D] against all of real [M, D], at `points` sizes evenly from the smaller of 5,000 and N // 10
    (at least 2) to N. The line holds where the smallest subset has more rows than features, and the subsets overlap,
    so the value has noise of its own; it is not clipped and may be below 0. What M adds to FID stays in it.
    Raises UserError as `checks.two_sets`, and for too few points, or too few fakes to make them all different.
    """
    fake, real = two_sets(fake, real)
    n = len(fake)
    smallest = max(2, min(_SMALLEST, n // 10))
    if points < 2:
        raise UserError(f"points is {points}; a line needs at least 2")
    if n - smallest < points - 1:
        raise UserError(
            f"{n} fakes give no {points} different subset sizes from {smallest} up; give more fakes or fewer points"
        )
    rng = np.random.RandomState(seed)
    target = _gaussian(real)
    sizes = np.linspace(smallest, n, points).astype(int)
    values = [
        frechet(_gaussian(fake[rng.choice(n, size, replace=False)]), target)
        for size in sizes
    ]
    return float(np.polyfit(1 / sizes, values, 1)[1])


def _gaussian(x: np.ndarray) -> Gaussian:
    mean = _mean(x)
    if len(x) <= x.shape[1]:
        return Gaussian(mean, (x - mean).T / np.sqrt(len(x) - 1), len(x))
    return Gaussian(mean, _root(_covariance(x, mean)), len(x))


def _mean(x: np.ndarray) -> np.ndarray:
    """The mean of rows, exact for constant features."""
    total = sum((x[i : i + _CHUNK] - x[0]).sum(0) for i in range(0, len(x), _CHUNK))
    return x[0] + total / len(x)


def _covariance(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    total = np.zeros((x.shape[1], x.shape[1]))
    for i in range(0, len(x), _CHUNK):
        centred = x[i : i + _CHUNK] - mean
        total += centred.T @ centred
    return total / (len(x) - 1)


def _singular_values(x: np.ndarray) -> np.ndarray:
    """By the eigenvalues of x^T x, three times faster, unless squaring would lose the small ones."""
    if x.shape[0] < x.shape[1]:
        x = x.T
    squares = scipy.linalg.eigvalsh(x.T @ x, check_finite=False)
    if squares.size and squares[0] > 0:
        roots = np.sqrt(squares)
        # each square is off by at most about eps of the largest
        worst = np.finfo(float).eps * squares[-1] * np.sum(0.5 / roots)
        if worst < _SQUARED * roots.sum():
            return roots
    return scipy.linalg.svdvals(x, check_finite=False)


def _root(covariance: np.ndarray) -> np.ndarray:
    """A factor [D, r] of a covariance of rank r, to its rounding error.

    Cholesky's is ten times faster than that of the eigenvectors. Where a pivot is rounding noise, whose square root
    is 1e-8 and would show, the eigenvectors tell what is noise.
    """
    try:
        factor = np.linalg.cholesky(covariance)
        pivots = np.diag(factor) ** 2
        if pivots.min() > _NOISE * np.diag(covariance).max():
            return factor
    except np.linalg.LinAlgError:
        pass
    values, vectors = scipy.linalg.eigh(covariance, check_finite=False)
    if values[0] < -_INDEFINITE * values[-1]:
        raise UserError(
            f"the covariance has the eigenvalue {values[0]:.3g} (the largest is {values[-1]:.3g}); "
            "none may be negative: is it another matrix?"
        )
    kept = values > _NOISE * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])
