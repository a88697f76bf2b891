"""The command line: exit codes, one-sentence errors, help, samples."""

import errno
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax.cli import VERBS, main
from gan_jax.fields import FIELDS
from tests.test_train import finish

ROOT = Path(__file__).parents[1]
OFF = "--config.monitor=false"
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
    assert main([FASHION, "--config.steps=10", OFF, f"--workdir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ring")
    assert main([RING, "--config.steps=10", OFF, f"--workdir={folder}"]) == 0
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


MLP = [
    f"--config={ROOT}/configs/mlp_mnist.py:smoke",
    "--config.data.source=fashion_mnist",
    "--config.steps=10",
]
CODES = ["objective=infogan", "model.codes=1", "model.code_classes=3"]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    words = [*MLP, "--config.model.condition=concat", f"--workdir={folder}"]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coded")
    words = [*MLP, *(f"--config.{x}" for x in CODES), f"--workdir={folder}"]
    assert main(words) == 0
    return folder


def samples(folder, out, *words):
    out = out / "x.npz"
    assert main(["sample", f"--workdir={folder}", f"--out={out}", *words]) == 0
    return np.load(out)


def test_labels_are_drawn_and_written_beside_the_pictures(told, tmp_path):
    data = samples(told, tmp_path, "--n=50")
    assert data["labels"].shape == (50,) and data["labels"].dtype == np.int32
    assert len(set(data["labels"].tolist())) > 5
    same = samples(told, tmp_path, "--n=50", "--columns=5")
    assert all(np.array_equal(data[x], same[x]) for x in data)
    run = gan_jax.load(told)
    made = run.generator(run.params, data["latents"], data["labels"])
    assert np.array_equal(gan_jax.sampling.finished(made), data["images"])


@pytest.mark.parametrize("label", ["8", "Bag"])
def test_a_label_by_number_or_name(told, tmp_path, label):
    data = samples(told, tmp_path, "--n=3", f"--label={label}")
    assert data["labels"].tolist() == [8, 8, 8]
    assert np.array_equal(gan_jax.load(told).sample(3, label=8), data["images"])


def test_every_picture_has_its_own_label(told):
    run = gan_jax.load(told)
    z = run.latents(3)
    mixed = run.generator(run.params, z, np.array([4, 0, 4]))
    fours, zeros = (run.generator(run.params, z, label) for label in (4, 0))
    assert np.array_equal(mixed, np.stack([fours[0], zeros[1], fours[2]]))
    assert np.abs(fours - zeros).max() > 1e-6
    logits = [run.discriminator(fours, np.full(3, x)).logits for x in (4, 0)]
    assert np.any(logits[0] != logits[1])


def test_a_grid_by_class(told, coded, tmp_path):
    data = samples(told, tmp_path, "--n=20", "--by-class")
    assert data["labels"].tolist() == [*range(10), *range(10)]
    assert np.array_equal(data["latents"][0], data["latents"][9])
    data = samples(coded, tmp_path, "--n=6", "--by-class")
    assert "labels" not in data
    codes = data["latents"][:, -3:].reshape(2, 3, 3)
    assert np.array_equal(codes, [np.eye(3)] * 2)
    out = tmp_path / "grid.png"
    words = ["sample", f"--workdir={told}", "--n=20", "--by-class", f"--out={out}"]
    assert main(words) == 0
    height, width = np.asarray(Image.open(out)).shape[:2]
    assert width > 4 * height, "two rows of ten"


def test_a_path_keeps_its_class(told, tmp_path):
    data = samples(told, tmp_path, "--n=20", "--columns=5", "--interpolate")
    rows = data["labels"].reshape(4, 5)
    assert np.array_equal(rows, np.repeat(rows[:, :1], 5, axis=1))
    data = samples(told, tmp_path, "--n=20", "--walk=1", "--label=7")
    assert set(data["labels"].tolist()) == {7}


def test_a_code_of_infogan_by_its_number(coded, tmp_path):
    data = samples(coded, tmp_path, "--n=2", "--label=1")
    assert np.array_equal(data["latents"][:, -3:], [[0, 1, 0]] * 2)


@pytest.mark.parametrize(
    ("folder", "words", "message"),
    [
        ("told", ["--label=10"], "classes 0 to 9 (T-shirt"),
        ("told", ["--label=-1"], "classes 0 to 9"),
        ("told", ["--label=Bagg"], "did you mean 'Bag'"),
        ("told", ["--label=1", "--by-class"], "no --label"),
        ("coded", ["--label=3"], "classes 0 to 2\n"),
        ("coded", ["--label=Bag"], "choices: 0, 1, 2"),
        ("fashion", ["--label=Bag"], "without labels"),
        ("fashion", ["--label=1"], "without labels"),
        ("fashion", ["--by-class"], "needs a run with classes"),
    ],
)
def test_a_class_that_is_not_there_is_refused(
    folder, words, message, request, tmp_path, capsys
):
    workdir = f"--workdir={request.getfixturevalue(folder)}"
    assert main(["sample", workdir, f"--out={tmp_path / 'x.png'}", *words]) == 2
    assert message in capsys.readouterr().err


def test_labels_that_do_not_fit_are_refused(told):
    run = gan_jax.load(told)
    with pytest.raises(ValueError, match="2 labels for 3 latents"):
        run.sample(3, label=[1, 2])
    with pytest.raises(ValueError, match="label 12"):
        run.sample(2, label=[1, 12])
    with pytest.raises(ValueError, match="told the class"):
        run.discriminator(np.zeros((2, 28, 28, 1), np.float32))


def failing(monkeypatch, error, verb="report"):
    """Make a verb end in an error."""

    def run(*_):
        raise error

    monkeypatch.setitem(VERBS, verb, VERBS[verb]._replace(run=run))
    return [verb, "--workdir=x"] if verb != "train" else [RING]


def full():
    """What jax raises where memory ends."""
    return jax.errors.JaxRuntimeError(
        "RESOURCE_EXHAUSTED: Out of memory allocating 800 bytes.\nand more\nlines"
    )


@pytest.mark.parametrize(
    ("verb", "error", "said"),
    [
        (
            "report",
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            "error: /a/b: No space left on device; free space or choose another folder, "
            "then give the same command again\n",
        ),
        (
            "report",
            OSError(errno.EACCES, "Permission denied"),
            "error: Permission denied; change its rights or choose another folder\n",
        ),
        ("report", OSError("of our own"), "error: of our own\n"),
        ("report", OSError(errno.EBADF, "Bad", "/a"), "error: /a: Bad\n"),
        (
            "train",
            MemoryError("Unable to allocate 8 GiB"),
            "error: out of memory: lower --config.batch_size or --config.model.width "
            "(Unable to allocate 8 GiB)\n",
        ),
        ("train", MemoryError(), "--config.model.width (MemoryError)\n"),
        ("train", full(), "allocating 800 bytes.)\n"),
        ("sample", full(), "error: out of memory: lower --n ("),
        ("eval", MemoryError(), "error: out of memory: lower --n ("),
    ],
)
def test_what_the_machine_lacks_is_one_sentence(verb, error, said, monkeypatch, capsys):
    assert main(failing(monkeypatch, error, verb)) == 2
    text = capsys.readouterr().err
    assert said in text and text.startswith("error: ") and text.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [jax.errors.JaxRuntimeError("INTERNAL: a bug"), KeyError("a bug"), ValueError("x")],
)
def test_a_bug_keeps_its_traceback(error, monkeypatch):
    with pytest.raises(type(error)):
        main(failing(monkeypatch, error))


def test_more_memory_than_there_is(ring, tmp_path, capsys):
    out = f"--out={tmp_path / 'x.png'}"
    assert main(["sample", f"--workdir={ring}", "--n=1000000000000", out]) == 2
    text = capsys.readouterr().err
    assert "out of memory: lower --n (" in text and text.count("\n") == 1


def test_a_stop_before_training_is_quiet(tmp_path, monkeypatch, capsys):
    strike = ("SIGINT", "gan_jax.train:assemble", 1)
    code, text = finish(tmp_path / "run", RING, strike=strike)
    assert (code, text) == (130, "")
    assert not (tmp_path / "run").exists()
    assert main(failing(monkeypatch, KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("verb", ["train", "report"])
def test_a_closed_pipe_ends_the_output_quietly(verb, ring, tmp_path):
    own = ["--help"] if verb == "train" else [f"--workdir={ring}"]
    own += [] if verb == "train" else [f"--out={tmp_path / 'x.html'}"]
    with subprocess.Popen(
        [sys.executable, "launch.py", verb, *own],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as made:
        made.stdout.close()
        assert made.stderr.read() == b""
    # argparse itself says nothing of help that nobody reads
    assert made.returncode in ({0, 141} if verb == "train" else {141})
