import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from gan_jax.data import DataError, DataSpec, load, shipped
from gan_jax.data.spec import hasher

SHAPES = {
    ("fashion_mnist", "train"): ((10_000, 28, 28, 1), [1000] * 10),
    ("fashion_mnist", "test"): ((2_000, 28, 28, 1), [200] * 10),
    ("mnist_5k", "train"): ((5_000, 28, 28, 1), [500] * 10),
    ("emoji", "train"): (
        (1_906, 32, 32, 3),
        [169, 386, 159, 131, 218, 85, 264, 224, 270],
    ),
    ("digits", "train"): (
        (1_797, 8, 8, 1),
        [178, 182, 177, 183, 181, 182, 181, 179, 174, 180],
    ),
}


@pytest.mark.parametrize("name, split", SHAPES)
def test_shape_counts_and_digest(name, split):
    data = load(DataSpec(source=name, split=split))
    shape, counts = SHAPES[name, split]
    assert data.images.shape == shape and data.images.dtype == np.uint8
    assert data.labels.dtype == np.int32 and np.bincount(data.labels).tolist() == counts
    assert len(data.label_names) == len(counts) and data.name == name
    digest = hasher(data.images.shape, np.uint8)  # the definition, written out
    digest.update(data.images.tobytes() + data.labels.astype("<i4").tobytes())
    assert data.digest == digest.hexdigest() == shipped.SHIPPED[name].digests[split]


def test_every_shipped_set_is_tested_and_small():
    assert set(SHAPES) == {
        (n, s) for n, row in shipped.SHIPPED.items() for s in row.digests
    }
    assert sum(path.stat().st_size for path in shipped.FOLDER.iterdir()) < 10 * 2**20


def test_digits_are_scikit_learns():
    theirs = load_digits()
    ours = load(DataSpec(source="digits"))
    np.testing.assert_array_equal(
        ours.images[..., 0], np.round(theirs.images * 255 / 16)
    )
    np.testing.assert_array_equal(ours.labels, theirs.target)


def test_pictures_and_labels_belong_together():
    # Nearest class mean of the other split: far above the 10 % of shuffled labels.
    train, test = load(DataSpec()), load(DataSpec(split="test"))
    x, y = train.images.reshape(-1, 784) / 255.0, test.images.reshape(-1, 784) / 255.0
    means = np.stack([x[train.labels == c].mean(0) for c in range(10)])
    guess = ((y[:, None] - means) ** 2).sum(-1).argmin(1)
    assert 0.62 < (guess == test.labels).mean() < 0.75
    assert (
        train.label_names[0] == "T-shirt/top" and train.label_names[9] == "Ankle boot"
    )
    shared = {r.tobytes() for r in train.images} & {r.tobytes() for r in test.images}
    assert not shared


def test_emoji_are_colour_on_white():
    data = load(DataSpec(source="emoji"))
    corners = data.images[data.labels == 0][:, 0, 0]
    assert (corners >= 250).all(1).mean() > 0.95
    faces = data.images[data.labels == 0][:, 16, 16].astype(int)
    assert np.median(faces[:, 0] - faces[:, 2]) > 50  # yellow


def test_resize_is_pillows_bilinear():
    native, big = load(DataSpec()), load(DataSpec(resolution=32))
    assert big.images.shape == (10_000, 32, 32, 1) and big.digest != native.digest
    expected = Image.fromarray(native.images[5, :, :, 0]).resize(
        (32, 32), Image.Resampling.BILINEAR
    )
    np.testing.assert_array_equal(big.images[5, :, :, 0], np.asarray(expected))
    np.testing.assert_array_equal(load(DataSpec(crop=108)).images, native.images)
    cropped = load(DataSpec(source="digits", crop=4))
    np.testing.assert_array_equal(
        cropped.images, load(DataSpec(source="digits")).images[:, 2:6, 2:6]
    )


def test_missing_split_lists_the_choices():
    with pytest.raises(
        DataError, match="'mnist_5k' has no split 'test'; choices: train$"
    ):
        load(DataSpec(source="mnist_5k", split="test"))
    with pytest.raises(DataError, match="no split 'valid'; choices: train, test$"):
        load(DataSpec(split="valid"))


@pytest.mark.parametrize("damage", ["swap", "cut", "remove"])
def test_damage_is_noticed(tmp_path, monkeypatch, damage):
    folder = shutil.copytree(shipped.FOLDER, tmp_path / "shipped")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    load(DataSpec(source="digits"))
    path = folder / "digits_train.webp"
    if damage == "swap":
        labels = np.load(folder / "digits_train.npy")
        np.save(folder / "digits_train.npy", labels[::-1])
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:20_000])
    else:
        path.unlink()
    with pytest.raises(
        DataError, match="digits_train .* is missing or damaged .*git checkout"
    ):
        load(DataSpec(source="digits"))
