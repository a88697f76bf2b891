"""Stacked digits: three digits as the red, green and blue of one picture, 1,000 known modes.

Source: Metz et al. 2017 (Unrolled GANs, arXiv:1611.02163), where the digits are drawn at random; here every
mode occurs equally often, so that the data are the uniform distribution that the KL is taken to.
"""

import numpy as np

from gan_jax.data.pictures import resize_all
from gan_jax.data.shipped import read
from gan_jax.data.spec import Dataset, DataSpec, check_split, in_memory

SEED = 2020
_PER_MODE = 60
NATIVE = {"stacked_mnist": "mnist_5k", "stacked_digits": "digits"}


def load(spec: DataSpec, argument: str) -> Dataset:
    """Return 60,000 triples uint8 [N, side, side, 3], each mode 60 times, always the same, in mixed order.

    Labels are int32 100 r + 10 g + b, names "000".."999". Each digit is cropped and resized before it is stacked.
    Raises DataError for another split than train.
    """
    del argument
    check_split(spec, ("train",))
    native = read(NATIVE[spec.source], "train")
    digits = resize_all(native.images, spec.crop, spec.resolution)
    random = np.random.Generator(np.random.Philox(SEED))
    # only `random()`: its stream is the one that NumPy keeps
    order = np.argsort(random.random(1000 * _PER_MODE), kind="stable")
    labels = (order % 1000).astype(np.int32)
    triples = np.stack([labels // 100, labels // 10 % 10, labels % 10], axis=1)
    by_class = np.argsort(native.labels, kind="stable")
    counts = np.bincount(native.labels, minlength=10)
    begins = np.cumsum(counts) - counts
    nth = (random.random(triples.shape) * counts[triples]).astype(np.int64)
    chosen = by_class[begins[triples] + nth]
    images = np.empty((len(labels), *digits.shape[1:3], 3), np.uint8)
    for channel in range(3):
        images[..., channel] = digits[chosen[:, channel], :, :, 0]
    names = tuple(f"{mode:03d}" for mode in range(1000))
    return in_memory(images, labels, names, spec.source)
