"""Points: the ring and the grid of the mode-collapse literature, the Swiss roll of WGAN-GP, data of games with closed forms.

Sources: ring of 8 Gaussians, Metz et al. 2017 (Unrolled GANs) with radius 1 and std 0.01 as in VEEGAN and
PacGAN; grid of 25 Gaussians, Dumoulin et al. 2017 and PacGAN (-4..4 in steps of 2, std 0.05). Swiss roll:
Gulrajani et al. 2017 (arXiv:1704.00028), whose toy code takes two axes of scikit-learn's `make_swiss_roll`.
"""

import numpy as np

from gan_jax.data.spec import DataError, Dataset, DataSpec, check_split, in_memory

N_POINTS = 100_000
SEED = 2020


def centres(name: str) -> np.ndarray:
    """Return the modes' centres, float64 [K, 2], of "ring" (K = 8) or "grid" (K = 25)."""
    return CENTRES[name].copy()


def load(spec: DataSpec, argument: str) -> Dataset:
    """Return 100,000 points float32 [N, 2], equally many a mode, always the same; labels are the modes.

    Raises DataError for another split than train, or when a resolution or a crop is asked of points.
    """
    del argument
    _check(spec)
    middle = CENTRES[spec.source]
    mode = np.arange(N_POINTS, dtype=np.int32) % len(middle)
    noise = np.random.Generator(np.random.Philox(SEED)).standard_normal((N_POINTS, 2))
    points = (middle[mode] + STD[spec.source] * noise).astype(np.float32)
    names = tuple(f"mode {k}" for k in range(len(middle)))
    return in_memory(points, mode, names, spec.source)


def load_swiss_roll(spec: DataSpec, argument: str) -> Dataset:
    """Return 100,000 points float32 [N, 2] of the Swiss roll, always the same, without labels.

    (t cos t, t sin t) + 0.25 normal, all divided by 7.5, with t = 1.5 pi (1 + 2 u) and u uniform in 0..1.
    Raises DataError as `load`.
    """
    del argument
    _check(spec)
    random = np.random.Generator(np.random.Philox(SEED))
    t = 1.5 * np.pi * (1 + 2 * random.random(N_POINTS))
    spiral = np.stack([t * np.cos(t), t * np.sin(t)], axis=1)
    points = (spiral + 0.25 * random.standard_normal((N_POINTS, 2))) / 7.5
    return in_memory(points.astype(np.float32), None, (), spec.source)


def dirac(spec: DataSpec) -> Dataset:
    """Return 1,000 points of the line, all of them 0: Dirac-GAN's data (Mescheder et al. 2018, arXiv:1801.04406)."""
    _check(spec)
    return in_memory(np.zeros((1000, 1), np.float32), None, (), spec.source)


def gaussian(spec: DataSpec) -> Dataset:
    """Return 100,000 points of the plane, float32 [N, 2], from N(GAUSSIAN_MEAN, F F^T), F = GAUSSIAN_FACTOR."""
    _check(spec)
    noise = np.random.Generator(np.random.Philox(SEED)).standard_normal((N_POINTS, 2))
    points = GAUSSIAN_MEAN + noise @ GAUSSIAN_FACTOR.T
    return in_memory(points.astype(np.float32), None, (), spec.source)


def _check(spec: DataSpec) -> None:
    check_split(spec, ("train",))
    if spec.resolution or spec.crop:
        raise DataError(
            f"data source {spec.source!r} has points, not pictures: "
            "set --config.data.resolution=0 and --config.data.crop=0"
        )


def _ring(modes: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(modes) / modes
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _grid(ticks: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)


CENTRES = {"ring": _ring(8), "grid": _grid(np.arange(-4.0, 5.0, 2.0))}
STD = {"ring": 0.01, "grid": 0.05}
GAUSSIAN_MEAN = np.array([1.0, -0.5])
GAUSSIAN_FACTOR = np.array([[1.2, 0.0], [0.4, 0.6]])
