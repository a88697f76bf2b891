"""A finished image-to-image run: its pictures, `translate`, `sample`, and what it is measured by."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import config, data, gallery, models
from gan_jax.cli import main
from gan_jax.data.spec import in_memory
from gan_jax.eval import translated
from gan_jax.eval.judge import Judge
from gan_jax.eval.metrics import l1, psnr, ssim
from gan_jax.eval.paired import CAP
from gan_jax.evaluation import drawn, measured
from gan_jax.images import enlarged, grid, to_uint8, with_channels
from gan_jax.sampling import load as opened
from gan_jax.sampling import of_network
from gan_jax.types import UserError
from gan_jax.verbs import pairs

ROOT = Path(__file__).parents[1]
RUNS = {
    "pix2pix": ("pix2pix_edges", "edges:digits", ()),
    "srgan": ("srgan_emoji", "small:digits", ("--config.model.depth=1",)),
    "cyclegan": ("cyclegan_shoes", "domains:digits,0,1", ("--config.model.depth=1",)),
}
TINY = """steps=4 batch_size=4 model.width=4 data.resolution=8 eval.every=4 sample_every=4 log_every=2 monitor=false
    scan_steps=2 checkpoint_every=4""".split()


load = functools.cache(opened)  # a run's networks are compiled once for all tests


def draws(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of each kind, trained when it is first asked for."""
    made = {}

    def get(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            name, source, more = RUNS[kind]
            words = [f"--config.{word}" for word in TINY]
            words += [f"--config.data.source={source}", *more]
            recipe = f"--config={ROOT}/configs/{name}.py:smoke"
            assert main([recipe, *words, f"--workdir={folder}"]) == 0
            made[kind] = folder
        return made[kind]

    return get


def held(folder):
    spec = config.data_spec(load(folder).config)
    return data.load(spec._replace(split="test"))


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# Numbers of pictures


def test_closed_forms_of_flat_pictures():
    a, b = np.full((3, 16, 16, 1), 51, np.uint8), np.full((3, 16, 16, 1), 102, np.uint8)
    assert l1(a, b) == pytest.approx(0.2, abs=1e-12)
    assert psnr(a, b) == pytest.approx(10 * np.log10(25), abs=1e-9)
    c1 = 2.55**2
    expected = (2 * 51 * 102 + c1) / (51**2 + 102**2 + c1)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)
    assert (l1(a, a), psnr(a, a), ssim(a, a)) == (0.0, CAP, pytest.approx(1.0))


def test_psnr_is_a_mean_over_pictures_and_not_of_errors():
    a, b = np.zeros((2, 4, 4, 1), np.uint8), np.zeros((2, 4, 4, 1), np.uint8)
    b[0], b[1] = 255, 51
    assert psnr(a, b) == pytest.approx((0 + 10 * np.log10(25)) / 2, abs=1e-9)
    assert l1(a, b) == pytest.approx(0.6, abs=1e-12)


def test_ssim_of_windows_one_by_one():
    a, b = draws(2, 13, 12, 1), draws(2, 13, 12, 1, seed=1)
    places = np.arange(11) - 5
    taps = np.exp(-(places**2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    c1, c2, values = 2.55**2, 7.65**2, []
    for x, y in zip(a[..., 0].astype(float), b[..., 0].astype(float), strict=True):
        for i in range(3):
            for j in range(2):
                u, v = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
                mu, mv = (window * u).sum(), (window * v).sum()
                vu, vv = (window * (u - mu) ** 2).sum(), (window * (v - mv) ** 2).sum()
                cov = (window * (u - mu) * (v - mv)).sum()
                values.append((2 * mu * mv + c1) * (2 * cov + c2) / ((mu**2 + mv**2 + c1) * (vu + vv + c2)))  # fmt: skip
    assert ssim(a, b) == pytest.approx(np.mean(values), abs=1e-12)


@pytest.mark.parametrize("measure", [l1, psnr, ssim])
def test_only_pairs_have_distances(measure):
    with pytest.raises(UserError):
        measure(draws(2, 4, 4, 1), draws(3, 4, 4, 1))


def test_answers_of_who_does_not_learn():
    grey = draws(2, 8, 8, 1)
    name, made = translated.naive(grey, (8, 8, 3))
    assert name == "copy" and np.array_equal(made, grey.repeat(3, axis=3))
    small = draws(2, 4, 4, 3)
    name, made = translated.naive(small, (16, 16, 3))
    expected = [
        np.asarray(Image.fromarray(x).resize((16, 16), Image.BICUBIC)) for x in small
    ]
    assert name == "bicubic" and np.array_equal(made, np.stack(expected))
    flat = enlarged(np.full((1, 2, 2, 1), 9, np.uint8), 8, 8)
    assert flat.shape == (1, 8, 8, 1) and (flat == 9).all()


def test_colour_becomes_luminance_for_grey():
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 200
    assert (with_channels(red, 1) == 60).all() and with_channels(red, 3) is red


# The judge


@pytest.fixture
def judged(monkeypatch):
    """A judge of 30 held-out pairs, whose image is the source inverted, and its data."""
    a = draws(30, 12, 12, 1)
    test = in_memory(255 - a, None, (), "own", a, True)
    monkeypatch.setattr(data, "load", lambda spec: test)
    train = in_memory(draws(40, 12, 12, 1), None, (), "own", draws(40, 12, 12, 1), True)
    return Judge(data.DataSpec(source="own"), train), test


def never():
    raise AssertionError("translations are not made of latents")


def values_of(judge, n, sample, metrics="auto"):
    asked = judge.requests(metrics)
    judge.prepare(asked)
    given = drawn(judge, n, 0, never)
    return {v.name: v for v in measured(judge, asked, given, sample)}


@pytest.mark.parametrize("n", [7, 1000])
def test_a_perfect_translation_is_compared_with_its_own_picture(judged, n):
    judge, test = judged
    found = values_of(judge, n, lambda fed, each, back=False: 255 - fed.z)
    assert list(found) == ["l1", "psnr", "ssim"]
    assert found["l1"].value == 0 and found["psnr"].value == CAP
    assert found["ssim"].value == pytest.approx(1)
    said = found["l1"].protocol
    assert said["n_fake"] == min(n, 30) and said["split"] == "test"
    assert said["baseline"] == "copy" and "latents_seed" not in said
    if n > 30:
        assert said["baseline_value"] == l1(test.sources, test.images)


def test_a_lazy_translation_has_the_value_of_the_baseline(judged):
    found = values_of(judged[0], 1000, lambda fed, each, back=False: fed.z)
    for value in found.values():
        assert value.value == pytest.approx(value.protocol["baseline_value"])


def test_a_seed_of_latents_is_refused(judged):
    with pytest.raises(UserError, match="--seed=3 is of latents"):
        drawn(judged[0], 5, 3, never)


def test_other_metrics_take_the_translations(judged):
    judge, test = judged
    found = values_of(
        judge, 99, lambda fed, each, back=False: test.images, "fd_raw,swd_raw"
    )
    assert abs(found["fd_raw"].value) < 1e-6 and abs(found["swd_raw"].value) < 1e-9
    with pytest.raises(UserError, match="target"):
        judge.requests("target")


def test_pictures_alone_are_no_translations(judged):
    judge, test = judged
    with pytest.raises(UserError, match="measure a run"):
        judge.measure(judge.requests("l1"), test.images)


def test_two_domains(monkeypatch):
    """Dark sources and light images: a classifier is right, copies are sources, inverted ones are images."""

    def domains(n, seed):
        a = draws(n, 8, 8, 1, seed=seed) // 3
        b = 255 - draws(n, 8, 8, 1, seed=seed + 1) // 3
        return in_memory(b, None, (), f"own {seed}", a, False)

    test = domains(40, 5)
    monkeypatch.setattr(data, "load", lambda spec: test)
    judge = Judge(data.DataSpec(source="own"), domains(200, 0))
    found = values_of(judge, 99, lambda fed, each, back=False: 255 - fed.z)
    assert list(found) == ["target", "cycle"]
    assert found["target"].value == 1 and found["cycle"].value == 0
    assert found["target"].protocol["accuracy"] == 1
    found = values_of(judge, 99, lambda fed, each, back=False: fed.z + np.uint8(back))
    assert found["target"].value == 0
    assert found["cycle"].value == pytest.approx(1 / 255)
    with pytest.raises(UserError, match="l1"):
        judge.requests("l1")


# Runs


def test_small_and_grey_pictures_beside_large_ones_in_colour():
    small, large = draws(3, 2, 2, 1), draws(3, 8, 8, 3)
    strips = gallery.beside(small, large)
    tall = small.repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3)
    assert np.array_equal(strips[1], grid(np.stack([tall[1], large[1]]), 2))


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_from_end_to_end(kind, runs, tmp_path, capsys):
    folder = runs(kind)
    run, examples = load(folder), held(folder)
    rows = rows_of(folder / "eval.jsonl")
    names = {"cyclegan": ["target", "cycle"]}.get(kind, ["l1", "psnr", "ssim"])
    assert [row["metric"] for row in rows] == names
    assert rows[0]["protocol"]["n_fake"] == len(examples.images)
    assert main(["eval", f"--workdir={folder}", "--step=best"]) == 0
    again = rows_of(folder / "eval.jsonl")[len(rows) :]
    assert [row["value"] for row in again] == [row["value"] for row in rows]
    key = jax.random.fold_in(jax.random.key(run.config.seed), 2**32 - 1)
    few = gallery.chosen(examples, key, 16)
    shown = gallery.beside(*gallery.translated(run.pictures, run.networks, few))
    picture = grid(shown, gallery.across(shown))
    with Image.open(folder / "samples/step_00000004.png") as there:
        assert np.array_equal(np.asarray(there), picture.squeeze())
    assert (folder / "samples/training.gif").is_file()
    out = tmp_path / "x.npz"
    assert main(["sample", f"--workdir={folder}", "--n=5", f"--out={out}"]) == 0
    found = dict(np.load(out))
    assert set(found) == {"images", "sources"} and found["sources"].dtype == np.uint8
    assert np.array_equal(found["images"], run.translate(found["sources"]))
    drawn_few = gallery.chosen(examples, jax.random.key(0), 5)
    assert np.array_equal(found["sources"], drawn_few.sources)
    out = tmp_path / "x.png"
    assert main(["sample", f"--workdir={folder}", "--n=5", f"--out={out}"]) == 0
    shown = gallery.beside(*gallery.translated(run.pictures, run.networks, drawn_few))
    with Image.open(out) as there:
        assert np.array_equal(
            np.asarray(there), grid(shown, gallery.across(shown)).squeeze()
        )
    report = tmp_path / "report.html"
    assert main(["report", f"--workdir={folder}", f"--out={report}"]) == 0
    assert report.stat().st_size > 1000


def by_hand(run, pictures, name=""):
    params, vars = run.params["params"], run.params["vars"]
    if name:
        params, vars = params[name], vars[name]
    gen = models.build(run.recipe.model).gen
    x = jnp.float32(pictures) / 127.5 - 1
    return np.asarray(gen.apply(params, vars, run.hyper, x, train=False)[0])


@pytest.mark.parametrize("back", [False, True])
def test_translate_is_the_network(back, runs):
    run, examples = load(runs("cyclegan")), held(runs("cyclegan"))
    x = (examples.images if back else examples.sources)[:6]
    expected = by_hand(run, x, ("there", "back")[back])
    assert np.ptp(expected) > 0
    found = run.translate(x, back)
    assert np.abs(found - (expected + 1) * 127.5).max() < 0.51
    floats = x.astype(np.float32) / 127.5 - 1
    assert np.abs(run.translate(floats, back).astype(int) - found).max() <= 1
    other = run.translate(x, not back)
    assert not np.array_equal(found, other)


def test_floats_of_a_generator(runs):
    run, examples = load(runs("srgan")), held(runs("srgan"))
    x = examples.sources[:6]
    expected = by_hand(run, x)
    np.testing.assert_allclose(run.generator(run.params, x), expected, atol=1e-5)
    assert np.array_equal(to_uint8(run.generator(run.params, x)), run.translate(x))


def test_discriminators(runs):
    examples = held(runs("pix2pix"))
    x, y = (np.float32(p[:4]) / 127.5 - 1 for p in (examples.sources, examples.images))
    run = load(runs("pix2pix"))
    pair = np.concatenate([x, y], axis=3)
    assert run.discriminator(pair).logits.shape == (4 * 16,)
    with pytest.raises(UserError, match="2 channels of one, not 1"):
        run.discriminator(y)
    assert load(runs("cyclegan")).discriminator(y).logits.shape == (4 * 16,)


def test_what_a_run_refuses(runs, tmp_path):
    run = load(runs("pix2pix"))
    for call in (lambda: run.sample(3), lambda: run.latents(3)):
        with pytest.raises(UserError, match="run.translate"):
            call()
    for wrong in (draws(2, 8, 8, 3), draws(0, 8, 8, 1), draws(2, 8, 8, 1).astype(int)):
        with pytest.raises(UserError, match=r"pictures \[n, 8, 8, 1\]"):
            run.translate(wrong)
    with pytest.raises(UserError, match="one way only"):
        run.translate(draws(2, 8, 8, 1), back=True)


def said_by(capsys, kind, runs, *words):
    assert main(["sample", f"--workdir={runs(kind)}", *words]) != 0
    return capsys.readouterr().err


def test_flags_that_are_refused(runs, tmp_path, capsys):
    out = f"--out={tmp_path / 'x.png'}"
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    for words, said in [
        (["--back"], "one way only"),
        (["--walk=3"], "leave --walk out"),
        (["--label=1"], "leave --label out"),
        ([f"--input={tmp_path / 'nothing'}"], "that is there"),
        ([f"--input={tmp_path / 'text.png'}"], "text.png"),
        ([f"--input={tmp_path / 'empty'}"], "empty"),
    ]:
        assert said in said_by(capsys, "pix2pix", runs, out, *words), words
    words = [out, "--back", "--nearest=2"]
    assert "makes sources" in said_by(capsys, "cyclegan", runs, *words)
    assert not (tmp_path / "x.png").exists()


def test_own_pictures(runs, tmp_path):
    """A folder of colour pictures of any size, one of them, and an .npz, for a run of grey ones."""
    folder = tmp_path / "own"
    folder.mkdir()
    own = draws(3, 8, 8, 3)
    for i, picture in enumerate(own):
        Image.fromarray(picture).save(folder / f"{i}.png")
    np.savez(tmp_path / "own.npz", images=own)
    run, out = load(runs("cyclegan")), tmp_path / "out.npz"
    expected = with_channels(own, 1)
    for path, many in ((folder, 3), (folder / "0.png", 1), (tmp_path / "own.npz", 3)):
        for back in (False, True):
            words = [f"--workdir={runs('cyclegan')}", f"--input={path}", f"--out={out}"]
            assert main(["sample", *words, *["--back"] * back]) == 0
            found = np.load(out)
            assert np.array_equal(found["sources"], expected[:many])
            assert np.array_equal(found["images"], run.translate(expected[:many], back))
    Image.fromarray(draws(30, 20, 3)).save(tmp_path / "tall.png")
    assert pairs.read(str(tmp_path / "tall.png"), (8, 8, 3)).shape == (1, 8, 8, 3)
    words = [f"--workdir={runs('cyclegan')}", f"--input={folder}"]
    assert main(["sample", *words, f"--out={tmp_path / 'x.png'}"]) == 0
    strips = gallery.beside(expected, run.translate(expected))
    with Image.open(tmp_path / "x.png") as there:
        sheet = grid(strips, gallery.across(strips)).squeeze()
        assert np.array_equal(np.asarray(there), sheet)


def test_nearest_training_pictures_of_translations(runs, tmp_path):
    out, folder = tmp_path / "x.npz", runs("cyclegan")
    words = ["--n=3", "--nearest=2", f"--out={out}"]
    assert main(["sample", f"--workdir={folder}", *words]) == 0
    assert np.load(out)["nearest"].shape == (3, 2)


def test_one_network_has_no_way_back():
    with pytest.raises(UserError, match="one way only"):
        of_network({"params": {}, "vars": {}}, (), True)
