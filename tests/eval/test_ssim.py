from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from gan_jax.eval import ssim
from gan_jax.eval.ssim import diversity, ms_ssim
from gan_jax.types import UserError

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "ssim_prd.npz")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def spoilt(x, std):
    return np.clip(x + np.random.default_rng(1).normal(0, std, x.shape), 0, 255)


def smooth(n, side, channels=1, seed=0):
    """Sums of two waves, so that neighbours look alike as in pictures."""
    place = np.arange(side) / side
    numbers = np.random.default_rng(seed).uniform(-9, 9, (3, n, 1, 1, channels))
    rows, columns, phase = numbers
    waves = np.sin(rows * place[:, None, None] + columns * place[:, None] + phase)
    return 127.5 + 100 * waves


def similarity(x, y):
    """Contrast and luminance times contrast of one channel [H, W], window by window."""
    size = min(11, *x.shape)
    at = np.arange(size) - (size - 1) / 2
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * (1.5 * size / 11) ** 2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast, both = [], []
    for i in range(x.shape[0] - size + 1):
        for j in range(x.shape[1] - size + 1):
            p, q = (z[i : i + size, j : j + size] for z in (x, y))
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            contrast.append((2 * cov + c2) / (vp + vq + c2))
            both.append(contrast[-1] * (2 * mp * mq + c1) / (mp**2 + mq**2 + c1))
    return np.mean(contrast), np.mean(both)


def halve(x):
    """2x2 means, the last row or column of an odd side taken twice."""
    places = [np.minimum(np.arange(n + n % 2), n - 1) for n in x.shape]
    x = x[np.ix_(*places)]
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def by_hand(a, b):
    """MS-SSIM of two pictures [H, W, C] by loops."""
    values = []
    for x, y in zip(np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0), strict=True):
        factors = []
        for _ in range(5):
            factors.append(similarity(x, y))
            x, y = halve(x), halve(y)
        clipped = np.maximum([c for c, _ in factors[:4]] + [factors[4][1]], 0)
        values.append(np.prod(clipped ** [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]))
    return np.mean(values)


@pytest.mark.parametrize("i", range(len(GOLDEN["ms_ssim"])))
def test_golden(i):
    a, b = (GOLDEN[x][i : i + 1].repeat(4, 1).repeat(4, 2) for x in "ab")
    assert ms_ssim(a, b) == pytest.approx(GOLDEN["ms_ssim"][i], abs=1e-12)


@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (13, 17, 2), (28, 28, 1), (32, 21, 3), (1, 5, 1), (2, 2, 1)]
)
def test_by_hand(shape):
    """Small pictures, odd sides, sides that differ: the filter shrinks to 1 pixel."""
    a = noise(*shape).astype(float)
    b = spoilt(a, 30)
    expected = by_hand(a, b)
    assert 0 < expected < 1
    assert ms_ssim(a[None], b[None]) == pytest.approx(expected, abs=1e-10)


def test_mean_over_pairs(monkeypatch):
    a, b = smooth(7, 16, 3), smooth(7, 16, 3, seed=1)
    single = [ms_ssim(a[i : i + 1], b[i : i + 1]) for i in range(7)]
    assert np.ptp(single) > 0.05
    assert ms_ssim(a, b) == pytest.approx(np.mean(single), rel=1e-12)
    monkeypatch.setattr(ssim, "_CHUNK", 3)
    assert ms_ssim(a, b) == pytest.approx(np.mean(single), rel=1e-12)
    assert ms_ssim(b, a) == pytest.approx(ms_ssim(a, b), rel=1e-12)


@pytest.mark.parametrize("side", [8, 28, 32])
def test_equal_pictures(side):
    x = noise(4, side, side, 3)
    assert ms_ssim(x, x) == 1
    assert ms_ssim(np.zeros_like(x), np.zeros_like(x)) == 1


def test_only_the_luminance_differs():
    """Constant pictures have no contrast: luminance term of the last scale alone, to its weight."""
    a, b, c1 = 200, 50, (0.01 * 255) ** 2
    expected = ((2 * a * b + c1) / (a**2 + b**2 + c1)) ** 0.1333
    one = np.ones((1, 20, 20, 1))
    assert ms_ssim(a * one, b * one) == pytest.approx(expected, rel=1e-9)


def test_negative_contrast_is_clipped():
    x = smooth(1, 28)
    assert ms_ssim(x, 255 - x) == 0


def test_more_noise_is_less_similar():
    x = smooth(8, 28)
    values = [ms_ssim(x, spoilt(x, std)) for std in (0, 5, 15, 40, 100)]
    assert values[0] == 1 and values[-1] > 0
    assert all(
        high - low > 0.002 for high, low in zip(values, values[1:], strict=False)
    )


def test_types():
    a, b = noise(3, 28, 28, 1), noise(3, 28, 28, 1, seed=1)
    value = ms_ssim(a, b)
    assert isinstance(value, float)
    assert ms_ssim(a.astype(np.float32), b.astype(np.float64)) == value


def test_diversity_is_the_mean_of_all_pairs(monkeypatch):
    x = smooth(9, 20)
    pairs = [ms_ssim(x[i : i + 1], x[j : j + 1]) for i, j in combinations(range(9), 2)]
    assert np.ptp(pairs) > 0.1
    assert diversity(x) == pytest.approx(np.mean(pairs), rel=1e-12)
    monkeypatch.setattr(ssim, "_CHUNK", 4)
    assert diversity(x) == pytest.approx(np.mean(pairs), rel=1e-12)


def test_diversity_of_draws():
    """Draws of 3 of 9 pictures: their mean tends to that of all pairs, and each is another one."""
    x = smooth(9, 20)
    draws = np.array([diversity(x, 1, 3, seed) for seed in range(150)])
    error = draws.std() / np.sqrt(len(draws))
    assert error > 0 and abs(draws.mean() - diversity(x)) < 4 * error
    whole = diversity(x, 150, 3)
    assert abs(whole - diversity(x)) < 4 * error and whole == diversity(x, 150, 3)


def test_diversity_of_collapse():
    """Equal pictures give 1; h copies of one and h of another as many 1s as there are equal pairs."""
    x = smooth(2, 28, 3)
    assert diversity(x[:1].repeat(70, axis=0)) == pytest.approx(1, rel=1e-12)
    between, h = ms_ssim(x[:1], x[1:]), 5
    expected = (2 * h * (h - 1) / 2 + h**2 * between) / (h * (2 * h - 1))
    assert 0.4 < expected < 0.95
    assert diversity(x.repeat(h, axis=0)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "a, b, message",
    [
        (noise(2, 8, 8, 1), noise(3, 8, 8, 1), "they must be equal"),
        (noise(2, 8, 8, 1), noise(2, 8, 8, 3), "they must be equal"),
        (noise(2, 8, 8), noise(2, 8, 8), "height, width, channels"),
        (noise(2, 0, 8, 1), noise(2, 0, 8, 1), "height, width, channels"),
        (noise(0, 8, 8, 1), noise(0, 8, 8, 1), "a has 0 pictures"),
        (noise(2, 8, 8, 1), np.full((2, 8, 8, 1), np.nan), "b has values from nan"),
        (np.full((2, 8, 8, 1), -0.5), noise(2, 8, 8, 1), "from -0.5 to -0.5"),
        (noise(2, 8, 8, 1), np.full((2, 8, 8, 1), 256), "from 256 to 256"),
        (noise(2, 8, 8, 1).astype(str), noise(2, 8, 8, 1), "must be numbers"),
    ],
)
def test_refusals(a, b, message):
    with pytest.raises(UserError, match=message):
        ms_ssim(a, b)


@pytest.mark.parametrize(
    "count, batches, batch, message",
    [(1, 5, 64, "at least 2"), (4, 0, 64, "batches is 0"), (4, 5, 1, "batch 1")],
)
def test_refusals_of_diversity(count, batches, batch, message):
    with pytest.raises(UserError, match=message):
        diversity(noise(count, 8, 8, 1), batches, batch)
