"""Image-to-image tasks made of any source of pictures: lines, grey, small pictures, or two classes as two domains.

Edge maps are the task of pix2pix' edges2shoes (Isola et al. 2017, arXiv:1611.07004, section 5), pictures 4 times
smaller that of SRGAN (Ledig et al. 2017, arXiv:1609.04802), two classes stand for the two domains of CycleGAN (Zhu et al.
2017, arXiv:1703.10593). All arithmetic is of whole numbers, so every machine has the same bytes.

`split="test"` is the inner source's own where it has one; where it has none (celeba, emoji, your folder) every tenth
example, the numbers 9, 19, ..., is the test split and the others are train; every tenth of each domain for `domains`.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from gan_jax.data.spec import DataError, Dataset, DataSpec, NoSplit, in_memory
from gan_jax.images import luminance, with_channels
from gan_jax.types import UserError, lookup

TIMES = 4  # a `small` picture is so much smaller
_STEP = 18 * 64  # of the gradient's length; 64: the sum of the weights on one side
_BLOCK = 256  # pictures at a time: bounds the memory

Load = Callable[[DataSpec], Dataset]
Pictures = UInt8[np.ndarray, "n h w c"]


def load_made(
    load: Load, make: Callable[[Pictures], np.ndarray], spec: DataSpec, argument: str
) -> Dataset:
    """Return the pictures of the source `argument` as images, and make(images) as their sources; labels pass through.

    load: `sources.load`. The sources are made in memory at each start, `_BLOCK` pictures at a time.
    Raises DataError for points, for a source that has input pictures already, and what `make` refuses.
    """
    data, divided = inner(load, spec, argument)
    images, labels = data.images, data.labels
    if not divided:
        rows = tenths(len(images), spec)
        images, labels = images[rows], None if labels is None else labels[rows]
    starts = range(0, len(images), _BLOCK)
    try:
        made = [make(np.asarray(images[i : i + _BLOCK])) for i in starts]
    except DataError as error:
        raise DataError(f"data source {spec.source!r} {error}") from error
    kept = images, labels, data.label_names
    whole = in_memory(*kept, spec.source, np.concatenate(made), True)
    return whole._replace(skipped=data.skipped)


def edges(images: Pictures) -> UInt8[np.ndarray, "n h w 1"]:
    """Return dark lines (0) on white (255), one pixel wide, along the steps of the luminance.

    The luminance is smoothed by (1 2 1)/4 both ways, its gradient is Sobel's. A line is where the gradient is longest
    among the two neighbours across it (left and right, or above and below, as the gradient points) and at least 18: a
    straight step between areas that differ by 24 of 255 levels. Beyond the frame the last pixel is repeated.
    """
    light = luminance(images)[..., 0].astype(np.int32)
    for axis in (1, 2):
        light = _weighed(light, axis, (1, 2, 1))
    across = _weighed(_weighed(light, 1, (1, 2, 1)), 2, (-1, 0, 1))
    down = _weighed(_weighed(light, 2, (1, 2, 1)), 1, (-1, 0, 1))
    square = across**2 + down**2
    longest = np.where(
        np.abs(across) >= np.abs(down), _peak(square, 2), _peak(square, 1)
    )
    line = longest & (square >= _STEP**2)
    return np.where(line, 0, 255).astype(np.uint8)[..., None]


def grey(images: Pictures) -> UInt8[np.ndarray, "n h w 1"]:
    """Return the luminance of colour pictures. Raises DataError for grey ones."""
    if images.shape[3] == 1:
        raise DataError("takes the colour from pictures, and these are grey already")
    return luminance(images)


def small(images: Pictures) -> UInt8[np.ndarray, "n H W c"]:
    """Return the mean of each square of 4 x 4 pixels, rounded half up. Raises DataError unless 4 divides the sides."""
    n, height, width, channels = images.shape
    if height % TIMES or width % TIMES:
        raise DataError(
            f"makes pictures {TIMES} times smaller, and {height} is no multiple of {TIMES}: "
            f"set --config.data.resolution={max(1, round(height / TIMES)) * TIMES}"
        )
    shape = n, height // TIMES, TIMES, width // TIMES, TIMES, channels
    total = images.reshape(shape).sum((2, 4), dtype=np.int32)
    return ((total + TIMES**2 // 2) // TIMES**2).astype(np.uint8)


def load_domains(load: Load, spec: DataSpec, argument: str) -> Dataset:
    """Return the pictures of one class as sources and those of another as images, not paired and without labels.

    argument: "SOURCE,A,B", where A and B are names or numbers of labels (a name with a comma has to be a number). For
    unequal numbers of pictures see `two_domains`.
    Raises DataError for a label that the source has not, or has no pictures of, and as `load_made`.
    """
    source, *asked = argument.rsplit(",", 2)
    if len(asked) != 2:
        raise DataError(
            f"data source {spec.source!r} is written --config.data.source=domains:SOURCE,A,B with two labels A and B"
        )
    data, divided = inner(load, spec, source)
    if data.labels is None:
        raise DataError(
            f"data source {spec.source!r} needs labels, and {source!r} has none"
        )
    a, b = (_number(text, data, spec) for text in asked)
    if a == b:
        raise DataError(
            f"data source {spec.source!r} names one label twice; choose two"
        )
    found = []
    for text, label in zip(asked, (a, b), strict=True):
        rows = np.flatnonzero(data.labels == label)
        if not len(rows):
            raise DataError(
                f"data source {spec.source!r} has no pictures of {text!r} in its split {spec.split!r}"
            )
        if not divided:
            rows = rows[tenths(len(rows), spec)]
        found.append(data.images[rows])
    return two_domains(spec.source, *found, data.skipped)


def two_domains(
    name: str, sources: np.ndarray, images: np.ndarray, skipped: tuple[str, ...]
) -> Dataset:
    """Return pictures [A, h, w, c] and [B, h, w, c] of two domains as N = max(A, B) examples that are not paired.

    Example i of the smaller domain is its picture i modulo its size, so that an epoch shows each of them equally often,
    up to one. Grey becomes colour by repetition where the other domain is in colour.
    Raises DataError where the sizes differ.
    """
    sides = sources.shape[1:3], images.shape[1:3]
    if sides[0] != sides[1]:
        first, second = ("x".join(map(str, side)) for side in sides)
        raise DataError(
            f"the two domains of {name!r} have pictures of {first} and {second} pixels: set --config.data.resolution=64, say"
        )
    count, channels = (
        max(len(sources), len(images)),
        max(sources.shape[3], images.shape[3]),
    )
    both = []
    for x in (sources, images):
        if x.shape[3] != channels:
            x = with_channels(x, channels)
        both.append(take(x, np.arange(count) % len(x)))
    data = in_memory(both[1], None, (), name, both[0], False)
    return data._replace(skipped=skipped)


def inner(load: Load, spec: DataSpec, source: str) -> tuple[Dataset, bool]:
    """Return the pictures of the source that another one is made of, and whether they are of the split alone.

    Where the source has no test split both splits are in what is returned. Raises DataError unless these are pictures
    without sources.
    """
    data, divided = _of_split(load, spec._replace(source=source))
    if data.images.ndim != 4 or data.images.dtype != np.uint8:
        raise DataError(
            f"data source {spec.source!r} needs pictures; {source!r} has points"
        )
    if data.sources is not None:
        raise DataError(
            f"data source {spec.source!r} makes input pictures, and {source!r} has some: name a source without"
        )
    return data, divided


def _of_split(load: Load, spec: DataSpec) -> tuple[Dataset, bool]:
    if spec.split not in ("train", "test"):
        return load(spec), True
    try:
        test = load(spec._replace(split="test"))
    except NoSplit:
        return load(spec._replace(split="train")), False
    return (test if spec.split == "test" else load(spec)), True


def tenths(count: int, spec: DataSpec) -> np.ndarray:
    """Return which of `count` examples are of the split: numbers 9, 19, ... test, the others train.

    Raises NoSplit, a DataError, where the split would be empty.
    """
    numbers = np.arange(count)
    rows = numbers[(numbers % 10 == 9) == (spec.split == "test")]
    if not len(rows):
        raise NoSplit(
            f"data source {spec.source!r} has {count} examples: every tenth is the split 'test', so it needs 10"
        )
    return rows


def take(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """x[rows]; x itself, which may be mapped from a file, where the rows are all in order."""
    return x if np.array_equal(rows, np.arange(len(x))) else x[rows]


def _number(text: str, data: Dataset, spec: DataSpec) -> int:
    """The label of this name, or of this number."""
    names = {name: i for i, name in enumerate(data.label_names)}
    if text not in names and text.isdecimal() and int(text) < len(names):
        return int(text)
    try:
        return lookup(f"label of data source {spec.source!r}", names, text, own=False)
    except UserError as error:
        raise DataError(f"{error} (or their numbers from 0)") from error


def _weighed(x: np.ndarray, axis: int, weights: tuple[int, ...]) -> np.ndarray:
    """The sum of three neighbours along an axis of [n, h, w], weighted."""
    return sum(w * y for w, y in zip(weights, _neighbours(x, axis), strict=True) if w)


def _peak(x: np.ndarray, axis: int) -> np.ndarray:
    """Whether a value is above the one before and not below the one after: of two equal ones the first."""
    before, here, after = _neighbours(x, axis)
    return (here > before) & (here >= after)


def _neighbours(x: np.ndarray, axis: int) -> list[np.ndarray]:
    """The value before, the value, the value after, along an axis; beyond the end the last one again."""
    padded = np.pad(x, [(int(i == axis),) * 2 for i in range(x.ndim)], mode="edge")
    size = x.shape[axis]
    return [padded.take(range(k, k + size), axis) for k in range(3)]
