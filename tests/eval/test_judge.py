"""Every metric ranks real, noisy, blurred and collapsed clothes as a person would; names and protocols."""

import numpy as np
import pytest
from PIL import Image

from gan_jax import data
from gan_jax.data.spec import DataSpec, in_memory
from gan_jax.data.toy import CENTRES
from gan_jax.eval.judge import Judge
from gan_jax.eval.measures import METRICS, Request, direction, names, parse
from gan_jax.types import UserError

N = 600
WHOLE = data.load(DataSpec())


def noisy(images, std):
    noise = np.random.default_rng(0).normal(0, std, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


def blurred(images):
    small = [Image.fromarray(x[..., 0]).resize((7, 7), Image.BOX) for x in images]
    return np.stack([np.asarray(x.resize((28, 28))) for x in small])[..., None]


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    train = in_memory(
        WHOLE.images[:2000], WHOLE.labels[:2000], WHOLE.label_names, "fashion_mnist"
    )
    return Judge(DataSpec(cache_dir=cache), train)


@pytest.fixture(scope="module")
def found(judge):
    """{set: {value: number}} of every metric, of sets that a person can rank."""
    held_out = WHOLE.images[2000 : 2000 + N]
    sets = {
        "real": held_out,
        "noise 10": noisy(held_out, 10),
        "noise 60": noisy(held_out, 60),
        "blur": blurred(held_out),
        "collapsed": np.repeat(held_out[:5], N // 5, axis=0),
        "copies": WHOLE.images[:N],
    }
    on_features = [name for name, row in METRICS.items() if row.features]
    asked = judge.requests(",".join([*on_features, "ms_ssim"]), "classifier")
    return {
        name: {value.name: value.value for value in judge.measure(asked, images)}
        for name, images in sets.items()
    }


DISTANCES = ["fd", "fd_infinity", "kid", "swd"]
QUALITIES = {  # to which share of the real pictures' value a fault brings it at most
    "precision": 0.9,
    "f1": 0.9,
    "density": 0.8,
    "coverage": 0.8,
    "prd_precision_f1_8": 0.98,
}


@pytest.mark.parametrize("value", DISTANCES)
@pytest.mark.parametrize("worse", ["noise 60", "blur", "collapsed"])
def test_distances_rise_with_every_fault(value, worse, found):
    name = f"{value}_classifier"
    assert found["real"][name] < found["noise 10"][name] < found["noise 60"][name]
    assert found[worse][name] > 2 * found["real"][name]


@pytest.mark.parametrize("value", QUALITIES)
@pytest.mark.parametrize("worse", ["noise 60", "blur"])
def test_quality_falls_with_every_fault(value, worse, found):
    name = f"{value}_classifier"
    assert found[worse][name] < QUALITIES[value] * found["real"][name]


def test_a_collapsed_generator_is_precise_and_covers_little(found):
    real, collapsed = found["real"], found["collapsed"]
    for value in ("recall", "coverage", "f1"):
        name = f"{value}_classifier"
        assert collapsed[name] < 0.6 * real[name], name
    assert collapsed["precision_classifier"] > 0.7
    assert collapsed["is_classifier"] < real["is_classifier"]
    name = "prd_recall_f8_classifier"
    assert collapsed[name] < real[name]


def test_pictures_of_a_collapsed_generator_are_alike(found):
    fakes = {name: values["ms_ssim_fake"] for name, values in found.items()}
    assert fakes["collapsed"] > fakes["real"] + 0.05
    assert abs(fakes["real"] - found["real"]["ms_ssim_real"]) < 0.05


def test_copies_are_nearer_to_the_training_pictures_than_held_out_ones(found):
    name = "memorisation_copying_classifier"
    assert found["copies"][name] == 1.0
    assert found["copies"]["memorisation_fake_to_train_classifier"] == 0.0
    assert 0.4 < found["real"][name] < 0.6
    assert found["noise 60"][name] < found["real"][name]


def test_a_value_says_how_it_was_made(judge, found):
    del found  # made the references
    (kid,) = judge.measure(judge.requests("kid_classifier"), WHOLE.images[:50])
    assert kid.name == "kid_classifier" and kid.std is not None
    said = kid.protocol
    assert said["n_fake"] == 50 and said["n_real"] == 2000 and said["split"] == "train"
    assert said["subset_size"] == 50 and said["seed"] == 2020
    assert len(said["network"]) == 64 and len(said["data"]) == 64 and said["resize"]


@pytest.mark.parametrize(
    ("word", "request_", "full"),
    [
        ("fid", Request("fd", "inception"), "fid"),
        ("fid_infinity", Request("fd_infinity", "inception"), "fid_infinity"),
        ("fd", Request("fd", "raw"), "fd_raw"),
        ("fd_inception", Request("fd", "inception"), "fid"),
        ("kid_alexnet", Request("kid", "alexnet"), "kid_alexnet"),
        ("kid_inception", Request("kid", "inception"), "kid"),
        ("fd_infinity_classifier", Request("fd_infinity", "classifier"), "fd_infinity_classifier"),
        ("ms_ssim", Request("ms_ssim", ""), "ms_ssim_fake"),
    ],
)  # fmt: skip
def test_a_result_bears_the_name_of_its_network(word, request_, full):
    assert parse(word, "raw") == request_
    assert names([request_])[0] == full
    assert direction(full) in (-1, 1)


@pytest.mark.parametrize("word", ["fidd", "fid_classifier", "kid_vgg", "ms_ssim_raw"])
def test_an_unknown_metric_is_refused_with_the_choices(word):
    with pytest.raises(UserError, match=f"unknown metric '{word}'.*choices: fid"):
        parse(word, "raw")


def test_points_and_what_does_not_suit_them():
    ring = data.load(DataSpec(source="ring"))
    judge = Judge(DataSpec(source="ring"), ring)
    assert names(judge.requests("auto")) == ["modes", "high_quality", "reverse_kl"]
    values = judge.measure(judge.requests("modes,fd"), ring.images[:2500])
    by_name = {value.name: value.value for value in values}
    assert by_name["modes"] == len(CENTRES["ring"]) and by_name["fd_raw"] < 1e-2
    for name in ("stacked", "ms_ssim", "memorisation"):
        with pytest.raises(UserError, match=f"'{name}' is not for ring; choices here"):
            judge.requests(name)
    with pytest.raises(UserError, match="points are no pictures"):
        judge.prepare(judge.requests("kid_alexnet"))


def test_stacked_digits_are_read_channel_by_channel(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path))
    spec = DataSpec(source="stacked_digits")
    whole = data.load(spec)
    judge = Judge(spec, whole)
    values = judge.measure(judge.requests("auto"), whole.images[:3000])
    by_name = {value.name: value.value for value in values}
    labels = whole.labels[:3000]
    assert abs(by_name["stacked_modes"] - len(set(labels.tolist()))) < 25
    assert values[0].protocol["kl_floor"] == pytest.approx(0.18, abs=0.03)


def test_no_labels_and_other_sizes_are_said(judge):
    bare = in_memory(WHOLE.images[:100], None, (), "bare")
    with pytest.raises(UserError, match="classifier needs labelled pictures"):
        Judge(DataSpec(), bare).prepare([Request("fd", "classifier")])
    with pytest.raises(UserError, match="--resolution"):
        judge.measure([Request("fd", "raw")], np.zeros((4, 32, 32, 1), np.uint8))
    with pytest.raises(UserError, match="inception score needs classes"):
        judge.measure([Request("is", "raw")], WHOLE.images[:20])
