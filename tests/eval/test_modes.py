import math

import numpy as np
import pytest

from gan_jax.data import DataSpec, load, toy
from gan_jax.eval.modes import mode_coverage, stacked_floor, stacked_modes
from gan_jax.types import UserError

CORNERS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])


def test_by_hand():
    """Three samples at the first mode, one at the second, two too far away, of which one at the third."""
    samples = [[0, 0], [0.1, 0], [0, -0.2], [10, 0.25], [0, 10.3], [5, 5]]
    got = mode_coverage(np.array(samples), CORNERS, 0.1)
    assert got["modes"] == 2 and isinstance(got["modes"], int)
    assert got["high_quality"] == pytest.approx(4 / 6)
    assert got["reverse_kl"] == pytest.approx(0.75 * math.log(3) + 0.25 * math.log(1))


def test_three_std_is_strict():
    at = mode_coverage(np.array([[3.0, 0.0]]), CORNERS, 1)
    assert at["high_quality"] == 0 and at["modes"] == 0
    inside = mode_coverage(np.array([[np.nextafter(3, 0), 0.0]]), CORNERS, 1)
    assert inside["high_quality"] == 1 and inside["modes"] == 1


def test_extremes():
    assert mode_coverage(CORNERS, CORNERS, 0.1) == {
        "modes": 4,
        "high_quality": 1.0,
        "reverse_kl": 0.0,
    }
    one = mode_coverage(CORNERS[:1].repeat(9, axis=0), CORNERS, 0.1)
    assert one["modes"] == 1 and one["reverse_kl"] == pytest.approx(math.log(4))
    none = mode_coverage(CORNERS + 1, CORNERS, 0.1)
    assert none == {"modes": 0, "high_quality": 0.0, "reverse_kl": math.inf}


def test_reverse_kl_is_the_divergence_of_the_histogram():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 50, 4)
    got = mode_coverage(CORNERS.repeat(counts, axis=0), CORNERS, 1)["reverse_kl"]
    p = counts / counts.sum()
    assert got == pytest.approx(np.sum(p * np.log(p / 0.25)))


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_the_data_itself(name):
    """Real points: all modes; P(r < 3 std) of a plane Gaussian is 1 - exp(-4.5); the counts are equal but for those."""
    points = load(DataSpec(source=name)).images
    got = mode_coverage(points, toy.centres(name), toy.STD[name])
    assert got["modes"] == len(toy.centres(name))
    share = 1 - math.exp(-4.5)
    error = math.sqrt(share * (1 - share) / len(points))
    assert abs(got["high_quality"] - share) < 4 * error
    assert got["reverse_kl"] < 1e-4


@pytest.mark.parametrize(
    "samples, centres, std, message",
    [
        (
            np.zeros((3, 2)) / np.ones(1) + np.nan,
            CORNERS,
            1,
            "3 of 3 samples are not fin",
        ),
        (np.array([[0, np.inf], [0, 0]]), CORNERS, 1, "1 of 2 samples are not finite"),
        (np.zeros(3), CORNERS, 1, r"samples have the shape \[3\]"),
        (np.zeros((0, 2)), CORNERS, 1, r"samples have the shape \[0, 2\]"),
        (np.zeros((3, 3)), CORNERS, 1, "samples have 3 coordinates and centres 2"),
        (np.zeros((3, 2)), CORNERS[0], 1, r"centres have the shape \[2\]"),
        (np.zeros((3, 2)), CORNERS, 0, "std is 0; it must be a positive"),
        (np.zeros((3, 2)), CORNERS, float("nan"), "std is nan"),
    ],
)
def test_refusals(samples, centres, std, message):
    with pytest.raises(UserError, match=message):
        mode_coverage(samples, centres, std)


def test_stacked_by_hand():
    digits = np.array([[0, 0, 0], [0, 0, 0], [9, 9, 9], [1, 2, 3]], np.int32)
    got = stacked_modes(digits)
    assert got["modes"] == 3 and isinstance(got["modes"], int)
    assert got["kl"] == pytest.approx(0.5 * math.log(500) + 0.5 * math.log(250))
    assert stacked_modes(digits[:1].astype(np.uint8))["kl"] == pytest.approx(
        math.log(1000)
    )
    labels = load(DataSpec(source="stacked_digits")).labels
    every = np.stack([labels // 100, labels // 10 % 10, labels % 10], axis=1)
    assert stacked_modes(every) == {"modes": 1000, "kl": 0.0}
    # the order of the channels matters
    assert stacked_modes(np.array([[1, 2, 3], [3, 2, 1]]))["modes"] == 2


@pytest.mark.parametrize(
    "digits, message",
    [
        (np.zeros((3, 2), int), r"the shape \[3, 2\]; it must be \[N, 3\]"),
        (np.zeros((0, 3), int), r"the shape \[0, 3\]"),
        (np.zeros((3, 3)), "they are float64"),
        (np.full((3, 3), np.nan), "they are float64, nan"),
        (np.full((3, 3), 10), "they are int64, 10 to 10"),
        (np.full((3, 3), -1), "-1 to -1"),
    ],
)
def test_stacked_refusals(digits, message):
    with pytest.raises(UserError, match=message):
        stacked_modes(digits)


@pytest.mark.parametrize("n, times", [(1, 5), (50, 400), (2_000, 200), (26_000, 60)])
def test_floor_is_the_mean_of_perfect_samples(n, times):
    rng = np.random.default_rng(n)
    kls = [stacked_modes(rng.integers(0, 10, (n, 3)))["kl"] for _ in range(times)]
    error = np.std(kls) / math.sqrt(times) + 1e-9
    assert abs(np.mean(kls) - stacked_floor(n)) < 4 * error


def test_floor_in_the_limits():
    assert stacked_floor(1) == pytest.approx(math.log(1000))
    # the next term of the series in 1/n is K^2 / (12 n^2)
    for n in (26_000, 1_000_000):
        assert stacked_floor(n) == pytest.approx(
            999 / (2 * n) + 1e6 / (12 * n**2), rel=3e-3
        )
    with pytest.raises(UserError, match="n is 0; it must be at least 1"):
        stacked_floor(0)
