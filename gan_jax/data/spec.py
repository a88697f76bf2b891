"""What is asked for (DataSpec), what comes back (Dataset), and what goes wrong (DataError)."""

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gan_jax.types import UserError


class DataError(UserError):
    """A mistake or a missing file that the user can mend; the message says how."""


class NoSplit(DataError):
    """The source has no such split."""


class DataSpec(NamedTuple):
    """Which pictures, and in which shape.

    source: a name of `sources.SOURCES`, with ":argument" where the row takes one. stand_in: what a smoke
    run uses when the source is not on the machine. resolution: side of the output in pixels, 0 = as the
    source is (only where all pictures have one size). crop: side of the centre crop before resizing, 0 =
    the largest centred square; a crop larger than the picture is its shorter side. split: "train", or
    "test" where the source has it. cache_dir: "" = $GAN_JAX_CACHE or ~/.cache/gan_jax. skip_bad: pictures
    that cannot be read are left out and counted, not refused.
    """

    source: str = "fashion_mnist"
    stand_in: str = "fashion_mnist"
    resolution: int = 0
    crop: int = 0
    split: str = "train"
    cache_dir: str = ""
    skip_bad: bool = False


class Dataset(NamedTuple):
    """Examples in memory or memory-mapped, read-only.

    images: uint8 [N, H, W, C], or float32 [N, D] points. labels: int32 [N] or None. label_names: () when
    there are no labels. digest: sha256 of shape, bytes, labels and sources (see `in_memory`), the same on each
    machine that has the same examples. skipped: "name: reason" of each picture that was left out (`DataSpec.skip_bad`),
    made of printable characters.

    sources: uint8 [N, h, w, c], what an image-to-image task turns into `images`: the input of the same example
    (paired), or any picture of the other domain (not paired). None where there is no such task.
    """

    images: np.ndarray
    labels: np.ndarray | None
    label_names: tuple[str, ...]
    name: str
    digest: str
    skipped: tuple[str, ...] = ()
    sources: np.ndarray | None = None
    paired: bool = False

    @property
    def source_shape(self) -> tuple[int, ...]:
        """(h, w, c) of the sources, () where there are none."""
        return () if self.sources is None else self.sources.shape[1:]


def hasher(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return a sha256 that has read the shape; feed it the examples' bytes, then the int32 labels'."""
    return hashlib.sha256(f"{np.dtype(dtype).name} {tuple(shape)}".encode())


def in_memory(
    images: np.ndarray,
    labels: np.ndarray | None,
    label_names: tuple[str, ...],
    name: str,
    sources: np.ndarray | None = None,
    paired: bool = False,
) -> Dataset:
    """Return a read-only Dataset of arrays in memory: images [N, ...], labels [N] or None, sources [N, ...] or None.

    The digest reads images, then labels, then the sources' kind and shape and bytes where there are any.
    """
    images = np.ascontiguousarray(images)
    digest = hasher(images.shape, images.dtype)
    digest.update(images)
    images.setflags(write=False)
    if labels is not None:
        labels = np.ascontiguousarray(labels, np.int32)
        digest.update(labels)
        labels.setflags(write=False)
    if sources is not None:
        sources = np.ascontiguousarray(sources)
        digest.update(f"{paired} {sources.dtype.name} {sources.shape}".encode())
        digest.update(sources)
        sources.setflags(write=False)
    said = name, digest.hexdigest(), ()
    return Dataset(images, labels, label_names, *said, sources, paired)


def check_split(spec: DataSpec, splits: tuple[str, ...]) -> None:
    """Raise NoSplit, a DataError, unless the source has the split that is asked for."""
    if spec.split not in splits:
        raise NoSplit(
            f"data source {spec.source!r} has no split {spec.split!r}; choices: {', '.join(splits)}"
        )


@contextlib.contextmanager
def untrusted(what: str) -> Iterator[None]:
    """Turn whatever reading a hostile file raises into one DataError "what: why"; what is one already stays.

    Bad bytes can make a reader raise nearly anything, from struct.error to RecursionError.
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, LookupError):
            why = f"{type(error).__name__}: {why}"
        raise DataError(f"{what}: {why[:200]}") from error
