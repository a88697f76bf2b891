"""The real side of a comparison: features and moments of a data set, computed once and kept in a file.

The file says what it holds (data, split, network, resize, n, ddof); one that says anything else than what is asked
for is refused, not used: the same generator's FID is 66 or 5 by the wrong reference.
"""

import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gan_jax.data.cache import root
from gan_jax.data.npz import every
from gan_jax.data.spec import Dataset
from gan_jax.eval.features import Extractor, extract, in_blocks
from gan_jax.eval.frechet import Gaussian, covariance, gaussian, gaussian_of
from gan_jax.files import write_atomic
from gan_jax.types import UserError

_FORMAT = 1
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class Reference(NamedTuple):
    """features float32 [N, D]; moments: their mean and covariance (ddof 1) as `frechet` takes them; facts: what
    they are of.
    """

    features: np.ndarray
    moments: Gaussian
    facts: dict[str, Any]


def facts_of(dataset: Dataset, split: str, extractor: Extractor) -> dict[str, Any]:
    """What a reference file must say of itself to be used."""
    return {
        "format": _FORMAT,
        "source": dataset.name,
        "data": dataset.digest,
        "split": split,
        "n": len(dataset.images),
        "features": extractor.name,
        "network": extractor.network,
        "resize": extractor.resize,
        "ddof": 1,
    }


def place(facts: dict[str, Any], cache: str = "") -> Path:
    """Where the reference of these facts is kept."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    return root(cache) / f"reference-{digest.hexdigest()[:16]}.npz"


def reference(
    dataset: Dataset,
    split: str,
    extractor: Extractor,
    cache: str = "",
    tick: Callable[[int], object] = id,
) -> Reference:
    """The reference of all pictures of a data set, from the cache where it is there.

    tick(n) is called after n more pictures. Raises UserError for a file that holds other statistics than its name
    says, or if the folder cannot be written; a file that cannot be read is made again.
    """
    facts = facts_of(dataset, split, extractor)
    path = place(facts, cache)
    found = _read(path, facts) if extractor.keep else None
    if found is not None:
        tick(len(dataset.images))
        return found
    features = extract(extractor, in_blocks(dataset.images), tick).features
    if not extractor.keep:
        return Reference(features, gaussian(features), facts)
    mean, cov = covariance(features)
    try:
        write_atomic(path, _pack(features, mean, cov, facts))
    except OSError as error:
        raise UserError(
            f"cannot write the reference statistics to {path}: {error}; choose another folder with $GAN_JAX_CACHE"
        ) from error
    return Reference(features, _moments(features, mean, cov), facts)


def _moments(features: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> Gaussian:
    """Of few rows the features themselves say more than their covariance: it is rank-deficient."""
    n, d = features.shape
    return gaussian(features) if n <= d else gaussian_of(mean, cov, n)


def _seal(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _pack(
    features: np.ndarray, mean: np.ndarray, cov: np.ndarray, facts: dict[str, Any]
) -> bytes:
    arrays = {"features": features, "mu": mean, "sigma": cov}
    said = json.dumps({**facts, "sha256": _seal(arrays, facts)})
    buffer = io.BytesIO()
    np.savez(buffer, facts=said, **arrays)
    return buffer.getvalue()


def _read(path: Path, facts: dict[str, Any]) -> Reference | None:
    """The file's reference; None, with a warning, if it is damaged. Raises UserError if it is of something else."""
    if not path.is_file():
        return None
    try:
        file = every(path)
        said = json.loads(str(file["facts"]))
        arrays = {name: file[name] for name in ("features", "mu", "sigma")}
        seal = said.pop("sha256", "")
        if said == facts and seal != _seal(arrays, facts):
            raise ValueError("its sha256 is another one")
    except _DAMAGED as error:
        print(f"WARNING: {path} is damaged ({error}): made anew", file=sys.stderr)
        return None
    differs = [
        f"{name} is {said.get(name)!r} there and {facts.get(name)!r} here"
        for name in sorted({*facts, *said})
        if said.get(name) != facts.get(name)
    ]
    if differs:
        raise UserError(
            f"the reference statistics in {path} are of something else: {'; '.join(differs)}; remove that file"
        )
    return Reference(
        arrays["features"],
        _moments(arrays["features"], arrays["mu"], arrays["sigma"]),
        facts,
    )
