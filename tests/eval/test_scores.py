import json
import math
from pathlib import Path

import numpy as np
import pytest

from gan_jax.eval.scores import inception_score
from gan_jax.types import UserError
from tests.golden import make_metrics

GOLDEN = json.loads(Path(make_metrics.__file__).with_name("metrics.json").read_text())


@pytest.mark.parametrize("splits", make_metrics.SPLITS)
def test_golden(splits):
    """torch-fidelity without its shuffle, 103 rows in 10 splits; measured 2e-16."""
    got = inception_score(make_metrics.logits(), splits)
    assert got == pytest.approx(GOLDEN["inception"][str(splits)], rel=1e-12)


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_one_hot_and_uniform(classes):
    """C where each class is named equally often and surely (probabilities of exactly 0 and 1), 1 for no opinion."""
    sure = np.tile(1e4 * np.eye(classes), (20, 1))
    assert inception_score(sure) == pytest.approx((classes, 0), abs=1e-13)
    flat = np.full((40, classes), 3.0)
    assert inception_score(flat) == pytest.approx((1, 0), abs=1e-13)
    collapsed = np.tile(np.arange(classes, dtype=float), (40, 1))
    assert inception_score(collapsed) == pytest.approx((1, 0), abs=1e-13)


def test_closed_form():
    """Probabilities (a, 1-a) and (1-a, a): exp(log 2 - entropy)."""
    a = 0.9
    logits = np.log([[a, 1 - a], [1 - a, a]])
    entropy = -(a * math.log(a) + (1 - a) * math.log(1 - a))
    want = math.exp(math.log(2) - entropy)
    assert inception_score(logits, 1) == pytest.approx((want, 0), rel=1e-13)
    assert inception_score(logits + 700, 1) == pytest.approx((want, 0), rel=1e-11)


def test_splits_are_in_order():
    """Sorted classes: a split of one class scores 1, all rows in one split 2; 5 rows in 2 splits are 2 and 3."""
    logits = 1e4 * np.eye(2)[[0, 0, 1, 1]]
    assert inception_score(logits, 2) == pytest.approx((1, 0))
    assert inception_score(logits, 1) == pytest.approx((2, 0))
    scores = np.array([1, math.exp(math.log(3) - math.log(4) / 3)])
    got = inception_score(1e4 * np.eye(2)[[0, 0, 1, 1, 0]], 2)
    assert got == pytest.approx((scores.mean(), scores.std()))


def test_between_one_and_the_classes():
    for seed, scale in enumerate([0.01, 1, 10, 1000]):
        logits = scale * np.random.RandomState(seed).normal(size=(200, 6))
        mean, std = inception_score(logits)
        assert 1 - 1e-12 <= mean <= 6 and 0 <= std <= 3
    single = inception_score(logits.astype(np.float32))
    assert single == pytest.approx(inception_score(logits), rel=1e-3)


def test_refusals():
    logits = np.zeros((9, 3))
    with pytest.raises(UserError, match="9 rows of logits cannot be split in 10"):
        inception_score(logits)
    with pytest.raises(UserError, match="splits is 0"):
        inception_score(logits, 0)
    with pytest.raises(UserError, match="1 of 9 rows of logits are not finite"):
        inception_score(np.where(np.arange(27).reshape(9, 3) == 4, np.nan, 0))
    with pytest.raises(UserError, match="logits has 1 rows"):
        inception_score(logits[:1], 1)
    assert inception_score(logits, 9) == pytest.approx((1, 0))
