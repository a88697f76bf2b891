"""Whole runs: resumed equals uninterrupted, signals, kills, divergence, refusals, devices."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import gan_jax
from gan_jax.checkpoint import Checkpoints
from gan_jax.cli import main
from gan_jax.record import columns

ROOT = Path(__file__).parents[1]
RING = ["--config", str(ROOT / "configs/ring_plain.py")]
SMALL = [
    "--config.batch_size=16",
    "--config.model.width=8",
    "--config.log_every=10",
    "--config.sample_every=50",
    "--config.checkpoint_every=20",
    "--config.scan_steps=8",
    "--config.model.dropout=0.1",
    "--config.n_disc=2",
]
IMAGES = [
    "--config", str(ROOT / "configs/dcgan_fashion.py"),
    "--config.data.source=digits",
    "--config.data.flip=true",
]  # fmt: skip
CLOCK = {"seconds", "images_per_s"}


def launch(workdir, *words, env=None):
    """Run the program in a process of its own and return it."""
    command = [sys.executable, str(ROOT / "launch.py"), *words, f"--workdir={workdir}"]
    one = {**os.environ, "XLA_FLAGS": "", **(env or {})}
    return subprocess.Popen(
        command, cwd=ROOT, env=one, stderr=subprocess.PIPE, text=True
    )


def finish(workdir, *words, env=None):
    process = launch(workdir, *words, env=env)
    _, text = process.communicate(timeout=300)
    return process.returncode, text


def outcome(workdir):
    """Everything a run leaves that has to be equal: last state, rows less their clock, pictures."""
    saved = Checkpoints(Path(workdir) / "checkpoints")
    step = saved.latest()
    leaves = jax.tree_util.tree_leaves(saved.raw(step))
    state = [np.asarray(x).tobytes() for x in leaves]
    rows = [
        {k: v for k, v in json.loads(line).items() if k not in CLOCK}
        for line in (Path(workdir) / "metrics.jsonl").read_text().splitlines()
    ]
    pictures = {
        p.name: p.read_bytes()
        for p in sorted((Path(workdir) / "samples").glob("*.png"))
    }
    return step, state, rows, pictures


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of 300 steps."""
    folder = tmp_path_factory.mktemp("whole")
    code, text = finish(folder, *RING, *SMALL, "--config.steps=300")
    assert code == 0, text
    return outcome(folder)


def wait_for_rows(workdir, process, rows):
    """Block until the run has logged some rows (or ended)."""
    path = Path(workdir) / "metrics.jsonl"
    while process.poll() is None:
        if path.is_file() and path.read_text().count("\n") >= rows:
            return
        time.sleep(0.01)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_a_run_stopped_at_random_and_resumed_equals_one_that_was_not(
    kind, whole, tmp_path
):
    chance = random.Random(int(kind))
    words = (*RING, *SMALL, "--config.steps=300")
    for _ in range(2):
        process = launch(tmp_path, *words)
        wait_for_rows(tmp_path, process, chance.randrange(1, 12))
        process.send_signal(kind)
        _, text = process.communicate(timeout=120)
        if kind == signal.SIGTERM and process.returncode != 0:
            assert process.returncode == 75, text
            assert "Resume with:" in text and "--config.steps=300" in text
    code, text = finish(tmp_path, *words)
    assert code == 0, text
    assert outcome(tmp_path) == whole


def test_raising_steps_goes_on_as_if_it_had_never_stopped(whole, tmp_path):
    assert finish(tmp_path, *RING, *SMALL, "--config.steps=130")[0] == 0
    assert (
        finish(tmp_path, *RING, *SMALL, "--config.steps=300", "--config.scan_steps=3")[
            0
        ]
        == 0
    )
    step, state, rows, _ = outcome(tmp_path)
    assert (step, state) == whole[:2]
    assert rows == whole[2]


def test_images_resume_bitwise_too(tmp_path):
    small = [*SMALL, "--config.model.dropout=0", "--config.n_disc=1"]
    for folder, stops in (("one", [40]), ("two", [20, 30, 40])):
        for steps in stops:
            assert (
                main(
                    [
                        *IMAGES,
                        *small,
                        f"--config.steps={steps}",
                        f"--workdir={tmp_path / folder}",
                    ]
                )
                == 0
            )
    assert outcome(tmp_path / "one")[:3] == outcome(tmp_path / "two")[:3]


@pytest.fixture
def run(tmp_path):
    """A finished run of 20 steps."""
    words = [*RING, *SMALL, "--config.steps=20", f"--workdir={tmp_path}"]
    assert main(words) == 0
    return tmp_path, words


def test_the_run_folder_keeps_its_contract(run):
    folder, _ = run
    record = json.loads((folder / "config.json").read_text())
    assert {"config", "versions", "git", "command"} <= set(record)
    assert record["config"]["optim"]["gen"]["lr"] == 1e-3
    rows = columns(folder / "metrics.jsonl")
    assert rows["step"] == [10, 20]
    expected = {
        "loss/disc",
        "loss/gen",
        "disc/real",
        "disc/fake",
        "grad/gen",
        "grad/disc",
        "images_per_s",
        "seconds",
    }
    assert expected <= set(rows)
    assert (folder / "samples/step_00000020.png").is_file()
    assert (folder / "samples/training.gif").is_file()
    assert (folder / "checkpoints/20").is_dir()
    assert list((folder / "tensorboard").glob("events*"))


def test_a_finished_run_says_so(run, capsys):
    _, words = run
    assert main(words) == 0
    assert "finished at step 20" in capsys.readouterr().err


def test_another_config_in_the_same_folder_is_refused_with_a_diff(run, capsys):
    folder, words = run
    before = outcome(folder)
    assert main([*words, "--config.optim.gen.lr=0.5", "--config.steps=30"]) == 2
    assert "optim.gen.lr: 0.001 -> 0.5" in capsys.readouterr().err
    assert outcome(folder) == before


def test_a_folder_in_use_names_its_owner(run, capsys):
    folder, words = run
    from gan_jax.lock import locked

    with locked(folder):
        # the lock belongs to the open file, so this process can stand for another one
        assert main([*words, "--config.steps=40"]) == 2
    assert f"process {os.getpid()} on host" in capsys.readouterr().err


def test_divergence_stops_on_its_step_and_saves_nothing_bad(tmp_path, capsys):
    words = [
        *RING,
        *SMALL,
        "--config.steps=100",
        "--config.optim.disc.lr=1e20",
        f"--workdir={tmp_path}",
    ]
    assert main([*words, "--config.loss=wasserstein"]) == 3
    text = capsys.readouterr().err
    assert "diverged" in text and "last good step" in text
    saved = Checkpoints(tmp_path / "checkpoints")
    raw = saved.raw(saved.latest())
    floats = [
        x
        for x in jax.tree.leaves(raw)
        if np.issubdtype(np.asarray(x).dtype, np.floating)
    ]
    assert all(np.all(np.isfinite(x)) for x in floats)
    rows = columns(tmp_path / "metrics.jsonl")
    assert all(step <= saved.latest() for step in rows.get("step", []))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_trains_on_four_devices(parallel, tmp_path):
    words = [
        *IMAGES,
        "--config.batch_size=8",
        "--config.model.width=8",
        "--config.steps=4",
        "--config.log_every=2",
    ]
    assert main([*words, f"--config.parallel={parallel}", f"--workdir={tmp_path}"]) == 0
    assert np.all(np.isfinite(columns(tmp_path / "metrics.jsonl")["loss/disc"]))


def test_an_uneven_batch_is_refused(tmp_path, capsys):
    assert (
        main([*RING, *SMALL, "--config.batch_size=10", f"--workdir={tmp_path / 'x'}"])
        == 2
    )
    assert "batch_size=12" in capsys.readouterr().err
    assert not (tmp_path / "x").exists(), "refused before any work"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.py")), ids=lambda p: p.stem
)
def test_every_config_trains_in_smoke_form(path, tmp_path):
    assert (
        main(
            [
                f"--config={path}:smoke",
                "--config.steps=2",
                "--config.log_every=1",
                f"--workdir={tmp_path}",
            ]
        )
        == 0
    )
    assert columns(tmp_path / "metrics.jsonl")["step"] == [1, 2]
    assert gan_jax.load(tmp_path).sample(2).shape[0] == 2
