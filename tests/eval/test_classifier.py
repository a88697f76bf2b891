import jax
import numpy as np
import pytest

from gan_jax.data import DataSpec, load
from gan_jax.data.spec import in_memory
from gan_jax.eval import classifier
from gan_jax.eval.classifier import load_or_train, train_classifier
from gan_jax.types import UserError
from tests.eval.test_reference import lie

OPTIMISED = True  # training takes longer than compiling
TRAIN = 1500


@pytest.fixture(scope="module")
def digits():
    return load(DataSpec(source="digits"))


@pytest.fixture(scope="module")
def trained(digits):
    return train_classifier(digits.images[:TRAIN], digits.labels[:TRAIN], 10, epochs=5)


@pytest.fixture
def small(digits):
    """A data set on which training takes no time."""
    return in_memory(
        digits.images[:128], digits.labels[:128], digits.label_names, "small"
    )


@pytest.fixture
def trainings(monkeypatch):
    """A list that grows by one for each training."""
    calls = []
    true = classifier.train_classifier
    monkeypatch.setattr(
        classifier,
        "train_classifier",
        lambda *args: calls.append(1) or true(*args, epochs=1),
    )
    return calls


def same(one, two):
    return one.shape == two.shape and jax.tree.all(
        jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), one.params, two.params)
    )


def test_held_out_accuracy(digits, trained):
    images, labels = digits.images[TRAIN:], digits.labels[TRAIN:]
    accuracy = trained.accuracy(images, labels)
    assert 0.9 < accuracy <= 1
    guess = trained.logits(images).argmax(1)
    assert accuracy == pytest.approx(np.mean(guess == labels))
    # labels of other pictures are guessed by chance
    assert trained.accuracy(images, np.roll(labels, 5)) < 0.3


def test_shapes_and_the_last_layer(digits, trained):
    """More pictures than one part, and each picture alone gives its own row."""
    images = digits.images[:1001]
    features, logits = trained.features(images), trained.logits(images)
    assert features.shape == (1001, 64) and logits.shape == (1001, 10)
    assert features.dtype == logits.dtype == np.float32 and features.min() == 0
    out = trained.params["out"]
    np.testing.assert_allclose(logits, features @ out["w"] + out["b"], atol=1e-3)
    for i in (0, 499, 500, 1000):
        np.testing.assert_allclose(
            trained.logits(images[i : i + 1])[0], logits[i], atol=1e-4
        )


def test_the_network_against_a_plain_convolution(digits, trained):
    """The first layer by its definition: 4 x 4, stride 2, 'same' with a zero on each side."""
    image = digits.images[3].astype(np.float64) / 127.5 - 1
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    w, b = trained.params["conv1"]["w"], trained.params["conv1"]["b"]
    first = np.zeros((4, 4, 16))
    for i in range(4):
        for j in range(4):
            patch = padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
            first[i, j] = np.tensordot(patch, w, 3) + b
    padded = np.pad(np.maximum(first, 0), ((1, 1), (1, 1), (0, 0)))
    w, b = trained.params["conv2"]["w"], trained.params["conv2"]["b"]
    second = np.zeros((2, 2, 32))
    for i in range(2):
        for j in range(2):
            patch = padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
            second[i, j] = np.tensordot(patch, w, 3) + b
    dense = trained.params["dense"]
    expected = np.maximum(np.maximum(second, 0).ravel() @ dense["w"] + dense["b"], 0)
    np.testing.assert_allclose(
        trained.features(digits.images[3:4])[0], expected, rtol=1e-4, atol=1e-4
    )


def test_deterministic_for_a_seed(small):
    args = small.images, small.labels, 10
    one = train_classifier(*args, epochs=1)
    assert same(one, train_classifier(*args, seed=0, epochs=1))
    assert not same(one, train_classifier(*args, seed=1, epochs=1))
    assert not same(one, train_classifier(*args, epochs=0))


def test_odd_sizes_and_colour():
    """A 7 x 10 colour picture whose class is its red channel."""
    labels = np.arange(128) % 2
    images = np.random.default_rng(0).integers(0, 256, (128, 7, 10, 3), np.uint8)
    images[..., 0] = 60 + 120 * labels[:, None, None]
    got = train_classifier(images, labels, 2, epochs=20)
    assert got.features(images[:3]).shape == (3, 64)
    assert got.accuracy(images, labels) > 0.95


def test_cached_by_the_data(small, trainings, tmp_path):
    first = load_or_train(small, str(tmp_path))
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".npz" and len(trainings) == 1
    second = load_or_train(small._replace(name="other"), str(tmp_path))
    assert len(trainings) == 1 and same(first, second)
    np.testing.assert_array_equal(
        first.logits(small.images), second.logits(small.images)
    )
    other = in_memory(small.images[::-1], small.labels, small.label_names, "small")
    assert not same(load_or_train(other, str(tmp_path)), first)
    assert len(trainings) == 2 and len(list(tmp_path.iterdir())) == 2


def test_cache_folder_of_the_environment(small, trainings, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "own"))
    load_or_train(small)
    assert len(list((tmp_path / "own").iterdir())) == 1 == len(trainings)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the classifier.*GAN_JAX_CACHE"):
        load_or_train(small, str(tmp_path / "file"))


@pytest.mark.parametrize("damage", ["cut", "text", "lying", "other data", "objects"])
def test_a_damaged_file_is_written_again(small, trainings, tmp_path, damage):
    first = load_or_train(small, str(tmp_path))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_text("no zip")
    elif damage == "lying":
        lie(path, "out.w")
    else:
        with np.load(path) as file:
            arrays = dict(file)
        if damage == "other data":
            arrays["digest"] = "0" * 64
        else:
            arrays["out.w"] = np.array([print], dtype=object)
        np.savez(path, **arrays)
    assert same(load_or_train(small, str(tmp_path)), first) and len(trainings) == 2
    assert same(load_or_train(small, str(tmp_path)), first) and len(trainings) == 2


def test_refusals(small, trained, tmp_path):
    images, labels = small.images, small.labels
    for args, message in (
        ((images[:63], labels[:63], 10), r"at least 64 .*uint8 \[63, 8, 8, 1\]"),
        ((images / 255, labels, 10), "not float64"),
        ((images[..., 0], labels, 10), r"not uint8 \[128, 8, 8\]"),
        ((images, labels[:9], 10), "labels must be 128 whole numbers"),
        ((images, labels / 1, 10), "not float64"),
        ((images, labels, 9), "labels are 0 to 9, and must be 0 to 8"),
    ):
        with pytest.raises(UserError, match=message):
            train_classifier(*args)
    with pytest.raises(UserError, match="needs labels, and data source 'small' has no"):
        load_or_train(small._replace(labels=None), str(tmp_path))
    for bad in (images / 255, images[:, :4], images[0]):
        with pytest.raises(UserError, match=r"takes pictures uint8 \[N, 8, 8, 1\]"):
            trained.logits(bad)
    with pytest.raises(UserError, match="no pictures"):
        trained.features(images[:0])
