"""The command line: exit codes, one-sentence errors, help, samples."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax.cli import VERBS, main
from gan_jax.fields import FIELDS

ROOT = Path(__file__).parents[1]
RING = f"--config={ROOT}/configs/ring_plain.py:smoke"
FASHION = f"--config={ROOT}/configs/dcgan_fashion.py:smoke"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([FASHION, "--config.loss=hing"], "did you mean 'hinge'"),
        ([FASHION, "--config.optim.gen.lrr=1"], "did you mean 'optim.gen.lr'"),
        ([FASHION, "--config.optim.gen.lr=nan"], "must be finite"),
        ([FASHION, "--config.optim.gen.lr=-1"], "must be >= 0"),
        ([FASHION, "--config.steps"], "needs a value"),
        ([FASHION, "--config.model.width=0"], "must be >= 1"),
        ([FASHION, "--config.data.resolution=27"], "27"),
        ([FASHION, "--config.data.source=folder:/no/such/folder"], "/no/such/folder"),
        ([RING, "--config.data.flip=true"], "points"),
        (["--config=configs/none.py"], "no config file"),
        (["smaple", "--workdir=x"], "did you mean 'sample'"),
        (["sample", "--workdir=nothing/here"], "holds no run"),
        (["sample", "--workdir=x", "--out=x.jpg"], "choices: .png, .npz"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, message, capsys, tmp_path):
    if words[0].startswith("--config"):
        words = [*words, f"--workdir={tmp_path / 'run'}"]
    assert main(words) == 2
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text
    assert not (tmp_path / "run").exists(), "refused before any work"


@pytest.mark.parametrize("words", [[], ["sample"], ["--config=x.py", "--bogus"]])
def test_flags_that_argparse_refuses_exit_2(words):
    with pytest.raises(SystemExit, match="2"):
        main(words)


def test_help_names_every_verb_and_field(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    for name in [*VERBS, *FIELDS]:
        assert name in text


def test_the_program_itself_exits_2_without_a_traceback():
    done = subprocess.run(
        [sys.executable, "launch.py", FASHION, "--config.loss=hing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def fashion(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fashion")
    assert main([FASHION, "--config.steps=10", f"--workdir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ring")
    assert main([RING, "--config.steps=10", f"--workdir={folder}"]) == 0
    return folder


def test_npz_of_pictures(fashion, tmp_path):
    out = tmp_path / "x.npz"
    assert main(["sample", f"--workdir={fashion}", "--n=300", f"--out={out}"]) == 0
    data = np.load(out)
    assert data["images"].shape == (300, 28, 28, 1) and data["images"].dtype == np.uint8
    assert data["latents"].shape == (300, 100) and data["latents"].dtype == np.float32
    run = gan_jax.load(fashion)
    assert np.array_equal(run.sample(300), data["images"])
    assert np.array_equal(run.sample(7), data["images"][:7]), (
        "a sample does not depend on its neighbours"
    )
    assert not np.array_equal(run.sample(7, seed=1), data["images"][:7])


def test_npz_of_points(ring, tmp_path):
    out = tmp_path / "x.npz"
    assert main(["sample", f"--workdir={ring}", "--n=5", f"--out={out}"]) == 0
    assert np.load(out)["points"].shape == (5, 2)


@pytest.mark.parametrize(
    "path", [[], ["--interpolate"], ["--walk=25", "--walk-range=3"]]
)
@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_grids(fashion, tmp_path, path, weights):
    out = tmp_path / "sub/grid.png"
    words = [
        "sample",
        f"--workdir={fashion}",
        "--n=30",
        f"--weights={weights}",
        f"--out={out}",
    ]
    assert main([*words, *path]) == 0
    assert np.asarray(Image.open(out)).std() > 0


def test_a_walk_outside_the_latent_space_is_refused(fashion, tmp_path, capsys):
    words = [
        "sample",
        f"--workdir={fashion}",
        "--walk=100",
        f"--out={tmp_path / 'x.png'}",
    ]
    assert main(words) == 2
    assert "0 to 99" in capsys.readouterr().err


def test_an_earlier_checkpoint_and_one_that_is_not_there(fashion, tmp_path, capsys):
    words = ["sample", f"--workdir={fashion}", f"--out={tmp_path / 'x.png'}"]
    assert main([*words, "--step=10"]) == 0
    assert main([*words, "--step=9"]) == 2
    assert "9" in capsys.readouterr().err


def test_the_python_door(fashion):
    run = gan_jax.load(fashion, which="raw")
    z = run.latents(3, seed=2)
    pictures = run.generator(run.params, z)
    assert pictures.shape == (3, 28, 28, 1) and np.abs(pictures).max() <= 1
    assert run.discriminator(pictures).logits.shape == (3,)
    assert run.config.loss == "non_saturating" and run.step == 10
    with pytest.raises(ValueError, match="without labels"):
        run.sample(1, label=3)
    with pytest.raises(ValueError, match="choices: ema, raw"):
        gan_jax.load(fashion, which="best")
