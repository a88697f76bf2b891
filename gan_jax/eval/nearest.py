"""The nearest training examples of samples, exactly. NumPy; no copy of the training set is made."""

import numpy as np
from jaxtyping import Float, Int32, Shaped

from gan_jax.types import AnyArray, UserError

PROBES = 1000  # of the training examples that are asked for their own nearest other one
_EXACT = 1024  # products of two bytes less 128, of which float32 adds this many without rounding: 2^14 * 2^10 = 2^24
_NUMBERS = 2**22  # bytes or distances looked at together


def nearest(
    x: Shaped[AnyArray, "n *shape"],
    train: Shaped[AnyArray, "m *shape"],
    k: int,
    own: Shaped[AnyArray, "n"] | None = None,
) -> tuple[Int32[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """Rows of `train` nearest to each x by Euclidean distance, nearest first, and the distances, float64.

    Of equal distances the lower row comes first. Pictures uint8 [N, H, W, C] are compared in steps of 0..255: squared
    distances are whole numbers, added up by products of float32 without any rounding. Points float32 [N, D] are
    compared in float64. own: a row of `train` for each x that does not count, its own.
    Raises UserError unless 1 <= k <= the rows that count.
    """
    most = len(train) - (own is not None)
    if not 1 <= k <= most:
        raise UserError(
            f"{k} nearest of {most} training examples: take a number from 1 to {most}"
        )
    squares = _of_bytes if x.dtype == np.uint8 else _of_points
    x = np.asarray(x).reshape(len(x), -1)
    found = np.zeros((len(x), k), np.int32)
    least = np.full((len(x), k), np.inf)
    size = max(1, _NUMBERS // max(x.shape[1], len(x)))
    for start in range(0, len(train), size):
        part = np.asarray(train[start : start + size]).reshape(-1, x.shape[1])
        distances = squares(x, part)
        if own is not None:
            mine = np.asarray(own) - start
            rows = np.flatnonzero((mine >= 0) & (mine < len(part)))
            distances[rows, mine[rows]] = np.inf
        numbers = np.arange(start, start + len(part), dtype=np.int32)
        numbers = np.broadcast_to(numbers, distances.shape)
        # the earlier rows stand first, and argmin takes the first of equals
        distances = np.concatenate([least, distances], axis=1)
        numbers = np.concatenate([found, numbers], axis=1)
        rows = np.arange(len(x))
        for j in range(k):
            column = distances.argmin(axis=1)
            least[:, j], found[:, j] = distances[rows, column], numbers[rows, column]
            distances[rows, column] = np.inf
    return found, np.sqrt(least)


def nearness(
    distances: Float[np.ndarray, "n k"], train: Shaped[AnyArray, "m *shape"]
) -> tuple[float, float]:
    """Median distances to the nearest: of the samples, and of training examples to another one.

    At most 1,000 training examples are asked, evenly spread. Samples much nearer to the training set than it is to
    itself are copies. Raises UserError for a training set of one example.
    """
    own = np.unique(np.linspace(0, len(train) - 1, PROBES).round().astype(np.int64))
    among = nearest(train[own], train, 1, own)[1]
    return float(np.median(distances[:, 0])), float(np.median(among))


def _of_bytes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances of bytes [n, D] to bytes [m, D], float64 and exact."""
    total = np.zeros((len(x), len(y)))
    for i in range(0, x.shape[1], _EXACT):
        a, b = (z[:, i : i + _EXACT].astype(np.float32) - 128 for z in (x, y))
        total -= a @ b.T
    total *= 2
    for axis, z in ((1, x), (0, y)):
        total += np.expand_dims(_squared_norms(z), axis)
    return total


def _squared_norms(z: np.ndarray) -> np.ndarray:
    """Sums of squares of bytes less 128, [n], float64 and exact."""
    parts = range(0, z.shape[1], _EXACT)
    shifted = (z[:, i : i + _EXACT].astype(np.float32) - 128 for i in parts)
    return sum(np.einsum("nd,nd->n", a, a).astype(np.float64) for a in shifted)


def _of_points(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances of points [n, D] to points [m, D], a coordinate at a time in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return sum((x[:, i, None] - y[:, i]) ** 2 for i in range(x.shape[1]))
