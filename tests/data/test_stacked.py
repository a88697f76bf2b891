import numpy as np
import pytest

from gan_jax.data import DataError, DataSpec, load
from gan_jax.data.pictures import resize_all

# what was drawn once; a change here is another data set
DIGESTS = {
    "stacked_mnist": "80356a177596952b3a996052b23a9361b558904b4370ce01ac14b1f5fec17010",
    "stacked_digits": "130437cd18bdff5cdeb19eb12e41208f8f010b7072839037bd4a6f5f26abb464",
}


@pytest.mark.parametrize(
    "name, native, side",
    [("stacked_mnist", "mnist_5k", 28), ("stacked_digits", "digits", 8)],
)
def test_every_channel_is_a_digit_of_its_class(name, native, side):
    data, digits = load(DataSpec(source=name)), load(DataSpec(source=native))
    assert (
        data.images.shape == (60_000, side, side, 3) and data.images.dtype == np.uint8
    )
    assert data.digest == DIGESTS[name] and data.name == name
    assert (np.bincount(data.labels) == 60).all() and data.labels.dtype == np.int32
    assert data.label_names[0] == "000" and data.label_names[427] == "427"
    assert len(data.label_names) == 1000
    classes = {}
    for image, label in zip(digits.images, digits.labels, strict=True):
        classes.setdefault(image.tobytes(), set()).add(int(label))
    for image, label in zip(data.images[::40], data.labels[::40], strict=True):
        for channel, digit in enumerate(data.label_names[label]):
            assert int(digit) in classes[image[..., channel].tobytes()]


def test_order_is_mixed_and_all_digits_are_used():
    data, digits = (
        load(DataSpec(source="stacked_digits")),
        load(DataSpec(source="digits")),
    )
    # 1,000 draws without order: 1000 (1 - 1/e) = 632 modes, std 10
    assert 560 < len(np.unique(data.labels[:1000])) < 700
    used = {image.tobytes() for image in data.images[..., 0]}
    assert used == {image.tobytes() for image in digits.images}
    counts = np.unique(
        data.images[..., 2].reshape(60_000, -1), axis=0, return_counts=True
    )
    assert counts[1].max() < 70  # 60,000 / 1,797 = 33 each, std 6


def test_resolution_is_the_resize_of_the_stack():
    data = load(DataSpec(source="stacked_digits", resolution=12, crop=6))
    native = load(DataSpec(source="stacked_digits"))
    np.testing.assert_array_equal(
        data.images[:50], resize_all(native.images[:50], 6, 12)
    )
    assert (data.labels == native.labels).all() and data.digest != native.digest
    with pytest.raises(DataError, match="no split 'test'; choices: train"):
        load(DataSpec(source="stacked_digits", split="test"))
