import json
from pathlib import Path

import numpy as np
import pytest

from gan_jax.eval import neighbours
from gan_jax.eval.neighbours import density_coverage, memorisation, precision_recall
from gan_jax.types import UserError
from tests.golden import make_metrics

GOLDEN = json.loads(Path(make_metrics.__file__).with_name("metrics.json").read_text())
SETS = make_metrics.sets()


def normal(n: int, d: int, seed: int = 0, shift: float = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(shift, 1, (n, d))


def exact(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances by differences."""
    return ((a[:, None] - b) ** 2).sum(-1)


@pytest.mark.parametrize("chunk", [2**25, 300])
@pytest.mark.parametrize("name", SETS)
def test_golden(name, chunk, monkeypatch):
    """Shares of a power of 2 of rows, so equal; F1 in Python's and torch's order of rounding."""
    monkeypatch.setattr(neighbours, "_AT_ONCE", chunk)
    k, want = make_metrics.K[name], GOLDEN["sets"][name]["neighbours"]
    precision, recall, f1 = precision_recall(*SETS[name], k)
    assert [precision, recall] == want["torch_fidelity"][:2]
    assert f1 == pytest.approx(want["torch_fidelity"][2], rel=1e-14)
    density, coverage = density_coverage(*SETS[name], k)
    assert density == pytest.approx(want["prdc"]["density"], rel=1e-14)
    assert coverage == want["prdc"]["coverage"]


@pytest.mark.parametrize("k", [1, 3, 9])
@pytest.mark.parametrize("name", ["relu", "grid"])
def test_ties_by_exact_arithmetic(name, k):
    """Whole numbers, where many distances tie: moved by a third and scaled they give what exact arithmetic gives."""
    rng = np.random.RandomState(4)
    sets = {"relu": SETS["relu"], "grid": rng.randint(0, 5, (2, 90, 2)) * 1.0}
    fake, real = sets[name]
    real_ball = np.sort(exact(real, real))[:, k]
    fake_ball = np.sort(exact(fake, fake))[:, k]
    between = exact(fake, real)
    precision = (between <= real_ball).any(1).mean()
    recall = (between <= fake_ball[:, None]).any(0).mean()
    density = (between < real_ball).sum() / (k * len(fake))
    coverage = (between < real_ball).any(0).mean()
    for scale, shift in ((1, 0), (0.1, 1 / 3), (7.7, 1e3)):
        moved = fake * scale + shift, real * scale + shift
        assert precision_recall(*moved, k)[:2] == (precision, recall)
        assert density_coverage(*moved, k) == pytest.approx((density, coverage))


def test_precision_is_recall_the_other_way():
    for fake, real in SETS.values():
        precision, recall, f1 = precision_recall(fake, real)
        assert precision_recall(real, fake) == (recall, precision, f1)


def test_tight_cluster_and_wide_cloud():
    """A cluster within the data: precise, recalls nothing. A cloud far wider: the other way round."""
    real = normal(400, 4)
    tight, wide = 0.05 * normal(400, 4, 1), 8 * normal(400, 4, 2)
    precision, recall, f1 = precision_recall(tight, real)
    assert precision > 0.95 and recall < 0.1 and f1 < 0.2
    assert density_coverage(tight, real)[0] > 1
    assert density_coverage(tight, real)[1] < 0.2
    precision, recall, _ = precision_recall(wide, real)
    assert precision < 0.1 and recall > 0.9


def test_one_law():
    """Density is 1 on average; coverage is 1 - (M-1)...(M-k) / ((N+M-1)...(N+M-k)) (Naeem et al., section 3.3)."""
    pairs = normal(30 * 200, 3).reshape(30, 2, 100, 3)
    got = np.array([density_coverage(fake, real) for fake, real in pairs])
    drop = np.prod([(100 - i) / (200 - i) for i in range(1, 6)])
    error = got.std(axis=0) / np.sqrt(30)
    assert (abs(got.mean(axis=0) - [1, 1 - drop]) < 4 * error).all()
    both = np.array([precision_recall(fake, real) for fake, real in pairs])
    assert (both.mean(axis=0) > 0.8).all()


@pytest.mark.parametrize("shift", [0, 1e4])
def test_collapsed_fakes(shift):
    """One picture over and over: a ball of radius 0 recalls only its copies, whatever the rounding."""
    real = normal(60, 50, 0, shift)
    real[7] = real[3]
    fake = np.tile(real[3] + 1e-3, (40, 1))
    assert precision_recall(fake, real) == (1, 0, 0)
    copies = np.tile(real[3], (40, 1))
    precision, recall, _ = precision_recall(copies, real)
    assert precision == 1 and recall == 2 / 60
    both = precision_recall(copies, copies[:9])
    assert both == (1, 1, 1)
    assert density_coverage(copies, copies[:9]) == (0, 0)  # no ball has an inside


def test_far_apart():
    assert precision_recall(normal(9, 2), normal(9, 2, 1, 50)) == (0, 0, 0)
    assert density_coverage(normal(9, 2), normal(9, 2, 1, 50)) == (0, 0)


def test_memorisation_of_copies():
    """Copies of the train set, at distance 0 without rounding; the held-out pictures themselves; far from both."""
    train, held_out = normal(90, 7, 0, 100), normal(60, 7, 1, 100)
    got = memorisation(train[:50], train, held_out)
    assert got["fake_to_train"] == 0 and got["copying"] == 1
    got = memorisation(held_out, train, held_out)
    assert got["fake_to_train"] == got["held_out_to_train"] > 0.5
    assert got["copying"] == 0.5
    assert memorisation(normal(20, 7, 2, 200), train, held_out)["copying"] == 0


def test_memorisation_of_one_law():
    """Fakes that are new samples: as near as held-out ones, over 40 draws."""
    draws = normal(40 * 500, 4).reshape(40, 500, 4)
    shares = np.array(
        [memorisation(x[:50], x[50:400], x[400:])["copying"] for x in draws]
    )
    assert abs(shares.mean() - 0.5) < 4 * shares.std() / np.sqrt(40)
    assert shares.std() < 0.1


def test_memorisation_by_hand():
    """Fakes at 3 and 1 from train, held-out ones at 10 and 3: two nearer, one tie, one nearer."""
    fake = np.array([[3.0, 0.0], [100.0, 1.0]])
    train = np.array([[0.0, 0.0], [100.0, 0.0]])
    held_out = np.array([[6.0, 8.0], [100.0, 3.0]])
    assert memorisation(fake, train, held_out) == {
        "fake_to_train": 2.0,
        "held_out_to_train": 6.5,
        "copying": 0.875,
    }


def test_float32_is_taken():
    fake, real = (x.astype(np.float32) for x in SETS["relu"])
    assert precision_recall(fake, real) == precision_recall(*SETS["relu"])
    assert density_coverage(fake, real) == density_coverage(*SETS["relu"])
    assert memorisation(fake, real, fake)["copying"] == 0.5


def test_refusals():
    good = normal(9, 3)
    broken = good.copy()
    broken[4, 1] = np.nan
    for measure in (precision_recall, density_coverage):
        with pytest.raises(UserError, match="1 of 9 rows of fake are not finite"):
            measure(broken, good)
        with pytest.raises(UserError, match="real has 1 rows"):
            measure(good, good[:1])
        with pytest.raises(UserError, match="3 features and real 2"):
            measure(good, good[:, :2])
        with pytest.raises(UserError, match="k is 0"):
            measure(good, good, 0)
        with pytest.raises(UserError, match="k is 5 and real has 5 rows"):
            measure(good, good[:5], 5)
    with pytest.raises(UserError, match="k is 3 and fake has 3 rows"):
        precision_recall(good[:3], good, 3)
    with pytest.raises(UserError, match="1 of 9 rows of held_out"):
        memorisation(good, good, broken)
    with pytest.raises(UserError, match="3, 2 and 3 features"):
        memorisation(good, good[:, :2], good)
    with pytest.raises(UserError, match="fake has 1 rows"):
        memorisation(good[:1], good, good)
