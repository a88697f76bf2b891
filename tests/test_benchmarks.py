"""The arithmetic of the benchmarks' harness; no speed is looked at."""

import json

import numpy as np
import pytest

from benchmarks import plot, timing
from benchmarks.timing import Plan, Row, Way


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when a way says so."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def way(clock, log, name, took, units=1):
    """A way whose n-th call takes took(n) seconds."""

    def call():
        clock[0] += took(sum(x == name for x in log))
        log.append(name)

    return Way(call, units)


def test_ways_take_turns_whose_first_call_is_not_timed(clock):
    log = []
    ways = {
        "a": way(clock, log, "a", lambda n: 1.0 if n % 2 else 9.0),  # cold, warm
        "b": way(clock, log, "b", lambda n: 3.0, units=2),
    }
    times = timing.interleaved(ways, Plan(rounds=3, quick=True))
    assert log == ["a", "a", "b", "b", *"aabbaabbaabb"]
    assert times == {"a": [1000.0] * 3, "b": [1500.0] * 3}  # ms a unit


def test_a_quick_way_is_called_until_the_round_is_long_enough(clock):
    log = []
    ways = {"a": way(clock, log, "a", lambda n: 0.0625)}
    times = timing.interleaved(ways, Plan(rounds=2))
    assert len(log) == 2 + 2 * (2 + 4)  # 0.2 s a round, and the calls before
    assert times == {"a": [62.5, 62.5]}


def test_a_slow_way_is_not_timed_for_ever(clock):
    log = []
    ways = {
        "slow": way(clock, log, "slow", lambda n: 40.0),
        "fast": way(clock, log, "fast", lambda n: 1.0),
    }
    times = timing.interleaved(ways, Plan(rounds=5))
    assert [len(x) for x in times.values()] == [1, 5]
    assert log.count("slow") == 2 + 2 + 2  # at the start, warming, timed
    assert timing.ratio(times["slow"], times["fast"]) == 40.0


def test_the_wait_is_within_the_time(clock):
    def wait(told):
        clock[0] += told

    assert timing.seconds(Way(lambda: 2.0, wait=wait), calls=3) == 2.0


def test_ratios_are_medians_of_rounds_and_not_ratios_of_medians():
    base, values = [10.0, 40.0, 20.0], [5.0, 10.0, 20.0]
    assert timing.ratio(base, values) == 2.0  # of 2, 4, 1
    rows = timing.rows_of("g", "c", {"x": values, "y": base}, "y", batch=7)
    assert [(r.way, r.base, r.ratio, r.batch) for r in rows] == [
        ("x", "y", 2.0, 7),
        ("y", "y", 1.0, 7),
    ]
    (first, _) = timing.rows_of("g", "c", {"x": values, "y": base}, "absent")
    assert first.base == "x"


def test_a_rate_is_told_of_the_median():
    row = Row("g", "c", "w", [1.0, 2.0, 500.0], "w", 1.0)
    assert timing.told_rate(row, 64, "pictures/s").note == "32000 pictures/s"


@pytest.mark.parametrize(
    "x, text",
    [(1234.5, "1234"), (99.94, "99.9"), (5.678, "5.68"), (0.01234, "0.0123")],
)
def test_numbers_have_about_three_digits(x, text):
    assert timing.short(x) == text


ROWS = [
    Row("step", "dcgan64", "PyTorch, eager", [4.0, 2.0, 3.0], "PyTorch, eager", 1.0),
    Row("step", "dcgan64", "gan_jax", [1.5], "PyTorch, eager", 2.0, "ms", 64, "", "n"),
    Row("memory", "ring", "gan_jax", [9.0], "gan_jax", 1.0, "MiB"),
]


def test_a_table_has_no_empty_columns():
    assert timing.table(ROWS[:2]).splitlines() == [
        "| case | batch | way | median (min - max) | times base | note |",
        "| --- | --- | --- | --- | --- | --- |",
        "| dcgan64 |  | PyTorch, eager | 3.00 (2.00 - 4.00) ms | 1.00 |  |",
        "| dcgan64 | 64 | gan_jax | 1.50 ms | 2.00 | n |",
    ]
    assert "batch" not in timing.table(ROWS[2:]) and timing.table([]) == ""


def test_results_come_back_from_their_file(tmp_path):
    path, about = tmp_path / "r.json", {"machine": {"cores": 2}, "date": "2020-01-01"}
    timing.write(path, ROWS, about)
    assert timing.read(path) == (ROWS, about)
    body = json.loads(path.read_text())
    assert body["rows"][0]["ms"] == [4.0, 2.0, 3.0] and body["rows"][2]["MiB"] == [9.0]


def test_the_chart_shows_every_ratio_of_its_group(tmp_path):
    path = tmp_path / "r.json"
    timing.write(path, ROWS, {"machine": {"cpu": "x", "cores": 2, "device": "cpu"}})
    text = plot.chart(*timing.read(path), ["step"])
    assert text == plot.chart(*timing.read(path), ["step"])  # the same bytes
    assert "2.00" in text and "dcgan64" in text and "ring" not in text
    with pytest.raises(SystemExit, match="no rows"):
        plot.chart(*timing.read(path), ["absent"])


def test_facts_name_the_machine():
    about = timing.facts()
    assert set(about) == {"machine", "versions", "date"}
    assert about["machine"]["cores"] >= 1 and about["versions"]["jax"]
    assert np.all([isinstance(x, str) for x in about["versions"].values()])
