"""The benchmark of failures: its kinds can be trained, its labels follow from numbers, its arithmetic is right."""

import math

import numpy as np
import pytest

from experiments.failures import kinds, label, measure, score, sets, table
from experiments.failures.score import Case, Share
from gan_jax.data import DataSpec
from gan_jax.plan import structure

FAILING = {  # summary of a run whose one fault is this -> finding
    "divergence": {"reach": 50.0},
    "mode_collapse": {"spread": 0.1},
    "partial_mode_collapse": {"spread": 0.5},
    "memorisation": {"copies": 0.2},
    "discriminator_overfit": {"overfit": 0.9},
    "discriminator_wins": {"error": 0.9, "auc": 0.999},
    "vanishing_generator_gradient": {"error": 0.9, "auc": 0.999, "push": 0.01},
    "generator_wins": {"error": 0.9, "auc": 0.5},
    "first_layer_dead": {"still": 0.0},
    "first_layer_exploding": {"error": 0.9, "first_gen": 20.0},
}
SOUND = {
    "finite": True,
    "error": 0.05,
    "hist": [0.25] * 4,
    "spread": 0.98,
    "still": 1.0,
    "reach": 1.0,
    "auc": 0.7,
    "overfit": 0.5,
    "push": 0.5,
    "disc_std": 0.3,
    "first_gen": 1.0,
    "first_disc": 1.0,
}


def truth(*changes, n=12):
    """Rows of a sound run, changed from its middle on, the changes in turn."""
    rows = [{"step": 100 * i, **SOUND} for i in range(n + 1)]
    for i in range(n // 2, n + 1):
        rows[i] |= changes[i % len(changes)]
    return rows


@pytest.mark.parametrize("name", kinds.KINDS)
def test_a_kind_can_be_trained(name):
    config = kinds.get_config(name)
    # rows for the doctor, and evaluations that fall on the last step
    assert 40 <= config.steps // config.log_every <= 500
    assert config.steps % config.sample_every == 0 and config.ema_decay == 0


def test_halves_are_alike_and_kinds_differ():
    for half in kinds.HALVES:
        mine = [kind for kind in kinds.KINDS.values() if kind.half == half]
        assert len(mine) >= 12
        assert {kind.family for kind in mine} == {"points", "pictures"}
    assert len(kinds.KINDS) >= 14
    configs = [str(kinds.get_config(name)) for name in kinds.KINDS]
    assert len(set(configs)) == len(configs)


def test_seeds_share_a_program():
    one, other = (kinds.get_config("ring_sgd") for _ in range(2))
    other.seed = 9
    assert structure(one) == structure(other)


def test_test_splits_are_never_trained_on():
    few, whole = sets.few_digits, sets.digits
    train, test, cut = (
        make(DataSpec(split=split))
        for make, split in ((whole, "train"), (whole, "test"), (few, "train"))
    )
    rows = [{x.tobytes() for x in data.images} for data in (train, test, cut)]
    assert rows[2] <= rows[0] and len(cut.images) == sets.FEW
    assert len(rows[0] & rows[1]) <= 5  # mnist_5k itself has a few twice
    assert few(DataSpec(split="test")).digest == test.digest


def test_a_sound_run_is_healthy():
    found = label.label("points", truth({}))
    assert found == label.Label("healthy", frozenset(), None)


@pytest.mark.parametrize("name, change", FAILING.items())
def test_each_fault_has_its_name(name, change):
    found = label.label("points", truth(change))
    assert found.verdict == "failing" and name in found.findings
    assert found.broken_at == 600  # the middle


def test_what_only_explains_breaks_no_run():
    for change in ({"auc": 0.999}, {"push": 0.0}, {"first_disc": 30.0}):
        assert label.label("points", truth(change)).verdict == "healthy"


def test_modes_that_come_and_go_are_oscillation():
    left, right = (
        {"hist": hist, "spread": 0.5} for hist in ([0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5])
    )
    assert label.label("points", truth(left, right)).findings == {
        "oscillation",
        "partial_mode_collapse",
    }
    # the same modes all the time
    assert label.label("points", truth(left)).findings == {"partial_mode_collapse"}


def test_a_halt_is_divergence():
    for rows in (truth({})[:6], truth({"spread": 0.1})[:1]):
        found = label.label("points", rows, halted_at=530)
        assert found == label.Label("failing", frozenset({"divergence"}), 531)


def test_a_run_between_the_limits_is_neither():
    middle = (label.GOOD["points"] + label.BAD["points"]) / 2
    assert label.label("points", truth({"error": middle})).verdict == "neither"


def test_bad_samples_without_a_fault_are_neither():
    assert label.label("points", truth({"error": 0.9})).verdict == "neither"
    assert label.label("points", truth({"error": 0.9, "auc": 0.5})).verdict == "failing"


def test_an_early_failure_that_heals_is_none():
    rows = truth({})
    for row in rows[2:6]:
        row["error"] = 1.0
    assert label.label("points", rows).verdict == "healthy"


def test_numbers_of_samples():
    assert measure.spread(np.full(8, 1 / 8)) == pytest.approx(1.0)
    assert measure.spread(np.eye(8)[0]) == pytest.approx(1 / 8)
    assert measure.auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert measure.auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert measure.auc(np.array([0.0, 3.0]), np.array([1.0, 2.0])) == 0.5
    one_mode = np.tile([[1.0, 0.0]], (100, 1)).astype(np.float32)
    found = measure.of_points("ring")(one_mode)
    assert found["error"] == 0 and found["spread"] == pytest.approx(1 / 8)
    assert label.hop([[1, 0], [0, 1], [0, 1]]) == 0.5


def case(verdict, names=(), broken_at=None, **said):
    return Case("k", "h", 0, verdict, frozenset(names), broken_at, said)


CASES = [
    case("healthy", healthy=1000),
    case("healthy", oscillation=300),
    case("neither", oscillation=300),
    case("failing", ["oscillation"], 500, oscillation=300, mode_collapse=100),
    case("failing", ["mode_collapse", "oscillation"], 400, mode_collapse=700),
    case("failing", ["divergence"], 400, oscillation=100),
    case("failing", ["divergence"], 200, healthy=1000),
]


def test_shares():
    assert score.found(CASES) == Share(2, 4)
    assert score.alarmed(CASES) == Share(1, 2)
    # Newcombe 1998, table I: 81 of 263
    assert np.allclose(Share(81, 263).interval(), (0.2553, 0.3662), atol=1e-4)
    assert Share(0, 0).interval() == (0.0, 1.0) and str(Share(0, 0)) == "none"
    low, high = Share(20, 20).interval()
    assert 0.8 < low < 0.9 and math.isclose(high, 1.0)


def test_the_doctor_is_timed_by_its_first_right_finding():
    assert score.leads(CASES) == [(300, 500), (700, 400)]
    assert score.median_lead(CASES) == (500, 450, 50)
    assert score.median_lead(CASES[:2]) is None


def test_the_matrix_counts_runs_by_what_they_are():
    found = score.matrix(CASES)
    assert found["healthy"]["runs"] == 2 and found["healthy"]["healthy"] == 1
    assert found["healthy"]["oscillation"] == 1
    assert found["oscillation"] == found["oscillation"] | {
        "runs": 2,
        "oscillation": 1,
        "mode_collapse": 2,
        "healthy": 0,
    }
    assert found["divergence"]["healthy"] == 1 and found["memorisation"]["runs"] == 0


def test_the_table_shows_every_finding_and_kind():
    assert tuple(table.SHORT) == score.FINDINGS
    text = table.report(CASES)
    assert "2 of 4 = 50.0%" in text and "| `k` | 2 | 4 | 1 | 2 | 1 |" in text
