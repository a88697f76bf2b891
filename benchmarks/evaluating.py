"""What evaluation takes: FID's features beside torch-fidelity's, the Frechet distance beside scipy's square root."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks import inception
from benchmarks.timing import Plan, Row, Way, interleaved, rows_of, told_rate
from gan_jax.eval import frechet as own
from tests.golden import make_inception as golden

Jobs = Iterator[Callable[[], list[Row]]]
SIZES = {"cpu": (32, 8), "gpu": (1024, 128)}  # pictures, torch-fidelity's batch
OTHER, OURS = "NumPy and scipy.linalg.sqrtm", "gan_jax"


def features(plan: Plan) -> Jobs:
    """FID's Inception from 32 px, time a picture: torch-fidelity's and ours."""
    yield partial(features_rows, plan)


def features_rows(plan: Plan) -> list[Row]:
    """The rows of `features`; pool features must agree to 2e-5 of the largest."""
    n, batch = (4, 4) if plan.quick else SIZES[plan.suite]
    with np.load(golden.FILE) as file:
        state = golden.state(json.loads(str(file["shapes"])))
    images = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8)
    runs = inception.ways(state, images, batch)
    pools = [np.asarray(run()) for run in runs.values()]
    if any(abs(x - pools[0]).max() > 2e-5 * abs(pools[0]).max() for x in pools):
        raise SystemExit("the ways' pool features differ")
    ways = {name: Way(run, n) for name, run in runs.items()}
    rows = rows_of("inception", "pool features", interleaved(ways, plan))
    return [told_rate(row, 1, "pictures/s") for row in rows]


def frechet(plan: Plan) -> Jobs:
    """The Frechet distance of 50,000 x 2048 features, from covariances and from features: scipy's sqrtm and ours."""
    yield partial(frechet_rows, plan)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance in float64, as FID's first code takes them."""
    x = x.astype(np.float64)
    return x.mean(0), np.cov(x, rowvar=False)


def by_sqrtm(a: Any, b: Any) -> float:
    """The distance of two (mean, covariance) as FID's first code has it."""
    root = np.trace(scipy.linalg.sqrtm(a[1] @ b[1]).real)
    return np.sum((a[0] - b[0]) ** 2) + np.trace(a[1]) + np.trace(b[1]) - 2 * root


def frechet_rows(plan: Plan) -> list[Row]:
    """The rows of `frechet`; the ways must agree to 1e-6."""
    n, d = (300, 64) if plan.quick else (50_000, 2048)
    rng, sets = np.random.default_rng(0), []
    for scale in np.float32([1.0, 1.2]):
        mix = rng.standard_normal((d, d), np.float32) / np.float32(np.sqrt(d))
        sets.append(scale * rng.standard_normal((n, d), np.float32) @ mix)
    stats = [moments(x) for x in sets]
    calls = {
        "covariances": {
            OTHER: lambda: by_sqrtm(*stats),
            OURS: lambda: own.frechet(*(own.gaussian_of(*x, n) for x in stats)),
        },
        "features": {
            OTHER: lambda: by_sqrtm(*map(moments, sets)),
            OURS: lambda: own.fid(*sets),
        },
    }
    found = []
    for case, pair in calls.items():
        first, second = (call() for call in pair.values())
        if abs(first - second) > 1e-6 * second:
            raise SystemExit(f"the distances differ: {first} and {second}")
        ways = {name: Way(call) for name, call in pair.items()}
        few = replace(plan, rounds=min(plan.rounds, 3))
        found += rows_of("frechet", f"{case}, {n} x {d}", interleaved(ways, few))
    return found
