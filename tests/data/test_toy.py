import numpy as np
import pytest

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
    first, second = load(DataSpec(source="ring")), load(DataSpec(source="ring"))
    assert first.digest == second.digest != load(DataSpec(source="grid")).digest
    with pytest.raises(ValueError, match="read-only"):
        first.images[0] = 0


def test_points_have_no_resolution_and_no_test_split():
    with pytest.raises(DataError, match="has points, not pictures.*data.resolution=0"):
        load(DataSpec(source="ring", resolution=64))
    with pytest.raises(DataError, match="no split 'test'; choices: train"):
        load(DataSpec(source="grid", split="test"))
