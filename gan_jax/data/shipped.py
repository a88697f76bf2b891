"""Small real picture sets that travel inside the package: no download, the same on every machine.

Each is a lossless WebP mosaic (50 pictures a row) and a NumPy file of uint8 labels; `build_shipped.py` made them
and NOTICE names the authors and licences. The digest of the decoded pixels and labels is checked on each load.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gan_jax.data.pictures import resize_all
from gan_jax.data.spec import DataError, Dataset, DataSpec, check_split, in_memory

FOLDER = Path(__file__).parent / "shipped"
COLUMNS = 50


class Shipped(NamedTuple):
    """Side in pixels, channels, class names, and split -> digest (`spec.in_memory`) at the native size."""

    side: int
    channels: int
    label_names: tuple[str, ...]
    digests: dict[str, str]


def load(spec: DataSpec, argument: str) -> Dataset:
    """Return a shipped set as uint8 [N, side, side, C] with int32 labels [N].

    Another resolution than the native one is made by Pillow's BILINEAR after the centre crop.
    Raises DataError for a split that the set has not, or when its files are missing or damaged.
    """
    del argument
    row = SHIPPED[spec.source]
    check_split(spec, tuple(row.digests))
    native = read(spec.source, spec.split)
    images = resize_all(native.images, spec.crop, spec.resolution)
    if images is native.images:
        return native
    return in_memory(images, native.labels, native.label_names, native.name)


def read(name: str, split: str) -> Dataset:
    """Return the set at its native size, its digest compared with the record."""
    row = SHIPPED[name]
    try:
        labels = np.load(FOLDER / f"{name}_{split}.npy", allow_pickle=False)
        with Image.open(FOLDER / f"{name}_{split}.webp", formats=["WEBP"]) as mosaic:
            pixels = np.asarray(mosaic.convert("RGB"))[:, :, : row.channels]
        tiles = pixels.reshape(-1, row.side, COLUMNS, row.side, row.channels).swapaxes(
            1, 2
        )
        images = tiles.reshape(-1, row.side, row.side, row.channels)[: len(labels)]
        data = in_memory(images, labels, row.label_names, name)
        problem = (
            ""
            if data.digest == row.digests[split]
            else "its digest is not the recorded one"
        )
    except (OSError, ValueError) as error:
        problem = str(error)
    if problem:
        raise DataError(
            f"the shipped data {name}_{split} in {FOLDER} is missing or damaged ({problem}); restore it by "
            "`git checkout -- gan_jax/data/shipped`, or install the package again"
        )
    return data


_DIGITS = tuple(str(digit) for digit in range(10))

SHIPPED = {
    "fashion_mnist": Shipped(
        28,
        1,
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        {
            "train": "e95accab1e67849037f24b1cea1cca7efffba2ff25310514e9fa4c2faeabcf7b",
            "test": "e237974758465fa5c2266466b68254ca1d8691c1139e4e455be95f3816cce7de",
        },
    ),
    "mnist_5k": Shipped(
        28,
        1,
        _DIGITS,
        {"train": "5e4c004408c5d9ef2f89994f35efed724ee47271546ebe501c5e00745410afa0"},
    ),
    "emoji": Shipped(
        32,
        3,
        (
            "Smileys & Emotion",
            "People & Body",
            "Animals & Nature",
            "Food & Drink",
            "Travel & Places",
            "Activities",
            "Objects",
            "Symbols",
            "Flags",
        ),
        {"train": "f891190c1bb3b025563a84140dc5c13e108ec1069c6ebd3e4dfe2162f2d22140"},
    ),
    "digits": Shipped(
        8,
        1,
        _DIGITS,
        {"train": "720934a6160fc9fc552d64c4094825e8279c33e3b5cf852a35ab7e04baa64fb4"},
    ),
}
