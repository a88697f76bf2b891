"""Evaluation during training and afterwards, of runs and of folders."""

import json

import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import data
from gan_jax.checkpoint import Checkpoints
from gan_jax.cli import main
from gan_jax.eval.metrics import fid
from gan_jax.eval.modes import mode_coverage
from gan_jax.lock import locked
from gan_jax.record import columns
from tests.test_cli import FASHION, RING

EVALUATED = [
    RING,
    "--config.steps=60",
    "--config.eval.every=10",
    "--config.eval.metrics=fd,modes",
    "--config.eval.n=300",
    "--config.checkpoint_every=30",
    "--config.monitor=false",
    "--config.ema_decay=0.9",
]


def rows_of(folder):
    return [json.loads(x) for x in (folder / "eval.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ring")
    assert main([*EVALUATED, f"--workdir={folder}"]) == 0
    return folder


def test_a_run_is_measured_at_its_cadence(ring):
    rows = rows_of(ring)
    assert [r["step"] for r in rows if r["metric"] == "fd_raw"] == [*range(10, 61, 10)]
    assert {r["metric"] for r in rows} == {"fd_raw", "modes", "high_quality", "reverse_kl"}  # fmt: skip
    said = rows[0]["protocol"]
    assert said["n_fake"] == 300 and said["weights"] == "ema" and said["ddof"] == 1


def test_the_best_checkpoint_stays_beside_the_latest_two(ring):
    series = {r["step"]: r["value"] for r in rows_of(ring) if r["metric"] == "fd_raw"}
    best = min(series, key=series.get)
    kept = Checkpoints(ring / "checkpoints").steps()
    assert best in kept and 60 in kept and len(kept) <= 3
    assert gan_jax.load(ring, step="best").step == best


def test_the_verb_gives_the_number_that_training_gave(ring, capsys, tmp_path):
    out = tmp_path / "rows.jsonl"
    words = ["eval", f"--workdir={ring}", "--metrics=fd,modes", "--n=300", "--step=best"]  # fmt: skip
    before = len(rows_of(ring))
    assert main([*words, f"--out={out}"]) == 0
    text = capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    there = {
        (r["step"], r["metric"]): r["value"]
        for r in rows_of(ring)
        if r["by"] == "training"
    }
    for row in rows:
        assert row["value"] == there[row["step"], row["metric"]]
        assert row["metric"] in text
    assert "n_fake 300" in text and "latents_seed 0" in text
    assert len(rows_of(ring)) == before + len(rows)


def test_the_numbers_are_those_of_the_formulas(ring, tmp_path):
    out = tmp_path / "rows.jsonl"
    main(["eval", f"--workdir={ring}", "--metrics=fd,modes", "--n=400", f"--out={out}"])
    found = {k: v for k, v in zip(*list(columns(out).values())[1:3], strict=True)}
    fake = gan_jax.load(ring).sample(400, seed=0)
    real = data.load(data.DataSpec(source="ring")).images
    assert found["fd_raw"] == pytest.approx(fid(fake, real), rel=1e-9)
    expected = mode_coverage(fake, data.toy.CENTRES["ring"], 0.01)
    assert {k: found[k] for k in ("modes", "high_quality")} == {
        k: expected[k] for k in ("modes", "high_quality")
    }


def test_every_checkpoint_and_both_weights(ring, tmp_path):
    out = tmp_path / "rows.jsonl"
    words = ["eval", f"--workdir={ring}", "--metrics=fd", "--n=100", f"--out={out}"]
    assert main([*words, "--step=all", "--weights=both"]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    pairs = [(row["step"], row["protocol"]["weights"]) for row in rows]
    steps = Checkpoints(ring / "checkpoints").steps()
    assert pairs == [(step, w) for step in steps for w in ("ema", "raw")]
    assert rows[0]["value"] != rows[1]["value"]


def test_a_run_in_training_keeps_its_file(ring, capsys):
    before = rows_of(ring)
    with locked(ring):
        assert main(["eval", f"--workdir={ring}", "--metrics=fd", "--n=50"]) == 0
    text = capsys.readouterr()
    assert "not added to eval.jsonl" in text.err and "fd_raw" in text.out
    assert rows_of(ring) == before


def test_patience_stops_a_run_and_a_restart_knows(tmp_path, capsys):
    words = [*EVALUATED, "--config.eval.patience=2", "--config.eval.best=modes", "--config.steps=400", f"--workdir={tmp_path}"]  # fmt: skip
    words += ["--config.optim.gen.lr=0", "--config.optim.disc.lr=0"]  # nothing improves
    assert main(words) == 0
    assert "stopped early at step 30" in capsys.readouterr().err
    before = rows_of(tmp_path)
    assert main(words) == 0
    assert "stopped early at step 30" in capsys.readouterr().err
    assert rows_of(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.eval.metrics=fidd"], "did you mean 'fid'"),
        (["--config.eval.metrics=fd,ms_ssim"], "'ms_ssim' is not for ring"),
        (["--config.eval.best=fd_clasifier"], "did you mean 'fd_classifier'"),
        (["--config.eval.best=kid_raw"], "unknown value of eval.metrics 'kid_raw'"),
        (["--config.eval.n=1"], "at least 2"),
        (["--config.eval.split=test"], "no split 'test'"),
        (["--config.eval.features=alexnet"], "points are no pictures"),
    ],
)
def test_a_mistake_is_said_before_training(words, message, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert main([*EVALUATED, *words, f"--workdir={workdir}"]) == 2
    assert message in capsys.readouterr().err and not workdir.exists()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """40 real clothes as a folder, 40 others as .npz and, with noise, as a folder."""
    top = tmp_path_factory.mktemp("folders")
    images = data.load(data.DataSpec()).images
    noise = np.random.default_rng(0).normal(0, 60, images[40:80].shape)
    noisy = (images[40:80] + noise).clip(0, 255).astype(np.uint8)
    for name, pictures in {"real": images[:40], "noisy": noisy}.items():
        (top / name).mkdir()
        for i, x in enumerate(pictures):
            Image.fromarray(x[..., 0]).save(top / name / f"{i:03d}.png")
    np.savez(top / "others.npz", images=images[40:80])
    return top


def test_two_folders_or_files(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    found = {}
    for fake in ("others.npz", "noisy", "real"):
        out = tmp_path / f"{fake}.jsonl"
        words = ["eval", f"--real={folders / 'real'}", f"--fake={folders / fake}"]
        code = main([*words, "--features=raw", "--metrics=fd,kid,pr", f"--out={out}"])
        assert code == 0, capsys.readouterr().err
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        found[fake] = {row["metric"]: row["value"] for row in rows}
        assert rows[0]["protocol"]["n_real"] == 40
    assert found["others.npz"]["fd_raw"] < found["noisy"]["fd_raw"]
    assert found["others.npz"]["kid_raw"] < found["noisy"]["kid_raw"]
    assert found["real"]["fd_raw"] < 1e-9 and found["real"]["precision_raw"] == 1.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "eval takes --workdir=RUN, or both"),
        (["--real=x"], "or both --real=DIR and --fake=DIR"),
        (["--workdir=x", "--real=x", "--fake=x"], "eval takes --workdir=RUN"),
        (["--workdir=nothing/here"], "holds no run"),
        (["--real=/no/such", "--fake=/no/such"], "/no/such"),
        (["--workdir=x", "--config.seed=1"], "eval takes no --config"),
    ],
)
def test_mistakes_of_the_verb(words, message, capsys):
    assert main(["eval", *words]) == 2
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text


def test_no_best_without_evaluation(tmp_path, capsys):
    assert main([FASHION, "--config.steps=1", f"--workdir={tmp_path}"]) == 0
    assert main(["eval", f"--workdir={tmp_path}", "--step=best"]) == 2
    assert "--config.eval.every" in capsys.readouterr().err


def test_help_of_the_verb_names_metrics_and_features(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["eval", "--help"])
    text = capsys.readouterr().out
    for name in ("fd_infinity", "memorisation", "alexnet", "--inception-weights"):
        assert name in text
