"""Where examples come from: the table of sources, and the one function that loads any of them."""

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.data import (
    archives,
    cifar,
    idx,
    npz,
    pair_folders,
    pairs,
    shipped,
    stacked,
    tfds,
    toy,
)
from gan_jax.data.spec import DataError, Dataset, DataSpec
from gan_jax.types import lookup


class Source(NamedTuple):
    """A row of SOURCES.

    load(spec, argument) -> Dataset; the argument is what follows the colon, "" where there is none.
    argument: what to write after the colon ("DIR"), "" if nothing. available(argument): whether the data is
    on this machine, so that nothing would be downloaded.
    """

    load: Callable[[DataSpec, str], Dataset]
    help: str
    argument: str = ""
    available: Callable[[str], bool] = lambda argument: True


def load(spec: DataSpec) -> Dataset:
    """Return the examples that the spec names; a user's own "package.module:function" is called with the spec.

    Raises DataError (a ValueError) for an unknown source or split, missing or unreadable data, with what to do.
    """
    if spec.resolution < 0 or spec.crop < 0:
        raise DataError(
            f"data.resolution and data.crop are pixels, 0 or more, not {spec.resolution} and {spec.crop}"
        )
    row, argument = _find(spec.source)
    if isinstance(row, Source):
        return row.load(spec, argument)
    data = row(spec)
    if not isinstance(data, Dataset):
        raise DataError(
            f"data source {spec.source!r} must return a gan_jax.data.Dataset, not {type(data).__name__}"
        )
    if data.sources is not None and len(data.sources) != len(data.images):
        raise DataError(
            f"data source {spec.source!r} must return as many sources as images, "
            f"not {len(data.sources):,} and {len(data.images):,}"
        )
    return data


def available(source: str) -> bool:
    """Whether the source's data is on this machine, so that `load` downloads nothing. Raises as `load` for an unknown name."""
    row, argument = _find(source)
    return row.available(argument) if isinstance(row, Source) else True


def _find(source: str) -> tuple[Any, str]:
    """Return the row (or a user's function) and the argument after the colon."""
    name, colon, argument = source.partition(":")
    if name not in SOURCES:
        try:
            return lookup("data source", SOURCES, source), ""
        except (ValueError, TypeError):
            # "foldr:pictures" is a misspelt prefix sooner than a module of that name
            if colon and difflib.get_close_matches(name, SOURCES, n=1):
                return lookup("data source", SOURCES, name), ""
            raise
    row = SOURCES[name]
    if bool(argument) != bool(row.argument):
        shape = f"{name}:{row.argument}" if row.argument else name
        raise DataError(
            f"data source {source!r} is written --config.data.source={shape}"
        )
    return row, argument


def _is_dir(argument: str) -> bool:
    return Path(argument).expanduser().is_dir()


def _is_file(argument: str) -> bool:
    return Path(argument).expanduser().is_file()


SOURCES: dict[str, Source] = {
    "fashion_mnist": Source(
        shipped.load, "10,000 + 2,000 test clothes, 28 px grey, 10 classes; shipped"
    ),
    "mnist_5k": Source(shipped.load, "5,000 handwritten digits, 28 px grey; shipped"),
    "emoji": Source(
        shipped.load, "1,906 Noto emoji, 32 px colour, 9 classes, drawn; shipped"
    ),
    "digits": Source(shipped.load, "1,797 handwritten digits, 8 px grey; shipped"),
    "celeba": Source(
        archives.load_celeba,
        "202,599 faces, 178 x 218; your own img_align_celeba.zip or TFDS",
        available=archives.celeba_available,
    ),
    "folder": Source(
        archives.load_folder,
        "JPEG, PNG, WebP below a folder; sub-folders are labels",
        "DIR",
        _is_dir,
    ),
    "zip": Source(archives.load_zip, "the same, inside a zip file", "FILE", _is_file),
    "tfds": Source(
        tfds.load,
        "an image dataset of TensorFlow Datasets",
        "NAME",
        available=tfds.available,
    ),
    "idx": Source(
        idx.load,
        "MNIST-format files: train-images-idx3-ubyte(.gz), ...",
        "DIR",
        _is_dir,
    ),
    "npz": Source(
        npz.load,
        "images uint8 [N, H, W, C] or points float32 [N, D], labels if any",
        "FILE",
        _is_file,
    ),
    "cifar10": Source(
        cifar.load,
        "60,000 colour pictures, 32 px, 10 classes; your own cifar-10-python.tar.gz or its folder",
        "DIR",
        cifar.available,
    ),
    "stacked_mnist": Source(
        stacked.load, "60,000 triples of mnist_5k as RGB, 28 px, 1,000 modes"
    ),
    "stacked_digits": Source(
        stacked.load, "60,000 triples of digits as RGB, 8 px, 1,000 modes"
    ),
    "ring": Source(toy.load, "points of 8 modes on a circle of radius 1"),
    "grid": Source(toy.load, "points of 25 modes on a 5 x 5 grid"),
    "swiss_roll": Source(toy.load_swiss_roll, "points of a Swiss roll, no labels"),
    "edges": Source(
        partial(pairs.load_made, load, pairs.edges),
        "pairs: the edges of any source's pictures, dark on white, and the pictures",
        "SOURCE",
        available,
    ),
    "grey": Source(
        partial(pairs.load_made, load, pairs.grey),
        "pairs: any source's colour pictures without their colour, and as they are",
        "SOURCE",
        available,
    ),
    "small": Source(
        partial(pairs.load_made, load, pairs.small),
        "pairs: any source's pictures 4 times smaller, and as they are",
        "SOURCE",
        available,
    ),
    "domains": Source(
        partial(pairs.load_domains, load),
        "two domains: the pictures of labels A and B of any source",
        "SOURCE,A,B",
        lambda argument: available(argument.rsplit(",", 2)[0]),
    ),
    "paired": Source(
        pair_folders.load_paired,
        "your pairs: pictures of the same names in DIR/source and DIR/target, or side by side",
        "DIR",
        _is_dir,
    ),
    "unpaired": Source(
        pair_folders.load_unpaired,
        "two domains: the pictures of two folders",
        "DIR_A,DIR_B",
        pair_folders.unpaired_available,
    ),
}
