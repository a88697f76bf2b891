"""Measures by nearest neighbours: precision, recall, density, coverage, memorisation. NumPy, float64.

Squared distances are |a|^2 + |b|^2 - 2 a.b, by chunks of rows, of features whose common mean is taken off. That is
rounded to about 1e-15 of |a|^2 + |b|^2. Two distances nearer to each other than 1e-13 of it count as equal, so that
copies and ties come out right: a radius of zero holds the copies under <=, and nothing under <.
"""

from collections.abc import Iterator

import numpy as np

from gan_jax.eval.checks import rows, two_sets
from gan_jax.types import AnyArray, UserError

_SLACK = 1e-13
_AT_ONCE = 2**25  # distances held at once: 256 MiB


def precision_recall(
    fake: AnyArray, real: AnyArray, k: int = 3
) -> tuple[float, float, float]:
    """Return precision, recall and F1 of features [N, D] and [M, D], each in 0..1.

    Kynkaanniemi et al. 2019 (arXiv:1904.06991), eq. 1-2. A set's manifold is the union of balls about its points,
    each as large as the distance to the k-th nearest other point of the set, the border (<=) included.
    precision: share of fakes in the manifold of the reals. recall: share of reals in that of the fakes.
    F1 is their harmonic mean, 0 where both are 0. The authors take 50,000 of each; other numbers do not compare.
    Raises UserError as `checks.two_sets`, and unless 1 <= k < N and k < M.
    """
    fake, real = _centred(*two_sets(fake, real))
    around_fake, around_real = _radii("fake", fake, k), _radii("real", real, k)
    precise = np.zeros(len(fake), bool)
    recalled = np.zeros(len(real), bool)
    for part, distances in _distances(fake, real, 1 - _SLACK):
        precise[part] = (distances <= around_real).any(axis=1)
        recalled |= (distances <= around_fake[part, None]).any(axis=0)
    precision, recall = float(precise.mean()), float(recalled.mean())
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def density_coverage(fake: AnyArray, real: AnyArray, k: int = 5) -> tuple[float, float]:
    """Return density (0 or more, about 1 for one law) and coverage (0..1) of features [N, D] and [M, D].

    Naeem et al. 2020 (arXiv:2002.09797), section 3, with balls about the reals as of `precision_recall` but without
    their border (<), as in the authors' code.
    density: in how many balls a fake lies on average, over k. coverage: share of balls that hold a fake.
    Raises UserError as `checks.two_sets`, and unless 1 <= k < M.
    """
    fake, real = _centred(*two_sets(fake, real))
    around_real = _radii("real", real, k)
    inside, covered = 0, np.zeros(len(real), bool)
    for _, distances in _distances(fake, real, 1 + _SLACK):
        within = distances < around_real
        inside += int(within.sum())
        covered |= within.any(axis=0)
    return inside / (k * len(fake)), float(covered.mean())


def memorisation(
    fake: AnyArray, train: AnyArray, held_out: AnyArray
) -> dict[str, float]:
    """Return how near features of fakes [N, D] are to the train set [M, D], beside real ones [H, D] held out of it.

    fake_to_train, held_out_to_train: median Euclidean distance to the nearest train example.
    copying: the chance that a fake is nearer to the train set than a held-out example, ties counted half. 0.5 for new
    samples of the same law, 1 for copies; below 0.5 for fakes that lie outside the data, and above it also for ones
    smoother than the data: compare precision. The global statistic of Meehan et al. 2020 (arXiv:2004.05675), as a share.
    Raises UserError as `checks.rows`, and for unequal D.
    """
    fake, train = rows("fake", fake), rows("train", train)
    held_out = rows("held_out", held_out)
    widths = [x.shape[1] for x in (fake, train, held_out)]
    if len(set(widths)) > 1:
        raise UserError(
            "fake, train and held_out have {}, {} and {} features; they must have as many".format(
                *widths
            )
        )
    fakes, others = _nearest(fake, train), np.sort(_nearest(held_out, train))
    below, up_to = (np.searchsorted(others, fakes, side) for side in ("left", "right"))
    copying = 1 - (below.mean() + up_to.mean()) / (2 * len(others))
    return {
        "fake_to_train": float(np.median(fakes)),
        "held_out_to_train": float(np.median(others)),
        "copying": float(copying),
    }


def _centred(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets less one point between them: distances stay, and lose fewer digits."""
    middle = (a.mean(0) + b.mean(0)) / 2
    return a - middle, b - middle


def _distances(
    a: np.ndarray, b: np.ndarray, scale: float = 1.0
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield chunks of a's rows and scale (|a|^2 + |b|^2) - 2 a.b of each to all of b, at least 0."""
    of_a, of_b = (scale * np.einsum("nd,nd->n", x, x) for x in (a, b))
    chunk = max(1, _AT_ONCE // len(b))
    for i in range(0, len(a), chunk):
        part = slice(i, i + chunk)
        distances = (-2 * a[part]) @ b.T
        distances += of_a[part, None]
        distances += of_b
        yield part, np.maximum(distances, 0, out=distances)


def _radii(name: str, x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each row to the k-th nearest other one."""
    if not 1 <= k < len(x):
        raise UserError(
            f"k is {k} and {name} has {len(x)} rows; k must be at least 1 and below the number of rows"
        )
    radii = np.empty(len(x))
    for part, distances in _distances(x, x):
        distances.partition(k, axis=1)  # the smallest is its own
        radii[part] = distances[:, k]
    return radii


def _nearest(fake: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Euclidean distance of each fake to its nearest neighbour, without rounding for copies."""
    found = np.empty(len(fake), int)
    for part, distances in _distances(*_centred(fake, other)):
        found[part] = distances.argmin(axis=1)
    return np.array(
        [np.linalg.norm(x - other[i]) for x, i in zip(fake, found, strict=True)]
    )
