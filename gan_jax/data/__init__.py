"""Data: `load(DataSpec(source=...))` gives a Dataset, `indices` the order of its examples.

Plain names and "prefix:argument" of `SOURCES`, or a user's own "package.module:function" (spec -> Dataset).
"""

from gan_jax.data.order import indices
from gan_jax.data.sources import SOURCES, Source, available, load
from gan_jax.data.spec import DataError, Dataset, DataSpec

__all__ = [
    "SOURCES",
    "DataError",
    "DataSpec",
    "Dataset",
    "Source",
    "available",
    "indices",
    "load",
]
