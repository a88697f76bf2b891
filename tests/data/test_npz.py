import io
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from gan_jax.data import DataError, DataSpec, load
from gan_jax.feeding import Fed
from gan_jax.verbs.sample import write_npz

COLOUR = np.random.default_rng(0).integers(0, 256, (10, 6, 8, 3), np.uint8)
POINTS = np.random.default_rng(1).standard_normal((10, 2)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.npz"


def spec(path, **fields):
    return DataSpec(source=f"npz:{path}", **fields)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pictures(path, save):
    save(path, images=COLOUR, labels=np.arange(10) % 3)
    data = load(spec(path))
    np.testing.assert_array_equal(data.images, COLOUR[:, :, 1:7])  # the centred square
    assert data.labels.tolist() == [0, 1, 2] * 3 + [0] and data.labels.dtype == np.int32
    assert data.label_names == ("0", "1", "2") and isinstance(data.images, np.memmap)
    assert load(spec(path, crop=4, resolution=2)).images.shape == (10, 2, 2, 3)


def test_grey_forms_are_one(path):
    grey = COLOUR[:, :, :6, 0]
    digests = set()
    for array in (grey, grey[..., None], np.asfortranarray(grey)):
        np.savez(path, images=array)
        data = load(spec(path))
        np.testing.assert_array_equal(data.images[..., 0], grey)
        assert data.labels is None and data.label_names == ()
        digests.add(data.digest)
    assert len(digests) == 1


def test_label_names(path):
    np.savez(path, images=COLOUR, labels=np.zeros(10, ">u2"), label_names=["a", "bé"])
    assert load(spec(path)).label_names == ("a", "bé")


def test_points(path):
    np.savez(path, points=POINTS, labels=np.arange(10, dtype=np.uint8))
    data = load(spec(path))
    np.testing.assert_array_equal(data.images, POINTS)
    assert data.images.dtype == np.float32 and data.labels.tolist() == list(range(10))
    assert not data.images.flags.writeable
    with pytest.raises(DataError, match="has points, not pictures"):
        load(spec(path, resolution=8))


@pytest.mark.parametrize("out", [COLOUR[:, :, :6], POINTS])
@pytest.mark.parametrize("label", [None, np.arange(10, dtype=np.int32)])
def test_own_samples_load(path, out, label):
    write_npz(str(path), out, Fed(np.zeros((10, 4), np.float32), label))
    data = load(spec(path))
    np.testing.assert_array_equal(data.images, out)
    np.testing.assert_array_equal(data.labels, label)


@pytest.mark.parametrize(
    "arrays, message",
    [
        (
            {"images": COLOUR / 255},
            r"must be uint8 .* they are float64 \[10, 6, 8, 3\]",
        ),
        ({"images": COLOUR[..., :2]}, "C = 1 or 3"),
        ({"images": COLOUR[0, :, :, 0]}, r"they are uint8 \[6, 8\]"),
        ({"images": COLOUR[:0]}, "holds no pictures"),
        ({"points": POINTS.astype(np.float64)}, "float32 .* they are float64"),
        ({"points": POINTS[0]}, r"they are float32 \[2\]"),
        ({"points": POINTS + np.float32("nan")}, "not all finite"),
        ({"points": POINTS, "images": COLOUR}, "either images .* holds points, images"),
        ({"latents": POINTS}, "it holds latents"),
        ({"points": POINTS, "labels": np.arange(9)}, "10 whole numbers"),
        ({"points": POINTS, "labels": POINTS[:, 0]}, "not float32"),
        ({"points": POINTS, "labels": np.arange(10) - 1}, "-1 to 8, and must be 0 to"),
        ({"points": POINTS, "labels": np.full(10, 2**40)}, "must be 0 to 99999"),
        (
            {"points": POINTS, "labels": np.arange(10), "label_names": ["a"]},
            "0 to 9, and must be 0 to 0",
        ),
        (
            {"points": POINTS, "labels": np.arange(10), "label_names": [1]},
            "label_names .* must be strings",
        ),
    ],
)
def test_other_types_and_shapes_are_refused(path, arrays, message):

    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message):
        load(spec(path))


def test_nothing_is_unpickled(path, tmp_path):
    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    np.savez(path, images=np.array([Bad(), None], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="no plain array: its header says object"):
        load(spec(path))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "shape, message",
    [((11, 6, 8, 3), "its member holds 1,440 bytes"), ((10**15, 3), "1,440 bytes")],
)
def test_a_header_that_says_another_size(path, shape, message):
    buffer = io.BytesIO()
    npy.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", buffer.getvalue() + COLOUR.tobytes())
    with pytest.raises(DataError, match=message):
        load(spec(path))


def test_damaged_files(path, tmp_path):
    with pytest.raises(DataError, match="cannot be read as an .npz file: .*No such"):
        load(spec(tmp_path / "none.npz"))
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match="cannot be read as an .npz file: .*zip"):
        load(spec(path))
    np.savez(path, images=COLOUR)
    raw = bytearray(path.read_bytes())
    raw[500] ^= 255
    path.write_bytes(raw)
    with pytest.raises(DataError, match="cannot be read as an .npz file: Bad CRC"):
        load(spec(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"hello, I am no array at all")
    with pytest.raises(DataError, match="cannot be read as an .npz file: .*magic"):
        load(spec(path))
    with pytest.raises(DataError, match="no split 'test'; choices: train"):
        load(spec(path, split="test"))
