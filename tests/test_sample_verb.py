"""`sample`: paths, truncation, arithmetic, nearest training examples, films, and what is refused."""

import copy
import functools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from gan_jax import paths
from gan_jax.cli import main, make_parser
from gan_jax.data import DataSpec
from gan_jax.data import load as load_data
from gan_jax.images import grid
from gan_jax.sampling import finished
from gan_jax.sampling import load as opened
from gan_jax.verbs import latent, pairs
from gan_jax.verbs import sample as verb
from tests.films import decoded, none, only

ROOT = Path(__file__).parents[1]
MLP = [
    f"--config={ROOT}/configs/mlp_mnist.py:smoke",
    "--config.data.source=digits",
    "--config.steps=10",
    "--config.monitor=false",
]


load_run = functools.cache(opened)


@pytest.fixture(autouse=True)
def read_once(monkeypatch):
    """A run's networks are compiled once for all tests; test_cli opens each anew, as a user does."""
    monkeypatch.setattr(
        verb, "load", lambda folder, weights, _: load_run(Path(folder), weights)
    )


def trained(folder, *words):
    assert main([*words, f"--workdir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def normal(tmp_path_factory):
    """Normal latents of 100 dimensions, digits of 8 x 8, no labels."""
    words = [*MLP, "--config.model.latent_dist=normal"]
    return trained(tmp_path_factory.mktemp("normal"), *words)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Uniform latents, and a G that is told labels."""
    words = [*MLP, "--config.model.condition=concat"]
    return trained(tmp_path_factory.mktemp("told"), *words)


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    words = [f"--config={ROOT}/configs/ring_plain.py:smoke", "--config.steps=10"]
    return trained(tmp_path_factory.mktemp("ring"), *words)


def sample(folder, out, *words):
    """The exit code of `sample`."""
    return main(["sample", f"--workdir={folder}", f"--out={out}", *words])


def arrays(folder, tmp_path, *words):
    """What `sample` writes as .npz; images and latents agree."""
    out = tmp_path / "x.npz"
    assert sample(folder, out, *words) == 0
    found = dict(np.load(out))
    run = load_run(folder, "ema")
    made = run.generator(run.params, found["latents"], found.get("labels"))
    if "images" in found:
        np.testing.assert_array_equal(finished(made), found["images"])
    return found


def z_of(folder, tmp_path, *words):
    return arrays(folder, tmp_path, *words)["latents"]


def test_a_walk_of_several_dimensions_is_a_block_of_rows_for_each(normal, tmp_path):
    z = z_of(normal, tmp_path, "--walk=5,7,99", "--walk-range=2", "--columns=3")
    blocks = z.reshape(3, 7, 3, 100)  # 64 pictures are 7 rows of 3 in 3 blocks
    base = load_run(normal, "ema").latents(7)
    for block, dim in zip(blocks, (5, 7, 99), strict=True):
        np.testing.assert_allclose(block[..., dim], [[-2, 0, 2]] * 7, atol=1e-6)
        rest = np.delete(block, dim, axis=2)
        still = np.delete(base, dim, axis=1)
        np.testing.assert_array_equal(rest, np.repeat(still[:, None], 3, axis=1))
    default = z_of(normal, tmp_path, "--walk=25").reshape(6, 10, 100)
    np.testing.assert_allclose(default[0, :, 25], np.linspace(-3, 3, 10), atol=1e-6)


def test_a_sorted_walk_takes_sorted_normal_draws(normal, tmp_path):
    words = ["--walk=5", "--walk-sorted", "--n=3000", "--columns=1500"]
    wide = z_of(normal, tmp_path, *words, "--walk-range=10").reshape(2, 1500, 100)
    values = wide[0, :, 5]
    np.testing.assert_array_equal(wide[1, :, 5], values)
    assert (np.diff(values) >= 0).all()
    assert stats.kstest(values, stats.norm(scale=10).cdf).statistic < 0.05
    one = z_of(normal, tmp_path, *words, "--walk-range=1")[:1500, 5]
    np.testing.assert_allclose(values, 10 * one, rtol=1e-5)
    other = z_of(normal, tmp_path, *words, "--walk-range=1", "--seed=1")[:1500, 5]
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("folder", ["normal", "told"])
def test_a_random_walk_begins_at_the_samples(folder, request, tmp_path):
    folder = request.getfixturevalue(folder)
    run, law = load_run(folder, "ema"), paths.LAWS
    z = z_of(folder, tmp_path, "--random-walk", "--n=200", "--columns=20")
    rows = z.reshape(10, 20, 100)
    np.testing.assert_array_equal(rows[:, 0], run.latents(10))
    g = np.asarray(law[run.recipe.model.latent_dist].to(rows))
    moved = np.mean(g[:, :-1] * g[:, 1:])
    np.testing.assert_allclose(moved, np.cos(0.3), atol=0.05)
    short = z_of(folder, tmp_path, "--random-walk", "--n=20", "--stride=0.01")
    rows = short.reshape(2, 10, 100)
    assert 0 < np.abs(np.diff(rows, axis=1)).max() < 0.06


def test_interpolation_by_curve(normal, tmp_path):
    z = load_run(normal, "ema").latents(4)
    made = {
        name: z_of(normal, tmp_path, word, "--n=20", "--columns=5")
        for name, word in (
            ("bare", "--interpolate"),
            ("slerp", "--interpolate=slerp"),
            ("lerp", "--interpolate=lerp"),
            ("both", "--interpolate=both"),
        )
    }
    np.testing.assert_array_equal(made["bare"], made["slerp"])
    rows = {name: x.reshape(4, 5, 100) for name, x in made.items()}
    middle = np.asarray(paths.lerp(z[2], z[3], 0.5))
    np.testing.assert_allclose(rows["lerp"][1, 2], middle, atol=1e-6)
    np.testing.assert_allclose(rows["both"][0::2], rows["slerp"][:2], atol=1e-6)
    np.testing.assert_allclose(rows["both"][1::2], rows["lerp"][:2], atol=1e-6)


@pytest.mark.parametrize(
    ("words", "owners"),
    [
        (["--walk=1,2"], [0, 1, 2, 0, 1, 2]),
        (["--interpolate=both"], [0, 0, 2, 2, 4, 4]),
        (["--interpolate"], [0, 2, 4, 6, 8, 10]),
        (["--random-walk"], [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_row_keeps_the_class_of_its_sample(told, tmp_path, words, owners):
    drawn = arrays(told, tmp_path, "--n=11")["labels"]
    assert len(set(drawn[:4].tolist())) > 2
    labels = arrays(told, tmp_path, "--n=60", *words)["labels"].reshape(6, 10)
    np.testing.assert_array_equal(labels, np.repeat(drawn[owners][:, None], 10, 1))
    asked = arrays(told, tmp_path, "--n=20", "--label=7", *words)
    assert set(asked["labels"].tolist()) == {7}


def test_truncation_with_everything(normal, tmp_path):
    whole = z_of(normal, tmp_path)
    inner = z_of(normal, tmp_path, "--truncation=0.5")
    expected = stats.truncnorm(-0.5, 0.5).ppf(stats.norm.cdf(whole.astype(float)))
    np.testing.assert_allclose(inner, expected, atol=1e-5)
    again = z_of(normal, tmp_path, "--truncation=0.5", "--n=7")
    np.testing.assert_array_equal(again, inner[:7])
    ends = z_of(normal, tmp_path, "--truncation=0.5", "--interpolate", "--n=20")
    rows = ends.reshape(2, 10, 100)
    np.testing.assert_allclose(rows[:, 0], inner[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(rows[:, -1], inner[[1, 3]], atol=1e-6)
    rows = z_of(normal, tmp_path, "--truncation=0.5", "--walk=3", "--n=20")
    rest = np.delete(rows.reshape(2, 10, 100)[:, 4], 3, axis=1)
    np.testing.assert_array_equal(rest, np.delete(inner[:2], 3, axis=1))
    moved = z_of(normal, tmp_path, "--truncation=0.5", "--random-walk", "--n=2000")
    law = stats.truncnorm(-0.5, 0.5)
    assert np.abs(moved).max() <= 0.5
    last = moved.reshape(200, 10, 100)[:, -1].ravel()
    assert stats.kstest(last, law.cdf).statistic < 0.0138


def test_arithmetic_writes_members_means_and_the_result(normal, tmp_path):
    base = arrays(normal, tmp_path)
    z, words = base["latents"], "--arithmetic=3, 7,9 - 1,4+2"
    made = arrays(normal, tmp_path, words)
    means = z[[3, 7, 9]].mean(0), z[[1, 4]].mean(0), z[2]
    np.testing.assert_array_equal(made["latents"][:3], z[[3, 7, 9]])
    np.testing.assert_array_equal(made["images"][4:6], base["images"][[1, 4]])
    for at, mean in zip((3, 6, 8), means, strict=True):
        np.testing.assert_allclose(made["latents"][at], mean, atol=1e-6)
    result = means[0] - means[1] + means[2]
    np.testing.assert_allclose(made["latents"][9], result, atol=1e-6)
    assert len(made["images"]) == 10
    assert sample(normal, tmp_path / "x.png", words) == 0
    white = np.full((8, 8, 1), 255, np.uint8)
    at = [[0, 1, 2, 3], [4, 5, -1, 6], [7, -1, -1, 8], [-1, -1, -1, 9]]
    sheet = [white if i < 0 else made["images"][i] for i in np.ravel(at)]
    shown = np.asarray(Image.open(tmp_path / "x.png"))
    np.testing.assert_array_equal(shown, grid(np.stack(sheet), 4)[..., 0])


def test_arithmetic_of_a_run_with_classes_is_of_one_class(told, tmp_path, capsys):
    assert sample(told, tmp_path / "x.png", "--arithmetic=1-2") == 2
    assert "say by --label" in capsys.readouterr().err
    made = arrays(told, tmp_path, "--arithmetic=-1+2", "--label=3")
    assert made["labels"].tolist() == [3] * 5
    one, _, two, _, result = made["latents"]
    np.testing.assert_allclose(result, two - one, atol=1e-6)


def nearest_by_force(x, train, k):
    a, b = (z.reshape(len(z), -1).astype(np.float64) for z in (x, train))
    squares = ((a[:, None] - b) ** 2).sum(-1)
    rows = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return rows, np.sqrt(np.take_along_axis(squares, rows, 1))


def test_nearest_training_pictures(normal, tmp_path, capsys):
    train = load_data(DataSpec("digits")).images
    made = arrays(normal, tmp_path, "--nearest=3", "--n=5")
    said = capsys.readouterr().out
    rows, distances = nearest_by_force(made["images"], train, 3)
    assert made["nearest"].dtype == np.int32
    assert made["distances"].dtype == np.float32
    np.testing.assert_array_equal(made["nearest"], rows)
    np.testing.assert_allclose(made["distances"], distances, rtol=1e-6)
    ours, theirs = re.search(r": ([\d.]+) of the samples, ([\d.]+) of", said).groups()
    assert float(ours) == pytest.approx(np.median(distances[:, 0]), rel=1e-3)
    own = np.unique(np.linspace(0, len(train) - 1, 1000).round().astype(int))
    among = nearest_by_force(train[own], train, 2)[1][:, 1]
    assert float(theirs) == pytest.approx(np.median(among), rel=1e-3)
    assert sample(normal, tmp_path / "x.png", "--nearest=3", "--n=5") == 0
    beside = np.concatenate([made["images"][:, None], train[rows]], axis=1)
    shown = np.asarray(Image.open(tmp_path / "x.png"))
    sheet = grid(beside.reshape(-1, 8, 8, 1), 4)[..., 0]
    np.testing.assert_array_equal(shown, sheet)


def test_nearest_training_points(ring, tmp_path, capsys):
    out = tmp_path / "x.npz"
    assert sample(ring, out, "--nearest=2", "--n=4") == 0
    found = np.load(out)
    assert found["nearest"].shape == found["distances"].shape == (4, 2)
    assert (np.diff(found["distances"], axis=1) >= 0).all()
    assert sample(ring, tmp_path / "x.png", "--nearest=2") == 2
    assert "name an .npz" in capsys.readouterr().err


def test_other_data_than_the_run_was_trained_on_is_refused(normal, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(normal, folder)
    said = json.loads((folder / "config.json").read_text())
    said["data"]["digest"] = "0" * 64
    (folder / "config.json").write_text(json.dumps(said))
    assert sample(folder, tmp_path / "x.png", "--nearest=2") == 2
    assert "is not what it was" in capsys.readouterr().err


def frames_of(gif):
    with Image.open(gif) as film:
        frames = []
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(np.asarray(film.convert("L")))
        return frames


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (["--walk=3", "--walk-range=30"], [0, 1, 2, 3, 4, 3, 2, 1]),
        (["--interpolate"], [0, 1, 2, 3, 4, 3, 2, 1]),
        (["--random-walk"], [0, 1, 2, 3, 4]),
    ],
)
def test_films_have_the_columns_as_frames(normal, tmp_path, monkeypatch, words, order):
    only(tmp_path / "bin", monkeypatch)
    words = [*words, "--n=15", "--columns=5", "--weights=raw"]
    assert sample(normal, tmp_path / "x.npz", *words) == 0
    columns = np.load(tmp_path / "x.npz")["images"].reshape(3, 5, 8, 8, 1)
    sheets = [grid(columns[:, i]) for i in order]
    assert len({sheets[i].tobytes() for i in range(5)}) == 5
    assert sample(normal, tmp_path / "x.gif", *words) == 0
    gif = frames_of(tmp_path / "x.gif")
    np.testing.assert_array_equal(gif, [sheet[..., 0] for sheet in sheets])
    assert sample(normal, tmp_path / "x.mp4", *words) == 0
    height, width = (side + side % 2 for side in sheets[0].shape[:2])
    film = decoded(tmp_path / "x.mp4", height, width)
    assert len(film) == len(order)
    cut = film[:, : sheets[0].shape[0], : sheets[0].shape[1]].astype(int)
    assert np.abs(cut - np.stack(sheets)).mean() < 6


def test_films_of_points_keep_one_window(ring, tmp_path):
    words = ["--random-walk", "--n=600", "--columns=3"]
    assert sample(ring, tmp_path / "x.gif", *words) == 0
    frames = frames_of(tmp_path / "x.gif")
    assert len(frames) == 3 and frames[0].shape == (384, 384)
    assert all((frame < 255).any() for frame in frames)


def test_an_mp4_without_ffmpeg_names_the_gif(tmp_path, monkeypatch, capsys):
    none(tmp_path, monkeypatch)
    assert sample("nowhere", tmp_path / "x.mp4", "--walk=1") == 2
    said = capsys.readouterr().err
    assert "ffmpeg" in said and ".gif" in said and said.count("\n") == 1


def test_a_failing_ffmpeg_is_a_sentence(normal, tmp_path, monkeypatch, capsys):
    only(tmp_path / "bin", monkeypatch, "echo no such encoder >&2; exit 1")
    assert sample(normal, tmp_path / "x.mp4", "--walk=1") == 2
    said = capsys.readouterr().err
    assert "no such encoder" in said and said.count("\n") == 1
    assert not (tmp_path / "x.mp4").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--walk-range=2"], "--walk-range belongs to --walk: leave it out"),
        (["--walk-sorted", "--interpolate"], "--walk-sorted belongs to --walk"),
        (["--stride=0.1", "--walk=3"], "--stride belongs to --random-walk"),
        (["--columns=3", "--nearest=2"], "--columns belongs to plain samples"),
        (["--columns=3", "--by-class"], "--columns belongs to plain samples"),
        (["--columns=0"], "--columns=0; it must be at least 1"),
        (["--n=0"], "--n=0; it must be at least 1"),
        (["--nearest=0"], "--nearest=0; it must be at least 1"),
        (["--truncation=0"], "--truncation=0; it must be a number above 0"),
        (["--truncation=nan"], "--truncation=nan"),
        (["--walk=1", "--walk-range=-1"], "--walk-range=-1; it must be a number above"),
        (["--walk=1", "--walk-range=inf"], "--walk-range=inf"),
        (["--random-walk", "--stride=0"], "--stride=0; it must be above 0"),
        (["--random-walk", "--stride=2"], "at most 1.5707"),
        (["--walk=a"], "--walk=a; give dimensions with commas"),
        (["--walk=1,"], "--walk=1,; give dimensions"),
        (["--arithmetic=1-"], "--arithmetic=1-; give numbers of samples"),
        (["--arithmetic=1,,2"], "--arithmetic=1,,2"),
        (["--arithmetic="], "--arithmetic=; give"),
        (["--out=x.gif"], "show paths (--interpolate, --walk, --random-walk)"),
        (["--out=x.mp4", "--by-class"], "show paths"),
        (["--out=x.gif", "--nearest=3"], "show paths"),
        (["--out=x.jpg"], "choices: .png, .npz, .gif, .mp4"),
    ],
)
def test_a_flag_that_means_nothing_is_refused_before_any_work(
    words, message, capsys, tmp_path
):
    assert sample("nowhere", tmp_path / "x.png", *words) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("folder", "words", "message"),
    [
        ("normal", ["--walk=5,100"], "--walk=100: the latent space has dimensions"),
        ("normal", ["--walk=-1"], "--walk=-1: the latent space has dimensions"),
        ("normal", ["--arithmetic=1,64-2"], "names sample 64, and there are samples 0"),
        ("normal", ["--nearest=1798"], "1798 nearest of 1797 training examples"),
        ("told", ["--truncation=1"], "those of this run are uniform"),
    ],
)
def test_what_a_run_has_not_is_refused(
    folder, words, message, request, tmp_path, capsys
):
    folder = request.getfixturevalue(folder)
    assert sample(folder, tmp_path / "x.png", *words) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("words", [["--walk=1", "--random-walk"], ["--interpolate=x"]])
def test_modes_exclude_each_other(words, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        sample("nowhere", tmp_path / "x.png", *words)


WORDS = {
    "truncation": "--truncation=1",
    "by_class": "--by-class",
    "interpolate": "--interpolate",
    "walk": "--walk=1",
    "random_walk": "--random-walk",
    "arithmetic": "--arithmetic=1-2",
}


@pytest.mark.parametrize("name", pairs.OF_LATENTS[:-1])
def test_a_run_of_pictures_to_pictures_has_no_latents(name, normal):
    run = copy.copy(load_run(normal, "ema"))
    spec = run.recipe.model.__class__("pix2pix", (8, 8, 3), source_shape=(8, 8, 3))
    run.recipe = run.recipe.__class__(spec)
    args = make_parser("sample").parse_args(["--workdir=x", WORDS[name]])
    latent.check(args)
    with pytest.raises(ValueError, match=f"nor labels: leave {latent.flag(name)} out"):
        pairs.check(args, run)


@pytest.mark.parametrize("flag", ["--back", "--input=x"])
def test_a_run_of_latents_makes_no_pictures_of_pictures(flag, normal, tmp_path, capsys):
    assert sample(normal, tmp_path / "x.png", flag) != 0
    assert "makes no pictures of pictures: leave" in capsys.readouterr().err
    with pytest.raises(ValueError, match="pictures of latents"):
        load_run(normal, "ema").translate(np.zeros((2, 8, 8, 1), np.uint8))


def test_every_flag_is_documented():
    page = (ROOT / "docs/latent.md").read_text() + (ROOT / "README.md").read_text()
    actions = make_parser("sample")._actions
    named = [name for action in actions for name in action.option_strings]
    assert "--truncation" in named
    assert [x for x in named if x.startswith("--") and x not in page] == []
