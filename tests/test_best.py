"""Which evaluation is the best, from eval.jsonl alone."""

import pytest

from gan_jax.best import TRAINING, Best, best_of, best_step
from gan_jax.record import Record
from gan_jax.types import UserError


def write(folder, rows):
    record = Record(folder)
    for step, metric, value, by in rows:
        row = {"step": step, "metric": metric, "value": value, "by": by}
        record.append("eval.jsonl", row | {"protocol": {}})
    record.close()


def series(metric, *values, by=TRAINING):
    return [(10 * (i + 1), metric, value, by) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("metric", "step", "value"), [("fd_classifier", 20, 3.0), ("recall_raw", 30, 0.9)]
)
def test_each_value_improves_its_own_way(metric, step, value, tmp_path):
    write(tmp_path, series("fd_classifier", 9.0, 3.0, 4.0, 5.0))
    write(tmp_path, series("recall_raw", 0.1, 0.2, 0.9, 0.3))
    since = 2 if step == 20 else 1
    assert best_of(tmp_path, metric) == Best(metric, step, value, since)
    assert best_step(tmp_path, metric) == step


def test_the_first_value_written_counts_if_none_is_named(tmp_path):
    write(tmp_path, series("modes", 1, 8, 7) + series("high_quality", 1.0, 0.0, 0.0))
    assert best_of(tmp_path).metric == "modes"


def test_of_equals_the_earliest(tmp_path):
    write(tmp_path, series("modes", 5, 8, 8, 8))
    assert best_of(tmp_path) == Best("modes", 20, 8, 2)


def test_what_was_measured_afterwards_or_is_not_finite_does_not_count(tmp_path):
    write(tmp_path, series("kid", 0.5, 0.4, float("nan")))
    write(tmp_path, series("kid", 0.0, 0.0, by="eval"))
    assert best_of(tmp_path) == Best("kid", 20, 0.4, 0)


def test_none_yet(tmp_path):
    assert best_of(tmp_path) is None
    write(tmp_path, series("kid", 0.5, by="eval"))
    assert best_of(tmp_path) is None
    with pytest.raises(UserError, match=r"--config\.eval\.every"):
        best_step(tmp_path)


def test_a_member_whose_best_is_not_kept_says_so(tmp_path):
    write(tmp_path, series("modes", 1, 8, 7))
    assert best_step(tmp_path, "", [20, 30]) == 20
    with pytest.raises(
        UserError, match=r"step 20, the best .* \(30, 40\); train it alone"
    ):
        best_step(tmp_path, "", [30, 40])
