"""Successive halving: who stops, that the others do not notice, and that it survives a kill."""

import csv
import json
import signal

import numpy as np
import pytest

import gan_jax
from gan_jax.best import TRAINING
from gan_jax.cli import main
from gan_jax.halving import rungs, survivors
from tests.test_sweep import RING, everything, left, rows_of
from tests.test_train import finish

OPTIMISED = True  # this is about equal bits of different programs
# evaluations at 20, 40, 60; of four members two train on after 20 and one after 40
WORDS = [*RING, "--config.eval.every=20", "--config.eval.metrics=fd"]
WORDS.append("--config.monitor=false")
SWEEP = "--sweep=optim.disc.lr=1e-4,1e-2;seed=0,7"


def test_rungs():
    assert rungs(10, 100, 3) == [10, 30, 90]
    assert rungs(10, 90, 3) == [10, 30]
    assert rungs(50, 60, 2) == [50] and rungs(60, 60, 2) == []


def member(folder, values, metric="fd_raw"):
    folder.mkdir()
    rows = [
        {"step": s, "metric": metric, "value": v, "protocol": {}, "by": TRAINING}
        for s, v in values.items()
    ]
    (folder / "eval.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def test_the_best_third_survives_and_nothing_is_the_worst(tmp_path):
    values = [
        {10: 3.0, 30: 1.0},
        {10: 1.0, 30: 2.0},
        {10: None},
        {},
        {10: 2.0, 30: 9.0},
    ]
    values += [{10: 2.0}, {10: 4.0}]
    folders = [member(tmp_path / str(i), v) for i, v in enumerate(values)]
    assert survivors(folders, "fd_raw", [], 3) == [0, 1, 2, 3, 4, 5, 6]
    assert survivors(folders, "fd_raw", [10], 3) == [1, 4, 5], "5 equals 4"
    assert survivors(folders, "", [10, 30], 2) == [0, 1], "5 has no value at 30"
    up = [member(tmp_path / f"u{i}", {10: float(i)}, "modes") for i in range(4)]
    assert survivors(up, "modes", [10], 2) == [2, 3], "more modes are better"


@pytest.fixture(scope="module")
def halved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halved")
    words = ("sweep", *WORDS, SWEEP, "--backend=map", "--halving=2")
    code, text = finish(folder, *words)
    assert code == 0, text
    return folder


def lines(folder):
    with open(folder / "results.csv") as file:
        return list(csv.DictReader(file))


def test_members_stop_at_their_rung_and_the_others_are_untouched(halved, tmp_path):
    code, text = finish(tmp_path, "sweep", *WORDS, SWEEP, "--backend=map")
    assert code == 0, text
    at = {20: {}, 40: {}}
    for row in lines(tmp_path):
        evals = (tmp_path / "members" / row["member"] / "eval.jsonl").read_text()
        for said in map(json.loads, evals.splitlines()):
            at.get(said["step"], {})[row["member"]] = said["value"]
    first = sorted(sorted(at[20], key=at[20].get)[:2])
    last = min(first, key=at[40].get)
    for row in lines(halved):
        name = row["member"]
        end = 60 if name == last else 40 if name in first else 20
        assert row["step"] == str(end), name
        assert row["status"] == ("done" if end == 60 else "stopped")
        ours, theirs = (rows_of(x / "members" / name) for x in (halved, tmp_path))
        assert ours == [said for said in theirs if said["step"] <= end]
        run = gan_jax.load(halved / "members" / name)
        assert run.step == end and np.isfinite(run.sample(5)).all()
    whole = left(tmp_path / "members" / last)
    assert left(halved / "members" / last) == whole


@pytest.mark.parametrize("count", [5, 9])
def test_killed_and_resumed_equals_one_that_was_not(count, halved, tmp_path):
    words = ("sweep", *WORDS, SWEEP, "--backend=map", "--halving=2")
    strike = ("SIGKILL", "gan_jax.herd:Herd.dispatch", count)
    assert finish(tmp_path, *words, strike=strike)[0] == -signal.SIGKILL
    code, text = finish(tmp_path, *words)
    assert code == 0, text
    assert everything(tmp_path) == everything(halved)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--halving=1"], "--halving=1"),
        (["--halving=-2"], "--halving=-2"),
        (["--halving=2", "--config.eval.every=0"], "set --config.eval.every=STEPS"),
    ],
)
def test_mistakes(words, message, tmp_path, capsys):
    words = ["sweep", *WORDS, SWEEP, *words, f"--workdir={tmp_path / 's'}"]
    assert main(words) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "s").exists()
