"""Sweeps on a Ray cluster on this machine: the folder of the local engine, whatever is lost on the way."""

import json
import os
import subprocess
import sys

import pytest

import gan_jax
from gan_jax import cluster
from gan_jax.cli import main
from tests.recipes import bits
from tests.test_sweep import RING, everything
from tests.test_train import ROOT, finish

OPTIMISED = True  # this is about equal bits in different processes
SWEEP = "--sweep=loss=hinge,rp,wasserstein,least_squares;seed=0,7"
WORDS = ("sweep", *RING, SWEEP, "--backend=map", "--config.monitor=false")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Four groups, trained here."""
    folder = tmp_path_factory.mktemp("local")
    code, text = finish(folder, *WORDS)
    assert code == 0, text
    return folder


def test_a_lost_worker_changes_nothing(whole, tmp_path):
    folder, marker = tmp_path / "s", tmp_path / "lost"
    done = subprocess.run(
        [sys.executable, "-m", "tests.lost", marker, *WORDS]
        + ["--engine=ray", f"--workdir={folder}"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert marker.exists(), "no worker was lost"
    assert everything(folder) == everything(whole)
    for name in ("0000", "0005"):
        ours, theirs = (gan_jax.load(x / "members" / name) for x in (folder, whole))
        assert bits(ours.params) == bits(theirs.params) and ours.step == 60
    ours, theirs = (json.loads((x / "sweep.json").read_text()) for x in (folder, whole))
    assert ours["members"] == theirs["members"] and ours["groups"] == theirs["groups"]


def test_a_signal_reaches_the_workers_and_the_same_command_goes_on(whole, tmp_path):
    words = (*WORDS, "--engine=ray")
    strike = ("SIGTERM", "gan_jax.results:Results.write", 1)
    code, text = finish(tmp_path, *words, strike=strike)
    assert code == 75 and "Resume with:" in text, text
    code, text = finish(tmp_path, *words)
    assert code == 0, text
    assert everything(tmp_path) == everything(whole)


def test_more_than_the_cluster_has_is_refused():
    class Small:
        cluster_resources = staticmethod(lambda: {"CPU": 2.0})

    assert cluster.checked(Small, cluster.Need()) == cluster.Need(1, 0)
    with pytest.raises(cluster.UserError, match="3 CPUs and the Ray cluster has 2"):
        cluster.checked(Small, cluster.Need(3))
    with pytest.raises(cluster.UserError, match="1 GPUs and the Ray cluster has 0"):
        cluster.checked(Small, cluster.Need(1, 1))


def test_without_ray_it_says_what_to_install(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = [*WORDS, "--engine=ray", f"--workdir={tmp_path / 's'}"]
    assert main(words) == 2
    assert "pip install ray" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
