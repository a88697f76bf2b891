"""Whole runs: resumed equals uninterrupted, signals, kills, divergence, refusals, devices."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import gan_jax
from gan_jax import config
from gan_jax.cli import main
from gan_jax.job import assemble, shape_of_state, table_of
from gan_jax.lock import locked
from gan_jax.record import columns
from gan_jax.step import make_step
from gan_jax.stop import stoppable
from tests.recipes import bits, saved_state

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
    "--config.eval.every=65",
    "--config.eval.n=100",
    "--config.eval.metrics=modes,fd",
    "--config.monitor=false",
]
IMAGES = [
    "--config", str(ROOT / "configs/dcgan_fashion.py"),
    "--config.data.source=digits",
    "--config.data.flip=true",
    "--config.monitor=false",
]  # fmt: skip
WATCHED = [*SMALL, "--config.monitor=true"]
CLOCK = {"seconds", "images_per_s"}


def finish(workdir, *words, strike=()):
    """Run the program in a process of its own, struck by a signal if asked: (exit code, stderr)."""
    program = ["-m", "tests.interrupt", *map(str, strike)] if strike else ["launch.py"]
    done = subprocess.run(
        [sys.executable, *program, *words, f"--workdir={workdir}"],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr


def outcome(workdir):
    """Everything a run leaves that has to be equal: last state, rows less their clock, evaluations, pictures."""
    rows = [
        {k: v for k, v in json.loads(line).items() if k not in CLOCK}
        for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    evaluations = workdir / "eval.jsonl"
    rows += evaluations.read_text().splitlines() if evaluations.exists() else []
    pictures = {p.name: p.read_bytes() for p in (workdir / "samples").glob("*.png")}
    return bits(saved_state(workdir)), rows, pictures


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of 300 steps."""
    folder = tmp_path_factory.mktemp("whole")
    code, text = finish(folder, *RING, *WATCHED, "--config.steps=300")
    assert code == 0, text
    return outcome(folder)


@pytest.mark.parametrize("kind", ["SIGTERM", "SIGINT"])
def test_a_run_told_to_stop_saves_and_says_how_to_resume(kind, whole, tmp_path):
    words = (*RING, *WATCHED, "--config.steps=300")
    for count in random.Random(kind).sample(range(2, 20), 2):
        strike = (kind, "gan_jax.loop:Loop.dispatch", count)
        code, text = finish(tmp_path, *words, strike=strike)
        assert code == 75, text
        assert (
            "Resume with:\n  python launch.py" in text and "--config.steps=300" in text
        )
    code, text = finish(tmp_path, *words)
    assert code == 0, text
    assert outcome(tmp_path) == whole


def test_a_second_signal_acts_at_once(tmp_path):
    """The handler of the first one puts the default back."""
    with stoppable() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_raising_steps_goes_on_as_if_it_had_never_stopped(whole, tmp_path):
    words = [*RING, *WATCHED]
    assert finish(tmp_path, *words, "--config.steps=130")[0] == 0
    words += ["--config.steps=300", "--config.scan_steps=3"]
    assert finish(tmp_path, *words)[0] == 0
    assert outcome(tmp_path)[:2] == whole[:2]


def test_images_resume_bitwise_too(tmp_path):
    small = [*SMALL, "--config.model.dropout=0", "--config.n_disc=1"]
    small.append("--config.eval.every=0")
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
    assert outcome(tmp_path / "one")[:2] == outcome(tmp_path / "two")[:2]


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
    assert "diverged" in text
    state = saved_state(tmp_path)
    assert f"last good step {int(state.step)}" in text and not state.halted
    for leaf in jax.tree.leaves(state.players):
        assert not np.issubdtype(leaf.dtype, np.floating) or np.all(np.isfinite(leaf))
    rows = columns(tmp_path / "metrics.jsonl")
    assert all(step <= state.step for step in rows.get("step", []))


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


CONFIGS = sorted((ROOT / "configs").rglob("*.py"))
# half a minute of compiling each; their networks and losses train in test_matrix
LARGE = ("resnet", "r3gan", "began")


def network_of(path):
    return config.load(f"{path}").model.name


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_fits_its_data_and_networks(path):
    job = assemble(config.load(f"{path}:smoke"))
    shape = (job.recipe.n_disc, job.recipe.batch_size)
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((*shape, *x.shape[1:]), x.dtype),
        table_of(job.dataset),
    )
    step = make_step(job.recipe, job.nets)
    after, metrics = jax.eval_shape(step, shape_of_state(job), batch)
    assert metrics["loss/disc"].shape == () and after.players.gen.params


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if network_of(p) not in LARGE], ids=lambda p: p.stem
)
def test_every_config_trains_in_smoke_form(path, tmp_path):
    assert (
        main(
            [
                f"--config={path}:smoke",
                "--config.steps=2",
                "--config.log_every=1",
                "--config.monitor=false",
                f"--workdir={tmp_path}",
            ]
        )
        == 0
    )
    assert columns(tmp_path / "metrics.jsonl")["step"] == [1, 2]
    run = gan_jax.load(tmp_path)
    source = run.recipe.model.source_shape
    two = run.translate(np.zeros((2, *source), np.uint8)) if source else run.sample(2)
    assert two.shape[0] == 2
