"""The sliced Wasserstein distance of two sets of features. NumPy, float64.

Sources: Rabin et al. 2011 (Wasserstein barycentre and its application to texture mixing), Bonneel et al. 2015
(Sliced and Radon Wasserstein barycenters of measures); for GANs, Deshpande et al. 2018 (arXiv:1803.11188).
"""

import numpy as np

from gan_jax.eval.checks import two_sets
from gan_jax.types import AnyArray, UserError

_CHUNK = 32  # directions at a time: bounds the memory, changes no number


def sliced_wasserstein(
    fake: AnyArray, real: AnyArray, directions: int = 1000, seed: int = 2020
) -> float:
    """Return SW2^2 of features [N, D] and [M, D]: the SQUARED sliced 2-Wasserstein distance.

    The mean over `directions` random unit vectors u of W2^2 between the numbers x.u of both sets: sorted, the mean
    of squared differences; for unequal N and M the integral over all quantiles, exact. In units of the features
    squared and not multiplied by D: moving one set by v gives |v|^2 / D in expectation. For D = 1 it is W2^2.
    Symmetric, at least 0, and 0 for the same rows in any order. The directions depend on D, `directions` and `seed`
    only. Raises UserError for shapes or numbers that `two_sets` refuses, or no direction.
    """
    fake, real = two_sets(fake, real)
    if directions < 1:
        raise UserError(f"directions is {directions}; it must be at least 1")
    units = np.random.default_rng(seed).normal(size=(directions, fake.shape[1]))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    of_fake, of_real, widths = _quantiles(len(fake), len(real))
    total = 0.0
    for start in range(0, directions, _CHUNK):
        chunk = units[start : start + _CHUNK]
        gaps = np.sort(chunk @ fake.T)[:, of_fake] - np.sort(chunk @ real.T)[:, of_real]
        total += float((gaps**2 @ widths).sum())
    return total / directions


def _quantiles(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pieces on which both quantile functions are constant: index among n, index among m, width.

    Quantile levels are whole numbers of 1/(nm), so that equal ones are found equal.
    """
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    return (ends - 1) // m, (ends - 1) // n, np.diff(ends, prepend=0) / (n * m)
