"""The order of examples: a pure function of (seed, step), so that a run resumes exactly."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np


def indices(
    seed: int,
    start: int,
    count: int,
    n_disc: int,
    batch: int,
    size: int,
    order: Callable[[int, int, int], np.ndarray] | None = None,
) -> np.ndarray:
    """Return the examples of steps start .. start+count-1: int32 [count, n_disc, batch], each in 0..size-1.

    Example t = step * n_disc * batch + j of the run is entry t % size of the permutation of epoch t // size,
    NumPy's `Generator(Philox(key=[seed, epoch])).permutation(size)`: each epoch has each example once, and
    any way of cutting a run into chunks gives the same order. A batch may span epochs. order: what remembers
    permutations where there are many seeds (`orders`).
    Raises ValueError for a negative seed, start or count, or when n_disc, batch or size is below 1.
    """
    if min(seed, start, count) < 0 or min(n_disc, batch, size) < 1:
        raise ValueError(
            "indices needs seed, start, count >= 0 and n_disc, batch, size >= 1, "
            f"not {(seed, start, count)} and {(n_disc, batch, size)}"
        )
    order, per_step = order or _remembered, n_disc * batch
    first, last = start * per_step, (start + count) * per_step
    out = np.empty(last - first, np.int32)
    for epoch in range(first // size, -(-last // size)):
        begin, end = max(first, epoch * size), min(last, (epoch + 1) * size)
        shuffled = order(seed, epoch, size)
        out[begin - first : end - first] = shuffled[
            begin - epoch * size : end - epoch * size
        ]
    return out.reshape(count, n_disc, batch)


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of one epoch: int32 [size], read-only."""
    order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(size)
    order = order.astype(np.int32)
    order.setflags(write=False)
    return order


def orders(room: int) -> Callable[[int, int, int], np.ndarray]:
    """`permutation` that remembers the last `room` answers: a chunk touches an epoch or two of each seed."""
    return lru_cache(maxsize=room)(permutation)


_remembered = orders(4)
