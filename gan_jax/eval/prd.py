"""Precision and recall of distributions (PRD). NumPy, float64.

Source: Sajjadi et al. 2018 (arXiv:1806.00035), section 3 for the curve, section 4 for its F-scores and the clusters.
"""

import warnings

import numpy as np
import scipy

from gan_jax.eval.checks import two_sets
from gan_jax.types import AnyArray, UserError

_ANGLES, _EPSILON, _BETA = 1001, 1e-10, 8


def prd(fake_hist: AnyArray, real_hist: AnyArray) -> tuple[float, float]:
    """Return (F8, F1/8) of two histograms [K], counts or shares: recall first, precision second, each in 0..1.

    The curve: precision(s) = sum_k min(s real_k, fake_k) and recall(s) = precision(s) / s, at the slopes s of 1001
    angles. Each score is the greatest F_beta on it, F_beta = (1 + beta^2) p r / (beta^2 p + r): F8 is near the
    greatest recall, F1/8 near the greatest precision. Equal histograms give (1, 1), disjoint ones (0, 0), and
    exchanging the two exchanges the scores.

    Raises UserError for unequal K, another number of axes, numbers that are negative or not finite, or a sum of 0.
    """
    fake, real = _shares("fake_hist", fake_hist), _shares("real_hist", real_hist)
    if len(fake) != len(real):
        raise UserError(
            f"fake_hist has {len(fake)} clusters and real_hist {len(real)}; they must be the same ones"
        )
    slopes = np.tan(np.linspace(_EPSILON, np.pi / 2 - _EPSILON, _ANGLES))
    precision = np.minimum(slopes[:, None] * real, fake).sum(axis=1)
    recall = precision / slopes
    return _best(precision, recall, _BETA), _best(precision, recall, 1 / _BETA)


def prd_histograms(
    fake: AnyArray, real: AnyArray, clusters: int = 20, seed: int = 2020
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares [clusters] of fake [N, D] and real [M, D] in the clusters of k-means on both together.

    The larger set is first cut to the size of the smaller by a random draw, so that both weigh the same. k-means++
    and ten rounds of Lloyd's algorithm; with fewer different points than clusters, each has its own and the other
    clusters are empty. Raises UserError as `two_sets`, or for no cluster.
    """
    fake, real = _checked(fake, real, clusters)
    return _histograms(fake, real, clusters, np.random.default_rng(seed))


def prd_of_features(
    fake: AnyArray,
    real: AnyArray,
    clusters: int = 20,
    runs: int = 10,
    seed: int = 2020,
) -> tuple[float, float]:
    """Return (F8, F1/8) of features [N, D] and [M, D]: the mean of `prd` over `runs` clusterings.

    The first clustering is that of `prd_histograms` with the same seed; the published values have 20 clusters and 10
    runs. Raises UserError as `prd_histograms`, or for no run.
    """
    fake, real = _checked(fake, real, clusters)
    if runs < 1:
        raise UserError(f"runs is {runs}; it must be at least 1")
    rng = np.random.default_rng(seed)
    scores = [prd(*_histograms(fake, real, clusters, rng)) for _ in range(runs)]
    recall, precision = np.mean(scores, axis=0).tolist()
    return recall, precision


def _shares(name: str, hist: AnyArray) -> np.ndarray:
    hist = np.asarray(hist)
    if hist.ndim != 1 or hist.dtype.kind not in "fiub":
        raise UserError(
            f"{name} has the shape {list(hist.shape)} and the type {hist.dtype}; it must be numbers [clusters]"
        )
    hist = hist.astype(np.float64)
    total = hist.sum()
    if not (np.isfinite(total) and (hist >= 0).all() and total > 0):
        raise UserError(
            f"{name} has the sum {total}; it must be finite numbers, none negative and not all 0"
        )
    return hist / total


def _best(precision: np.ndarray, recall: np.ndarray, beta: float | int) -> float:
    both = (1 + beta**2) * precision * recall
    # Epsilon keeps 0 / 0 out; it lowers a score by less than 2e-9.
    return float((both / (beta**2 * precision + recall + _EPSILON)).max())


def _checked(
    fake: AnyArray, real: AnyArray, clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    if clusters < 1:
        raise UserError(f"clusters is {clusters}; it must be at least 1")
    return two_sets(fake, real)


def _histograms(
    fake: np.ndarray, real: np.ndarray, clusters: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    n = min(len(fake), len(real))
    union = np.concatenate([_cut(fake, n, rng), _cut(real, n, rng)])
    union -= union.mean(axis=0)  # k-means multiplies out |x - c|^2
    with warnings.catch_warnings():  # a cluster that runs empty keeps its centre
        warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
        _, labels = scipy.cluster.vq.kmeans2(
            union, _seeds(union, clusters, rng), minit="matrix"
        )
    of_fake, of_real = (
        np.bincount(half, minlength=clusters) / n for half in (labels[:n], labels[n:])
    )
    return of_fake, of_real


def _cut(x: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return x if len(x) == n else x[rng.choice(len(x), n, replace=False)]


def _seeds(x: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most `clusters` different rows by k-means++ (Arthur and Vassilvitskii 2007), fewer if there are no more.

    SciPy's own divides 0 by 0 when points run out, and its draws change with its version.
    """
    chosen = [int(rng.integers(len(x)))]
    gaps = np.full(len(x), np.inf)
    while len(chosen) < clusters:
        gaps = np.minimum(
            gaps, scipy.spatial.distance.cdist(x, x[chosen[-1:]], "sqeuclidean")[:, 0]
        )
        if not gaps.any():
            break
        chosen.append(int(rng.choice(len(x), p=gaps / gaps.sum())))
    return x[chosen]
