"""Runs killed at any instant and started again leave the same bytes as one that was not."""

import json
import os
import random
import re
import signal
import subprocess
import sys

import pytest

from tests.test_train import IMAGES, RING, ROOT, SMALL, outcome

RINGS = [*RING, *SMALL, "--config.steps=300"]
PICTURES = [
    *IMAGES,
    "--config.steps=40",
    "--config.batch_size=8",
    "--config.model.width=8",
    "--config.log_every=2",
    "--config.sample_every=20",
    "--config.checkpoint_every=4",
    "--config.eval.every=0",
    # state beside the networks: the probability of augmentations, running means of D's answers
    "--config.augment.translation=true",
    "--config.augment.target=0.6",
    "--config.augment.kimg=0.1",
    "--config.penalty.lecam=0.1",
]
STRIKES = {  # the functions in whose midst a run is stopped, with how often each is called at least
    "gan_jax.loop:Loop.dispatch": 40,
    "gan_jax.record:Record.append": 30,
    "gan_jax.record:Record.evaluation": 8,
    "gan_jax.record:Record.image": 6,
    "gan_jax.checkpoint:snapshot": 14,
    "gan_jax.checkpoint:_write": 14,
    "gan_jax.checkpoint:write_manifest": 14,  # Orbax has committed, and the step does not count yet
    "gan_jax.checkpoint:write_ledger": 14,
    "gan_jax.checkpoint:Checkpoints._prune": 14,
}


def lives(plan, **env):
    """How each life of [(words, end), ...] ended: [exit code, stderr, newest complete step]."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lives"],
        input=json.dumps(plan),
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "", **env},
        capture_output=True,
        text=True,
        timeout=60 + 60 * len(plan),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def nothing_lost(ends):
    """Each life goes on from the newest complete step of the one before."""
    for (_, _, newest), (_, text, _) in zip(ends, ends[1:], strict=False):
        started = re.search(r"from step ([\d,]+) to", text)
        if started:  # a life may end before it says so
            assert int(started[1].replace(",", "")) == (newest or 0), text


def killed_runs(words, folders, kills, longest, seed, **env):
    """Kill -9 each folder's run `kills` times at random instants, then let it end; how many kills met it alive."""
    instants = random.Random(seed)
    met = 0
    for folder in folders:
        plan = []
        for _ in range(kills):
            since = instants.choice(["row", "row", "start"])
            seconds = instants.uniform(0, 3.0 if since == "start" else longest)
            plan.append(([*words, f"--workdir={folder}"], ("kill", since, seconds)))
        ends = lives([*plan, ([*words, f"--workdir={folder}"], None)], **env)
        assert ends[-1][0] == 0, ends[-1][1]
        nothing_lost(ends)
        codes = [code for code, _, _ in ends[:-1]]
        assert set(codes) <= {-signal.SIGKILL, 0}, ends
        met += codes.count(-signal.SIGKILL)
    return met


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run of the ring leaves."""
    folder = tmp_path_factory.mktemp("whole")
    ((code, text, _),) = lives([([*RINGS, f"--workdir={folder}"], None)])
    assert code == 0, text
    return outcome(folder)


@pytest.fixture(scope="module")
def whole_pictures(tmp_path_factory):
    """What an uninterrupted run of a DCGAN leaves."""
    folder = tmp_path_factory.mktemp("pictures")
    ((code, text, _),) = lives([([*PICTURES, f"--workdir={folder}"], None)])
    assert code == 0, text
    return outcome(folder)


def test_a_run_killed_inside_any_of_its_functions_equals_one_that_was_not(
    whole, tmp_path
):
    plan = []
    for i, (where, calls) in enumerate(STRIKES.items()):
        words = [*RINGS, f"--workdir={tmp_path / str(i)}"]
        strike = "SIGKILL", where, random.Random(where).randrange(2, calls)
        plan += [(words, strike), (words, None)]
    ends = lives(plan)
    for i, where in enumerate(STRIKES):
        (first, _, newest), (second, text, _) = ends[2 * i : 2 * i + 2]
        assert (first, second) == (-signal.SIGKILL, 0), (where, text)
        assert f"from step {newest or 0} to" in text, where
        assert outcome(tmp_path / str(i)) == whole, where


@pytest.mark.parametrize(
    "runs", [4, pytest.param(40, marks=pytest.mark.slow)], ids=["20", "200"]
)
def test_a_run_killed_at_random_instants_equals_one_that_was_not(runs, whole, tmp_path):
    folders = [tmp_path / str(i) for i in range(runs)]
    met = killed_runs(RINGS, folders, kills=5, longest=0.25, seed=runs)
    assert met >= 3 * runs  # the others came after the end
    for folder in folders:
        assert outcome(folder) == whole


@pytest.mark.parametrize(
    "runs", [1, pytest.param(10, marks=pytest.mark.slow)], ids=["3", "30"]
)
def test_a_dcgan_killed_with_the_compile_cache_on(runs, whole_pictures, tmp_path):
    """A kill may meet the cache as it is written; what a half entry does is seen in the next life."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    folders = [tmp_path / str(i) for i in range(runs)]
    met = killed_runs(PICTURES, folders, kills=3, longest=0.5, seed=runs, **cache)
    assert met >= 2 * runs
    assert any((tmp_path / "cache").iterdir())
    for folder in folders:
        assert outcome(folder) == whole_pictures
