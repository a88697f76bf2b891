import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.datasets import make_swiss_roll

from gan_jax.data import DataError, DataSpec, load, toy


@pytest.mark.parametrize("name, modes", [("ring", 8), ("grid", 25)])
def test_moments_and_counts(name, modes):
    data = load(DataSpec(source=name))
    centres, std = toy.centres(name), toy.STD[name]
    assert data.images.shape == (100_000, 2) and data.images.dtype == np.float32
    assert centres.shape == (modes, 2) and centres.dtype == np.float64
    assert (np.bincount(data.labels) == 100_000 // modes).all() and len(
        data.label_names
    ) == modes
    for mode in range(modes):
        points = data.images[data.labels == mode].astype(np.float64)
        error = std / np.sqrt(len(points))
        assert np.abs(points.mean(0) - centres[mode]).max() < 5 * error
        np.testing.assert_allclose(points.std(0), std, rtol=0.06)
        assert abs(np.corrcoef(points.T)[0, 1]) < 5 / np.sqrt(len(points))


def test_centres_by_hand():
    ring, grid = toy.centres("ring"), toy.centres("grid")
    np.testing.assert_allclose(np.hypot(*ring.T), 1)
    np.testing.assert_allclose(
        ring[:3], [[1, 0], [0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-12
    )
    assert {tuple(c) for c in grid} == {
        (x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)
    }
    assert toy.STD == {"ring": 0.01, "grid": 0.05}


def test_always_the_same_and_read_only():
    names = ("ring", "grid", "swiss_roll")
    digests = [load(DataSpec(source=name)).digest for name in names]
    first = load(DataSpec(source="ring"))
    assert [load(DataSpec(source=name)).digest for name in names] == digests
    assert len(set(digests)) == 3
    with pytest.raises(ValueError, match="read-only"):
        first.images[0] = 0


def test_swiss_roll_is_scikit_learns():
    """Moments of (t cos t, t sin t) for t uniform in 1.5 pi..4.5 pi by quadrature, and of scikit-learn's own roll."""
    points = load(DataSpec(source="swiss_roll")).images.astype(np.float64) * 7.5
    assert points.shape == (100_000, 2)
    t = np.pi * (1.5 + 3 * (np.arange(1_000_000) + 0.5) / 1_000_000)
    exact = np.stack([t * np.cos(t), t * np.sin(t)])
    error = exact.std(1) / np.sqrt(len(points))
    assert (np.abs(points.mean(0) - exact.mean(1)) < 5 * error).all()
    np.testing.assert_allclose(
        np.cov(points.T), np.cov(exact) + 0.25**2 * np.eye(2), atol=1.0
    )
    theirs, _ = make_swiss_roll(100_000, noise=0.25, random_state=0)
    for ours, other in zip(points.T, theirs[:, [0, 2]].T, strict=True):
        # Kolmogorov-Smirnov: 1e-7 of equal distributions are this far apart
        assert ks_2samp(ours, other).pvalue > 1e-7
    # the distance to the spiral's own radius is the noise: neither sharp nor wide
    radius = np.hypot(*points.T)
    turns = np.round((radius - np.arctan2(points[:, 1], points[:, 0])) / (2 * np.pi))
    off = radius - np.arctan2(points[:, 1], points[:, 0]) - 2 * np.pi * turns
    np.testing.assert_allclose(off.std(), 0.25, rtol=0.05)


def test_points_have_no_resolution_and_no_test_split():
    for source in ("ring", "swiss_roll"):
        with pytest.raises(DataError, match="points, not pictures.*data.resolution=0"):
            load(DataSpec(source=source, resolution=64))
    with pytest.raises(DataError, match="no split 'test'; choices: train"):
        load(DataSpec(source="grid", split="test"))
