"""Searches: what a space is, proposals that follow from results alone, a search that is killed and goes on."""

import csv
import json
import math
import signal
import sys

import pytest

from gan_jax.cli import main
from gan_jax.config import ConfigError
from gan_jax.space import Space, proposals, space_of
from gan_jax.types import UserError
from tests.test_sweep import RING
from tests.test_train import finish

TEXT = "optim.disc.lr=log:1e-5:1e-1;loss=hinge,rp;seed=0..2"


def test_a_space_is_ranges_choices_and_seeds():
    assert space_of(TEXT) == Space(
        {"optim.disc.lr": (1e-5, 1e-1, True)}, {"loss": ["hinge", "rp"]}, [0, 1, 2]
    )
    linear = space_of("model.dropout=uniform:0.1:0.5")
    assert linear == Space({"model.dropout": (0.1, 0.5, False)}, {}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed=0..2", "nothing to search"),
        ("optim.disc.lr=log:1e-5:1e-2:20", "LOW:HIGH in a search"),
        ("optim.disc.lr=log:1e-2:1e-5", "LOW must be below HIGH"),
        ("optim.disc.lr=log:0:1", "above 0 for log"),
        ("optim.disc.lr=uniform:-1:1", "optim.disc.lr"),
        ("optim.disc.rl=log:1e-5:1e-2", "optim.disc.lr"),
        ("loss=hinge,rp & seed=0,1", "no lists side by side"),
        ("loss=hinge;loss=rp", "names loss twice"),
        ("optim.disc.lr=log:1e-5:1e-2;optim.disc.lr=1e-4", "names optim.disc.lr twice"),
        ("settings.csv", "needs a text"),
        ([{"loss": "rp"}], "needs a text"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(ConfigError, match=message):
        space_of(text)


def bowl(setting):
    """Least, 0, at lr 1e-3 with hinge; diverges at high rates."""
    if setting["optim.disc.lr"] > 0.03:
        return None
    return (math.log10(setting["optim.disc.lr"]) + 3) ** 2 + (setting["loss"] == "rp")


@pytest.mark.parametrize("sign", [1, -1])
def test_proposals_follow_from_what_was_told_and_get_better(sign):
    space, told = space_of(TEXT), []
    for _ in range(8):
        new = proposals(space, told, sign < 0, 8)
        assert new == proposals(space, told, sign < 0, 8)
        assert len({str(x) for x in new}) == 8
        told += [(x, None if bowl(x) is None else sign * bowl(x)) for x in new]
    early, late = ([bowl(x) for x, _ in part] for part in (told[:16], told[-16:]))
    lost = [sum(v is None for v in part) for part in (early, late)]
    early, late = ([v for v in part if v is not None] for part in (early, late))
    assert sum(late) / len(late) < sum(early) / len(early) / 2 and lost[1] <= lost[0]


def test_an_exhausted_space_has_no_proposals():
    space = space_of("loss=hinge,rp,wasserstein")
    tried = [({"loss": "rp"}, 1.0)]
    new = proposals(space, tried, True, 5)
    assert sorted(x["loss"] for x in new) == ["hinge", "wasserstein"]
    assert proposals(space, tried + [(x, 0.0) for x in new], True, 5) == []
    assert proposals(space, [], True, 0) == []


def test_without_optuna_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match="pip install optuna"):
        proposals(space_of(TEXT), [], True, 1)


SEARCH = ["sweep", *RING, "--config.eval.metrics=fd", "--backend=map", "--trials=4"]
SEARCH += [
    "--config.monitor=false",
    "--batch=2",
    "--sweep=optim.disc.lr=log:1e-4:1e-2;seed=0,1",
]


def found(folder):
    with open(folder / "results.csv") as file:
        rows = list(csv.DictReader(file))
    clock = ("seconds", "images_per_s")
    return [{k: v for k, v in row.items() if not k.endswith(clock)} for row in rows]


def test_a_search_killed_and_resumed_proposes_the_same(tmp_path):
    code, text = finish(tmp_path / "a", *SEARCH)
    assert code == 0 and "best of 4 settings: " in text, text
    rows = found(tmp_path / "a")
    assert [row["seed"] for row in rows] == ["0", "1"] * 4
    assert all(row["status"] == "done" for row in rows)
    code, _ = finish(
        tmp_path / "b", *SEARCH, strike=("SIGKILL", "gan_jax.herd:Herd.run", 2)
    )
    assert code == -signal.SIGKILL
    code, text = finish(tmp_path / "b", *SEARCH)
    assert code == 0, text
    assert found(tmp_path / "b") == rows
    means = {}
    for row in rows:
        key = f"optim.disc.lr={float(row['optim.disc.lr'])}"
        means[key] = means.get(key, 0.0) + float(row["best/fd_raw"]) / 2
    best = min(means, key=means.get)
    assert f"{best} ({means[best]:.6g})" in text
    more = [word.replace("--trials=4", "--trials=5") for word in SEARCH]
    code, text = finish(tmp_path / "a", *more)
    assert code == 0 and "best of 5 settings" in text, text
    assert found(tmp_path / "a")[:8] == rows


def test_another_search_in_the_folder_is_refused(tmp_path, capsys):
    words = [*SEARCH, "--config.steps=1", f"--workdir={tmp_path}"]
    plan = {"search": None, "members": [], "groups": []}
    (tmp_path / "sweep.json").write_text(json.dumps(plan))
    assert main(words) == 2
    assert "another sweep, of a fixed list" in capsys.readouterr().err
    assert main([*words, "--batch=0"]) == 2
    assert "--batch=0" in capsys.readouterr().err
    words.append(f"--workdir={tmp_path / 'new'}")
    assert main([*words, "--config.eval.every=0"]) == 2
    assert "set --config.eval.every" in capsys.readouterr().err
