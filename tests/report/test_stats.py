"""Numbers over seeds, against closed forms."""

import numpy as np
import pytest

from gan_jax.report.gather import Run
from gan_jax.report.stats import (
    curve,
    estimate,
    half_width,
    heat,
    number_fields,
    places,
)


def run_of(config, values, status="done"):
    return Run("a", None, config, {"git": ""}, {}, [], [], {}, status, 1, values)


def test_students_interval():
    assert half_width([3.0]) is None
    # n = 2: t is the Cauchy quantile tan(0.475 pi), std / sqrt(2) is half the difference
    assert half_width([1.0, 4.0]) == pytest.approx(1.5 * np.tan(0.475 * np.pi))
    # 2.776445 from a printed table, std sqrt(2.5)
    assert half_width([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(
        2.776445 * 0.5**0.5, 1e-6
    )


def test_a_curve_is_over_the_runs_that_have_a_step():
    found = curve([{1: 1.0, 2: 4.0, 3: 1.0}, {1: 3.0, 2: None}, {1: 5.0, 2: 6.0}])
    assert found.steps.tolist() == [1, 2], "one run of three is not drawn"
    assert found.mean.tolist() == [3, 5] and found.n == 3
    assert found.low.tolist() == [1, 4] and found.high.tolist() == [5, 6]
    assert curve([{1: None}, {}]) is None


def test_a_long_curve_keeps_its_extremes():
    values = np.random.default_rng(0).normal(size=10_000)
    values[777], values[5_003] = 50.0, -50.0
    found = curve([dict(enumerate(values.tolist()))], most=100)
    assert len(found.steps) <= 102
    assert {0, 777, 5_003, 9_999} <= set(found.steps.tolist())
    assert np.array_equal(found.mean, values[found.steps])


def test_a_mean_is_at_the_last_step_of_most_seeds():
    found = estimate([{10: 1.0, 20: 2.0}, {10: 3.0, 20: 4.0}, {10: 2.0, 30: 9.0}])
    assert (found.step, found.n, found.mean) == (10, 3, 2.0)
    found = estimate([{10: 1.0, 20: 5.0}, {10: 3.0, 20: None}])
    assert found == (5.0, None, 1, 2, 20), "what was not finite is counted as missing"
    assert estimate([{10: None}]) == (None, None, 0, 1, 10)
    assert estimate([]) is None


def test_cells_leave_out_what_diverged_and_count_the_rest():
    grid = [
        run_of({"a": a, "b": b, "seed": s}, {"x": a + b + s}, status)
        for a, b, s, status in [
            (0, 1, 0, "done"),
            (0, 1, 2, "done"),
            (0, 1, 9, "diverged"),
            (1, 2, 0, "diverged"),
        ]
    ]
    found = heat(grid, "a", "b", "x")
    assert found["0", "1"] == (2.0, 2, 3) and found["1", "2"] == (None, 0, 1)
    share = heat(grid, "a", "b", "share that diverged")
    assert share["0", "1"].mean == pytest.approx(1 / 3) and share["1", "2"].mean == 1


def test_axes_are_fields_of_several_numbers():
    runs = [
        run_of({"lr": x, "loss": n, "one": 1, "seed": x, "flag": bool(x)}, {})
        for x, n in [(0, "a"), (1, "b")]
    ]
    assert number_fields(runs, ["lr", "loss", "one", "seed", "flag"]) == ["lr"]


def test_values_of_a_random_search_fall_into_intervals():
    assert places([10.0, 0, 2]) == {0: "0", 2: "2", 10.0: "10"}
    found = places((10 ** np.linspace(-5, -1, 33)).tolist())
    names = list(dict.fromkeys(found.values()))
    assert names[0] == "1e-05 to 3.2e-05" and names[-1] == "0.032 to 0.1"
    assert [list(found.values()).count(name) for name in names] == [4] * 7 + [5]
    found = places(range(17))
    assert found[1] == "0 to 2" and found[2] == found[3] == "2 to 4"
    assert found[16] == "14 to 16"
