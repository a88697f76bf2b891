"""Folders of files in MNIST's format (idx): MNIST, Fashion-MNIST, KMNIST, EMNIST's and their like.

A file is a big-endian header (0, 0, type, number of dimensions, then 4 bytes for each dimension) and the bytes.
"""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from gan_jax.data.arrays import (
    MAX_RATIO,
    Arrays,
    check_labels,
    check_size,
    load_arrays,
)
from gan_jax.data.spec import (
    DataError,
    Dataset,
    DataSpec,
    NoSplit,
    check_split,
    untrusted,
)

_PREFIX = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTE = 8
_HELP = """{folder} has no file {prefix}-images-idx3-ubyte (also looked for {prefix}-images.idx3-ubyte, and each with .gz).
Put MNIST-format files there, or name the folder that has them. On Debian and Ubuntu, for example,
  apt-get install dataset-fashion-mnist
and --config.data.source=idx:/usr/share/datasets/fashion-mnist, if that is where the package puts them"""


def load(spec: DataSpec, argument: str) -> Dataset:
    """Return uint8 [N, side, side, 1] of DIR's train or test (t10k) files; labels int32 [N], None without a label file.

    Raises DataError if the files are missing, damaged, of another type, or differ in number.
    """
    check_split(spec, tuple(_PREFIX))
    folder = Path(argument).expanduser().absolute()
    prefix = _PREFIX[spec.split]
    images = _find(folder, f"{prefix}-images", 3)
    labels = _find(folder, f"{prefix}-labels", 1)
    if images is None:
        raise NoSplit(_HELP.format(folder=folder, prefix=prefix))

    def read() -> Arrays:
        pixels = read_idx(images, 3)[..., None]
        if labels is None:
            return Arrays(pixels, None, ())
        numbers = read_idx(labels, 1)
        return Arrays(pixels, *check_labels(str(labels), numbers, len(pixels), ()))

    files = [path for path in (images, labels) if path is not None]
    return load_arrays(spec, f"idx {folder}", files, read)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an idx file, packed by gzip if its name ends in .gz.

    Raises DataError unless the file is exactly as long as its header says.
    """
    packed = path.suffix == ".gz"
    length = 4 + 4 * dimensions
    with (
        untrusted(f"{path} cannot be read"),
        gzip.open(path) if packed else open(path, "rb") as file,
    ):
        head = file.read(length)
        magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
        if len(head) < length or head[:4] != magic:
            raise DataError(
                f"{path} is not an idx file of unsigned bytes in {dimensions} dimensions: "
                f"it begins with {head[:4].hex()}, not {magic.hex()}"
            )
        shape = struct.unpack(f">{dimensions}I", head[4:])
        size = math.prod(shape)
        most = path.stat().st_size * (MAX_RATIO if packed else 1)
        check_size(str(path), size, most)
        content = file.read(size)
        rest = file.read(1)
    if len(content) != size or rest:
        raise DataError(
            f"{path} is {'longer' if rest else 'shorter'} than its header says ({list(shape)}); it is damaged"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _find(folder: Path, stem: str, dimensions: int) -> Path | None:
    names = [f"{stem}{mark}idx{dimensions}-ubyte" for mark in "-."]
    paths = [folder / f"{name}{end}" for name in names for end in ("", ".gz")]
    return next((path for path in paths if path.is_file()), None)
