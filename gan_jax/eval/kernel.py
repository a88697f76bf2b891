"""The kernel distance of two sets of features (KID): an unbiased squared MMD. NumPy, float64.

The kernel is (x.y / D + 1)^3, D the number of features. Being unbiased, the estimate is below 0 about as often as
above where the two sets are of one law.
"""

import numpy as np

from gan_jax.eval.checks import two_sets
from gan_jax.types import AnyArray, UserError

_BLOCK = 4096  # rows and columns of the kernel held at once


def mmd2(fake: AnyArray, real: AnyArray) -> float:
    """Return the unbiased squared MMD of features [N, D] and [M, D]; may be negative.

    Binkowski et al. 2018 (arXiv:1801.01401), section 4: means of the kernel over pairs of different fakes, plus over
    pairs of different reals, minus twice over all pairs of a fake and a real. Raises UserError as `checks.two_sets`.
    """
    return _mmd2(*two_sets(fake, real))


def kid(
    fake: AnyArray,
    real: AnyArray,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 2020,
) -> tuple[float, float]:
    """Return mean and std (divided by `subsets`) of `mmd2` over random subsets of features [N, D] and [M, D].

    Binkowski et al. 2018 (arXiv:1801.01401), section 4. The subsets are those of torch-fidelity: drawn without
    replacement by RandomState(seed), first of the fakes and then of the reals. A subset_size above the smaller set
    is cut to it. The std is that over subsets of these very samples, no error of the mean.
    Raises UserError as `checks.two_sets`, and for subsets below 1 or a subset_size below 2.
    """
    fake, real = two_sets(fake, real)
    if subsets < 1:
        raise UserError(f"subsets is {subsets}; it must be at least 1")
    if subset_size < 2:
        raise UserError(f"subset_size is {subset_size}; it must be at least 2")
    size = min(subset_size, len(fake), len(real))
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        some_fake = fake[rng.choice(len(fake), size, replace=False)]
        some_real = real[rng.choice(len(real), size, replace=False)]
        values.append(_mmd2(some_fake, some_real))
    return float(np.mean(values)), float(np.std(values))


def _mmd2(x: np.ndarray, y: np.ndarray) -> float:
    cross = sum(_kernel(a, b).sum() for a in _blocks(x) for b in _blocks(y))
    return float(_mean_of_pairs(x) + _mean_of_pairs(y) - 2 * cross / (len(x) * len(y)))


def _mean_of_pairs(x: np.ndarray) -> float:
    """The kernel's mean over all pairs of different rows; each pair of blocks is computed once."""
    blocks = _blocks(x)
    total = 0.0
    for i, a in enumerate(blocks):
        own = _kernel(a, a)
        np.fill_diagonal(own, 0)
        total += own.sum() + 2 * sum(_kernel(a, b).sum() for b in blocks[i + 1 :])
    return total / (len(x) * (len(x) - 1))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    t = a @ b.T
    t /= a.shape[1]
    t += 1
    cube = t * t  # ten times faster than t**3
    cube *= t
    return cube


def _blocks(x: np.ndarray) -> list[np.ndarray]:
    return [x[i : i + _BLOCK] for i in range(0, len(x), _BLOCK)]
