"""Metrics of pictures made of pictures: beside their own true ones, or between two domains.

Each takes a `gan_jax.eval.judge.Comparison` of translations, whose sources and images it needs in their order.
"""

from typing import Any

import numpy as np

from gan_jax import images
from gan_jax.data.spec import Dataset
from gan_jax.eval import paired
from gan_jax.eval.ssim import ssim
from gan_jax.types import UserError

SAID = {"l1": "mean |x - y|", "psnr": "mean PSNR in dB", "ssim": "mean SSIM"}
_OF = {"l1": paired.l1, "psnr": paired.psnr, "ssim": ssim}


def two_domains(dataset: Dataset) -> bool:
    """Whether the examples are pictures of two domains without pairs."""
    return dataset.sources is not None and not dataset.paired


def naive(sources: np.ndarray, shape: tuple[int, ...]) -> tuple[str, np.ndarray]:
    """The answer of who does not learn, pictures [n, *shape] of sources, and its name.

    "copy": the source itself; "bicubic": the source by `images.enlarged` where its size is another one. Its grey is
    repeated in colour, its colour becomes luminance.
    """
    even = images.with_channels(sources, shape[2])
    if even.shape[1:] == shape:
        return "copy", even
    return "bicubic", images.enlarged(even, *shape[:2])


def of_pairs(name: str, sets: Any, features: str) -> Any:
    """l1, psnr or ssim of translations and their true pictures; the protocol has that of `naive` ones."""
    del features
    sources, real = _own(name, sets)
    kept, place = sets.judge.baselines, (name, sets.rows.tobytes())
    if place not in kept:
        answer, made = naive(sources, real.shape[1:])
        kept[place] = {"baseline": answer, "baseline_value": _OF[name](made, real)}
    said = {"cap": paired.CAP} if name == "psnr" else {}
    return {name: _OF[name](sets.fake, real)}, said | kept[place]


def target(sets: Any, features: str) -> Any:
    """The share of translations that a classifier of both domains takes for the images'."""
    del features
    _own("target", sets)
    classifier, accuracy = sets.judge.told_apart
    share = classifier.accuracy(sets.fake, np.ones(len(sets.fake), int))
    return {"target": share}, {"accuracy": accuracy}


def cycle(sets: Any, features: str) -> Any:
    """mean |x - y| of sources and themselves, translated there and back."""
    del features
    sources, _ = _own("cycle", sets)
    return {"cycle": paired.l1(sets.back(sets.fake), sources)}, {}


def _own(name: str, sets: Any) -> tuple[np.ndarray, np.ndarray]:
    """The translations' sources and images. Raises UserError where nothing says which these are."""
    if sets.rows is None:
        raise UserError(
            f"metric {name!r} compares each translation with its own pictures: measure a run, by --workdir"
        )
    return sets.own()
