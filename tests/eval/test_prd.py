from pathlib import Path

import numpy as np
import pytest

from gan_jax.eval.prd import prd, prd_histograms, prd_of_features
from gan_jax.types import UserError

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "ssim_prd.npz")
CENTRES = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0]])


def blobs(*counts, seed=0):
    """Points within a few units of the corners of a square of side 100."""
    centres = CENTRES[: len(counts)].repeat(counts, axis=0)
    return centres + np.random.default_rng(seed).normal(size=centres.shape)


def greatest(recall_at_1, beta):
    """Greatest F_beta of a fake on the share c of even modes: precision min(s c, 1), recall min(c, 1 / s)."""
    s = np.geomspace(1e-4, 1e4, 1_000_001)
    p, r = np.minimum(s * recall_at_1, 1), np.minimum(recall_at_1, 1 / s)
    return ((1 + beta**2) * p * r / (beta**2 * p + r)).max()


@pytest.mark.parametrize("i", range(len(GOLDEN["prd"])))
def test_golden(i):
    got = prd(GOLDEN["fake"][i], GOLDEN["real"][i])
    assert got == pytest.approx(tuple(GOLDEN["prd"][i]), abs=1e-12)


def test_equal_histograms():
    counts = np.array([3, 0, 5, 1])
    assert prd(counts, counts) == pytest.approx((1, 1), abs=1e-9)
    assert prd(counts, counts / counts.sum()) == pytest.approx((1, 1), abs=1e-9)
    assert max(prd(counts, counts)) <= 1


def test_disjoint_histograms():
    assert prd(np.array([1, 2, 0, 0]), np.array([0, 0, 5, 1])) == (0, 0)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_share_of_the_modes(share):
    """A fake evenly on half of the modes: precision 1 at recall 1/2, so that F8 is near 1/2 and F1/8 near 1.

    The 1001 angles may miss the best one: a step of pi / 2000 at the slope s changes it by (1 + s^2) / s of that.
    """
    fake, real = np.repeat([1, 0], [20 * share, 20 - 20 * share]), np.ones(20)
    recall, precision = prd(fake, real)
    for got, beta in ((recall, 8), (precision, 1 / 8)):
        best = greatest(share, beta)
        corner = (1 + beta**2) * share / (beta**2 + share)  # p = 1, r = share
        assert best == pytest.approx(corner, rel=1e-5)
        assert best * (1 - np.pi / 2000 * (share + 1 / share)) < got <= best + 1e-12
    assert abs(recall - share) < 0.02 and precision > 0.85


def test_exchange():
    """Exact but for the epsilon, which weighs 64 times as much on one side."""
    for fake, real in zip(GOLDEN["fake"], GOLDEN["real"], strict=True):
        assert prd(real, fake) == pytest.approx(prd(fake, real)[::-1], abs=2e-9)
    recall, precision = prd(np.array([1, 0]), np.array([1, 1]))
    assert recall < 0.6 < 0.9 < precision


def test_counts_and_empty_clusters():
    fake, real = GOLDEN["fake"][0], GOLDEN["real"][0]
    expected = prd(fake, real)
    assert prd(fake / 7, 1000 * real) == pytest.approx(expected, rel=1e-12)
    order = np.random.default_rng(0).permutation(len(fake))
    assert prd(fake[order], real[order]) == pytest.approx(expected, rel=1e-12)
    padded = prd(np.append(fake, 0), np.append(real, 0))
    assert padded == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "fake, real, message",
    [
        ([1, 2], [1, 2, 3], "2 clusters and real_hist 3"),
        ([1, -1, 3], [1, 2, 3], "fake_hist has the sum 3.0"),
        ([1, 2], [0, 0], "real_hist has the sum 0.0"),
        ([1, np.nan], [1, 2], "sum nan"),
        ([1, np.inf], [1, 2], "sum inf"),
        ([[1, 2]], [1, 2], "must be numbers .clusters"),
        ([], [], "sum 0.0"),
    ],
)
def test_refused_histograms(fake, real, message):
    with pytest.raises(UserError, match=message):
        prd(np.array(fake), np.array(real))


@pytest.mark.parametrize("shift", [0, 1e11])
def test_clusters_find_blobs(shift):
    """In ten dimensions, far from the origin too, where squares of coordinates say nothing of distances."""
    fake = np.tile(blobs(40, 60, 0, 0), 5) + shift
    real = np.tile(blobs(25, 25, 25, 25, seed=1), 5) + shift
    histograms = prd_histograms(fake, real, clusters=4)
    got = sorted(zip(*(h.tolist() for h in histograms), strict=True))
    assert got == [(0, 0.25), (0, 0.25), (0.4, 0.25), (0.6, 0.25)]
    expected = prd(np.array([40, 60, 0, 0]), np.full(4, 25))
    assert prd_of_features(fake, real, 4, 3) == pytest.approx(expected, rel=1e-12)


def test_the_larger_set_is_cut():
    """Of 900 points 90 are drawn, of each blob about its share: hypergeometric, std below 4.5."""
    many, few = blobs(300, 600), blobs(90, 0)
    of_many, of_few = prd_histograms(many, few, clusters=2)
    first = int(of_few.argmax())
    assert of_few[first] == 1 and of_many.sum() == pytest.approx(1)
    drawn = 90 * of_many[first]
    assert drawn == pytest.approx(round(drawn)) and abs(drawn - 30) < 18
    other = prd_histograms(few, many, clusters=2)
    assert other[0].max() == 1 and 90 * other[1].min() == pytest.approx(30, abs=18)
    shares = [prd_histograms(many, few, 2, seed)[0].max() for seed in range(5)]
    assert len(set(shares)) > 1


def test_no_point_is_drawn_twice():
    points = np.arange(11.0)[:, None]
    fake, _ = prd_histograms(points, points[:10])
    assert sorted(fake) == [0] * 10 + [0.1] * 10


def test_fewer_points_than_clusters():
    """Constant features, and three different points: no warning, and the shares of the points."""
    point = np.full((7, 3), 0.1)
    fake, real = prd_histograms(point, point)
    assert sorted(fake) == sorted(real) == [0] * 19 + [1]
    assert prd_of_features(point, point) == pytest.approx((1, 1), abs=1e-9)
    assert prd_of_features(point, point + 1) == (0, 0)
    fake, real = CENTRES[[0, 0, 0, 1]], CENTRES[[0, 1, 2, 2]]
    got = prd_of_features(fake, real, 20, 2)
    assert got == pytest.approx(prd(np.array([3, 1, 0]), np.array([1, 1, 2])))


def test_clusters_that_run_empty():
    """Points nearer than the rounding of their squares: centres coincide and one takes all, without a warning."""
    rng = np.random.default_rng(0)
    ones = np.ones((8, 6))
    near = np.concatenate([ones, -ones]) + 1e-10 * rng.normal(size=(16, 6))
    fake, real = prd_histograms(near, near[::-1], 12)
    assert fake.tolist() == real.tolist() and fake.sum() == pytest.approx(1)
    assert (fake > 0).sum() < 12


def test_features_two_sided():
    """Two draws of one law score high; a set on half of the modes loses recall only, and the reverse precision only."""
    real, same = blobs(100, 100, 100, 100), blobs(100, 100, 100, 100, seed=1)
    assert min(prd_of_features(same, real)) > 0.9
    half = blobs(200, 200, seed=2)
    recall, precision = prd_of_features(half, real)
    assert 0.4 < recall < 0.55 and precision > 0.85
    recall, precision = prd_of_features(real, half)
    assert 0.4 < precision < 0.55 and recall > 0.85


def test_runs_and_seeds():
    fake, real = np.random.default_rng(0).normal(size=(2, 200, 3))
    one = prd_of_features(fake, real, runs=1)
    assert one == prd(*prd_histograms(fake, real))
    assert one == prd_of_features(fake, real, runs=1)
    assert one != prd_of_features(fake, real, runs=1, seed=1)
    assert one != prd_of_features(fake, real, runs=2)
    assert all(isinstance(x, float) for x in one)


@pytest.mark.parametrize(
    "fake, clusters, runs, message",
    [
        (CENTRES, 0, 10, "clusters is 0"),
        (CENTRES, 4, 0, "runs is 0"),
        (CENTRES[:1], 4, 10, "at least 2"),
        (CENTRES[:, :1], 4, 10, "1 features and real 2"),
        (np.full((4, 2), np.inf), 4, 10, "not finite"),
    ],
)
def test_refused_features(fake, clusters, runs, message):
    with pytest.raises(UserError, match=message):
        prd_of_features(fake, CENTRES, clusters, runs)
