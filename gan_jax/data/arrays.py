"""Pictures that a file holds as one array of pixels: decoded into the same cache as picture files are."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_jax.data.cache import find, load_or_decode
from gan_jax.data.pictures import Pictures
from gan_jax.data.spec import DataError, Dataset, DataSpec

MAX_BYTES = 16 * 2**30  # of one unpacked array, which is held in memory
MAX_RATIO = 1100  # a little more than deflate can pack (1032)
MAX_CLASSES = 100_000


class Arrays(NamedTuple):
    """What was read: images uint8 [N, H, W, C] with C = 1 or 3, labels int32 [N] or None, and their names."""

    images: np.ndarray
    labels: np.ndarray | None
    label_names: tuple[str, ...]


def load_arrays(
    spec: DataSpec, key: str, files: list[Path], read: Callable[[], Arrays]
) -> Dataset:
    """Return the pictures cropped and resized as the spec says, memory-mapped from the cache.

    read() is called only if the cache does not hold them. key: as `Pictures.key`. files: all that is read; a
    new size or time of any makes the entry stale.
    """
    stats = [(path.name, path.stat()) for path in files]
    facts = repr([(name, s.st_size, s.st_mtime_ns) for name, s in stats])
    fingerprint = hashlib.sha256(facts.encode()).hexdigest()
    found = find(key, fingerprint, spec)
    if found is not None:
        return found
    images, labels, label_names = read()
    if not images.size:
        raise DataError(f"data source {spec.source!r} holds no pictures")
    pictures = Pictures(
        [f"picture {i}" for i in range(len(images))],
        lambda i: images[i],
        lambda kept: (None if labels is None else labels[kept], label_names),
        key,
        fingerprint,
    )
    return load_or_decode(pictures, spec)


def check_size(name: str, size: int, most: int) -> None:
    """Raise DataError if a header announces more bytes than its file can hold, or more than 16 GiB."""
    if size > min(MAX_BYTES, most):
        raise DataError(
            f"{name} is damaged or too large: its header announces {size:,} bytes; "
            f"the file can hold {most:,}, and the limit is {MAX_BYTES:,}"
        )


def check_labels(
    name: str, labels: np.ndarray, count: int, names: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return int32 labels [count] and their names, "0".."K-1" where there are none.

    Raises DataError if the labels are not `count` whole numbers from 0 that each have a name.
    """
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{name}: labels must be {count} whole numbers, one for each example, "
            f"not {labels.dtype} {list(labels.shape)}"
        )
    low, high = (int(labels.min()), int(labels.max())) if count else (0, 0)
    top = (len(names) or MAX_CLASSES) - 1
    if low < 0 or high > top:
        raise DataError(f"{name}: labels are {low} to {high}, and must be 0 to {top}")
    names = names or tuple(str(k) for k in range(high + 1))
    return labels.astype(np.int32), names
