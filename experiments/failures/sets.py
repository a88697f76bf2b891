"""Picture sets of the benchmark, each with a test split that no run trains on; sources for `data.source`.

`--config.data.source=experiments.failures.sets:few_clothes`
"""

import numpy as np

from gan_jax.data import shipped
from gan_jax.data.spec import Dataset, DataSpec, check_split, in_memory

FEW = 64
HELD_OUT = 1_000  # of mnist_5k, which comes without a test split
SEED = 2020


def clothes(spec: DataSpec) -> Dataset:
    """The shipped Fashion-MNIST: 10,000 pictures, 2,000 to test."""
    check_split(spec, ("train", "test"))
    return shipped.read("fashion_mnist", spec.split)


def digits(spec: DataSpec) -> Dataset:
    """mnist_5k in two: 4,000 digits to train on, 1,000 to test."""
    check_split(spec, ("train", "test"))
    whole = shipped.read("mnist_5k", "train")
    order = np.random.Generator(np.random.Philox(SEED)).permutation(len(whole.images))
    rows = order[HELD_OUT:] if spec.split == "train" else order[:HELD_OUT]
    return chosen(whole, np.sort(rows))


def few_clothes(spec: DataSpec) -> Dataset:
    """64 pictures of clothes to train on; the test split is whole."""
    return few(clothes(spec), spec)


def few_digits(spec: DataSpec) -> Dataset:
    """64 digits to train on; the test split is whole."""
    return few(digits(spec), spec)


def few(whole: Dataset, spec: DataSpec) -> Dataset:
    """The training split cut to FEW pictures, drawn once."""
    if spec.split != "train":
        return whole
    random = np.random.Generator(np.random.Philox(SEED))
    return chosen(whole, random.permutation(len(whole.images))[:FEW])


def chosen(whole: Dataset, rows: np.ndarray) -> Dataset:
    """Some rows of a set, under its name."""
    return in_memory(
        whole.images[rows], whole.labels[rows], whole.label_names, whole.name
    )


WHOLE = {"fashion_mnist": clothes, "mnist_5k": digits}  # by Dataset.name
