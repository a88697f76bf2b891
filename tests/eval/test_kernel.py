import json
from pathlib import Path

import numpy as np
import pytest

from gan_jax.eval import kernel
from gan_jax.eval.kernel import kid, mmd2
from gan_jax.types import UserError
from tests.golden import make_metrics

GOLDEN = json.loads(Path(make_metrics.__file__).with_name("metrics.json").read_text())
SETS = make_metrics.sets()


def normal(n: int, d: int, seed: int = 0, shift: float = 0) -> np.ndarray:
    return np.random.RandomState(seed).normal(shift, 1, (n, d))


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, pair by pair."""

    def mean(a, b, same):
        d = a.shape[1]
        pairs = [
            (sum(p * q for p, q in zip(u, v, strict=True)) / d + 1) ** 3
            for i, u in enumerate(a.tolist())
            for j, v in enumerate(b.tolist())
            if not same or i != j
        ]
        return sum(pairs) / len(pairs)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("name", SETS)
def test_golden(name):
    """torch-fidelity's subsets in their order; measured 5e-15 relative."""
    got = kid(
        *SETS[name],
        subsets=make_metrics.SUBSETS,
        subset_size=make_metrics.SIZE,
        seed=make_metrics.SEED,
    )
    assert got == pytest.approx(
        GOLDEN["sets"][name]["kid"]["torch_fidelity"], rel=1e-12
    )


def test_mmd2_is_clean_fids_over_all_rows():
    """Measured 0."""
    want = GOLDEN["sets"]["tall"]["kid"]["clean_fid"]
    assert mmd2(*SETS["tall"]) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("block", [4096, 5, 1])
def test_by_hand_with_unequal_sets_and_any_blocks(block, monkeypatch):
    monkeypatch.setattr(kernel, "_BLOCK", block)
    x, y = normal(17, 3), normal(11, 3, 1, 0.5)
    assert mmd2(x, y) == pytest.approx(by_hand(x, y), rel=1e-12)
    assert mmd2(x, y) == pytest.approx(mmd2(y, x), rel=1e-12)


def test_invariant_to_turns():
    turn = np.linalg.qr(normal(6, 6, 3))[0]
    x, y = normal(40, 6), normal(30, 6, 1, 0.4)
    assert mmd2(x @ turn, y @ turn) == pytest.approx(mmd2(x, y), rel=1e-12)


def test_unbiased_on_one_law():
    """300 pairs of independent sets: mean 0 within 4 standard errors, and of both signs."""
    x = normal(300 * 40, 5).reshape(300, 2, 20, 5)
    values = np.array([mmd2(a, b) for a, b in x])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(300)
    assert 0.2 < (values < 0).mean() < 0.8


def test_mean_of_another_law():
    """D = 1, N(0, 1) and N(1, 1): with k(x, y) = 1 + 3xy + 3x^2y^2 + x^3y^3, 3(0-1)^2 + 3(1-2)^2 + (0-4)^2 = 22."""
    x = normal(400 * 60, 1).reshape(400, 2, 30, 1)
    values = np.array([mmd2(a + 1, b) for a, b in x])
    assert abs(values.mean() - 22) < 4 * values.std() / np.sqrt(400)


def test_size_is_cut_to_the_smaller_set():
    x, y = normal(30, 4), normal(20, 4, 1)
    assert kid(x, y, 5, 1000) == kid(x, y, 5, 20)
    mean, std = kid(x[:20], y, 5)
    assert mean == pytest.approx(mmd2(x[:20], y), rel=1e-12)
    assert std == pytest.approx(0, abs=1e-14)


def test_constant_features_and_float32():
    assert mmd2(np.zeros((5, 2)), np.zeros((4, 2))) == 0
    assert mmd2(np.full((5, 2), 2.0), np.zeros((4, 2))) == pytest.approx(5**3 - 1)
    x, y = normal(30, 4).astype(np.float32), normal(20, 4, 1).astype(np.float32)
    assert kid(x, y) == kid(x.astype(np.float64), y.astype(np.float64))


def test_refusals():
    good = normal(9, 3)
    broken = good.copy()
    broken[4, 1] = np.inf
    for measure in (mmd2, kid):
        with pytest.raises(UserError, match="1 of 9 rows of real are not finite"):
            measure(good, broken)
        with pytest.raises(UserError, match="fake has 1 rows"):
            measure(good[:1], good)
        with pytest.raises(UserError, match="3 features and real 2"):
            measure(good, good[:, :2])
    with pytest.raises(UserError, match="subsets is 0"):
        kid(good, good, subsets=0)
    with pytest.raises(UserError, match="subset_size is 1"):
        kid(good, good, subset_size=1)
