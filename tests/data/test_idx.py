import gzip
import struct

import numpy as np
import pytest

from gan_jax.data import DataError, DataSpec, idx, load

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 6, 6), np.uint8)
LABELS = (np.arange(20) % 7).astype(np.uint8)


def packed(array, kind=8):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return head + array.tobytes()


@pytest.mark.parametrize("mark", "-.")
@pytest.mark.parametrize("end", ["", ".gz"])
def test_splits_and_spellings(tmp_path, mark, end):
    pack = gzip.compress if end else bytes
    for prefix, part in (("train", slice(0, 15)), ("t10k", slice(15, 20))):
        stem = tmp_path / f"{prefix}"
        for kind, array in (("images", PIXELS[part]), ("labels", LABELS[part])):
            name = f"{stem.name}-{kind}{mark}idx{array.ndim}-ubyte{end}"
            (tmp_path / name).write_bytes(pack(packed(array)))
    train = load(DataSpec(source=f"idx:{tmp_path}"))
    np.testing.assert_array_equal(train.images[..., 0], PIXELS[:15])
    assert train.labels.tolist() == LABELS[:15].tolist()
    assert train.labels.dtype == np.int32 and train.images.dtype == np.uint8
    assert train.label_names == tuple("0123456") and isinstance(train.images, np.memmap)
    test = load(DataSpec(source=f"idx:{tmp_path}", split="test"))
    np.testing.assert_array_equal(test.images[..., 0], PIXELS[15:])
    small = load(DataSpec(source=f"idx:{tmp_path}", crop=4, resolution=2))
    assert small.images.shape == (15, 2, 2, 1) and small.digest != train.digest


def test_labels_are_optional_and_must_match(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(packed(PIXELS))
    data = load(DataSpec(source=f"idx:{tmp_path}"))
    assert data.labels is None and data.label_names == () and len(data.images) == 20
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(packed(LABELS))
    assert load(DataSpec(source=f"idx:{tmp_path}")).labels.tolist() == LABELS.tolist()
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(packed(LABELS[:9]))
    with pytest.raises(DataError, match="20 whole numbers, one for each"):
        load(DataSpec(source=f"idx:{tmp_path}"))


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(
    tmp_path, monkeypatch
):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(packed(PIXELS))
    first = load(DataSpec(source=f"idx:{tmp_path}"))
    calls = []
    true = idx.read_idx
    monkeypatch.setattr(idx, "read_idx", lambda *a: calls.append(a) or true(*a))
    assert load(DataSpec(source=f"idx:{tmp_path}")).digest == first.digest
    assert calls == []
    path.write_bytes(packed(PIXELS[:19]))
    assert len(load(DataSpec(source=f"idx:{tmp_path}")).images) == 19 and calls


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize(
    "content, message",
    [
        (packed(PIXELS)[:-1], "shorter than its header|header announces 720 bytes"),
        (packed(PIXELS) + b"x", "longer than its header says .*20, 6, 6"),
        (packed(PIXELS, kind=13), "not an idx file .* begins with 00000d03"),
        (packed(PIXELS[0]), "in 3 dimensions: it begins with 00000802"),
        (b"\0\0", "it begins with 0000, not 00000803"),
        (b"", "it begins with , not 00000803"),
        (packed(PIXELS[:0]), "holds no pictures"),
        (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "the limit is 17,17"),
    ],
)
def test_damage_is_refused(tmp_path, end, content, message):
    content = gzip.compress(content) if end else content
    (tmp_path / f"train-images-idx3-ubyte{end}").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(DataSpec(source=f"idx:{tmp_path}"))


def test_damaged_gzip(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = gzip.compress(packed(PIXELS))
    for content in (whole[:-20], b"no gzip", whole[:200] + b"zzzz" + whole[204:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="ubyte.gz cannot be read"):
            load(DataSpec(source=f"idx:{tmp_path}"))


def test_a_header_takes_no_more_memory_than_the_file_can_fill(tmp_path, monkeypatch):
    """The read is never reached, packed or not."""
    head = struct.pack(">4B3I", 0, 0, 8, 3, 60_000, 28, 28)
    asked = []
    for end, file in (("", open), (".gz", gzip.open)):
        path = tmp_path / f"x{end}"
        with file(path, "wb") as f:
            f.write(head)

        class Watched:
            def __init__(self, path, mode="rb", true=file):
                self.file = true(path, mode)

            def __enter__(self):
                return self

            def __exit__(self, *error):
                self.file.close()

            def read(self, size):
                asked.append(size)
                return self.file.read(size)

        target = "gan_jax.data.idx.gzip.open" if end else "gan_jax.data.idx.open"
        monkeypatch.setattr(target, Watched, raising=False)
        with pytest.raises(DataError, match="header announces 47,040,000 bytes"):
            idx.read_idx(path, 3)
    assert asked == [16, 16]


def test_missing_files_say_what_to_do(tmp_path):
    with pytest.raises(
        DataError,
        match="no file t10k-images-idx3-ubyte(.|\n)*apt-get install dataset-fashion",
    ):
        load(DataSpec(source=f"idx:{tmp_path}", split="test"))
    with pytest.raises(DataError, match="no split 'valid'; choices: train, test"):
        load(DataSpec(source=f"idx:{tmp_path}", split="valid"))
