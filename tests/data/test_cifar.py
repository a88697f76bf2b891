import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from gan_jax.data import DataError, DataSpec, cifar, load

from .files import write_folder

NAMES = [b"airplane", b"automobile", b"bird", b"cat"]
PIXELS = np.random.default_rng(0).integers(0, 256, (18, 3072), np.uint8)
LABELS = [i % 4 for i in range(18)]


def python2(data, labels):
    """A batch as Python 2 wrote it with cPickle's protocol 2: byte strings, numpy.core.multiarray."""
    body = struct.pack("<I", data.size) + data.tobytes()
    rows = struct.pack("<H", len(data))
    return (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03"
        b"cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01M"
        + rows
        + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89T" + body + b"tb"
        b"U\x06labelsq\x08]q\x09(" + b"".join(b"K" + bytes([k]) for k in labels) + b"e"
        b"U\x0bbatch_labelU\x15training batch 1 of 5u."
    )


def python3(data, labels):
    return pickle.dumps({b"data": data, b"labels": labels}, protocol=2)


def files(write=python2):
    content = {"batches.meta": pickle.dumps({b"label_names": NAMES}, protocol=2)}
    for i in range(5):
        part = slice(3 * i, 3 * i + 3)
        content[f"data_batch_{i + 1}"] = write(PIXELS[part], LABELS[part])
    return content | {"test_batch": write(PIXELS[15:], LABELS[15:])}


def spec(path, **fields):
    return DataSpec(source=f"cifar10:{path}", **fields)


def tar(path, content):
    with tarfile.open(path, "w:gz") as archive:
        for name, raw in content.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return path


@pytest.mark.parametrize("write", [python2, python3])
@pytest.mark.parametrize("form", ["", "cifar-10-batches-py", "tar"])
def test_genuine_format(tmp_path, write, form):
    if form == "tar":
        path = tar(tmp_path / "cifar-10-python.tar.gz", files(write))
    else:
        path = tmp_path
        write_folder(path / form, files(write))
    data = load(spec(path))
    expected = PIXELS.reshape(18, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(data.images, expected[:15])
    assert data.images[2, 1, 5, 0] == PIXELS[2, 1 * 32 + 5]  # red plane first, by rows
    assert data.images[2, 1, 5, 2] == PIXELS[2, 2048 + 37]
    assert data.labels.tolist() == LABELS[:15] and data.labels.dtype == np.int32
    assert data.label_names == ("airplane", "automobile", "bird", "cat")
    test = load(spec(path, split="test"))
    np.testing.assert_array_equal(test.images, expected[15:])
    assert load(spec(path, resolution=16)).images.shape == (15, 16, 16, 3)


def test_python2_bytes_are_what_numpy_reads():
    """The hand-written bytes against NumPy's own reader, with the module's name of today."""
    raw = python2(PIXELS[:3], LABELS[:3]).replace(b"numpy.core.", b"numpy._core.")
    batch = pickle.loads(raw, encoding="bytes")
    np.testing.assert_array_equal(batch[b"data"], PIXELS[:3])
    assert batch[b"labels"] == [0, 1, 2] and batch[b"data"].dtype == np.uint8


@pytest.mark.parametrize(
    "bad, name",
    [
        (b"cos\nsystem\n(U\x0atouch madetR.", "os.system"),
        (b"cposix\nsystem\n(U\x0atouch madetR.", "posix.system"),
        (b"cbuiltins\neval\n(U\x02{}tR.", "builtins.eval"),
        (b"cnumpy\nload\n(U\x02{}tR.", "numpy.load"),
    ],
)
def test_other_globals_are_refused(tmp_path, bad, name):
    write_folder(tmp_path, files() | {"data_batch_3": b"\x80\x02" + bad})
    with pytest.raises(
        DataError, match=f"data_batch_3 asks for '{name}', which is refused"
    ):
        load(spec(tmp_path))
    assert not (tmp_path / "work" / "made").exists()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("data_batch_2", b"", "data_batch_2 ends too early"),
        ("data_batch_2", python2(PIXELS[:3], LABELS)[:900], "data_batch_2 is damaged"),
        ("data_batch_2", b"\x80\x02]q\x01.", "not the python version of CIFAR-10"),
        ("data_batch_2", python3(PIXELS[:3, :9], [1] * 3), "not the python version"),
        ("data_batch_2", python3([[1] * 3072], [1]), "not the python version"),
        (
            "data_batch_2",
            python3(PIXELS[:1] / 2, [1]),
            "not the python .*not one of by",
        ),
        ("data_batch_2", python3(PIXELS[:3], [1]), "15 whole numbers"),
        ("data_batch_2", python3(PIXELS[:3], [1, 2, 4]), "0 to 4, and must be 0 to 3"),
        ("batches.meta", pickle.dumps({}, protocol=2), "KeyError.*label_names"),
    ],
)
def test_damage(tmp_path, name, content, message):
    write_folder(tmp_path, files() | {name: content})
    with pytest.raises(DataError, match=message):
        load(spec(tmp_path))


def test_an_array_may_not_say_more_than_it_holds(tmp_path):
    raw = python2(PIXELS[:3], LABELS[:3]).replace(b"M\x03\x00M", b"M\xff\xffM")
    write_folder(tmp_path, files() | {"test_batch": raw})
    with pytest.raises(DataError, match="not one of bytes"):
        load(spec(tmp_path, split="test"))


def test_missing_files_say_where_to_get_them(tmp_path, monkeypatch):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(
            DataError,
            match="missing: data_batch_1, (.|\n)*batches.meta(.|\n)*University of Toronto",
        ):
            load(spec(path))
    content = files()
    del content["data_batch_4"]
    with pytest.raises(DataError, match=r"missing: data_batch_4\)"):
        load(spec(tar(tmp_path / "x.tar.gz", content)))
    (tmp_path / "y.tar.gz").write_bytes(b"hello")
    with pytest.raises(DataError, match="cannot be read as a .tar.gz file"):
        load(spec(tmp_path / "y.tar.gz"))
    monkeypatch.setattr(cifar, "_MAX_FILE", 1000)
    write_folder(tmp_path / "set", files())
    for path in (tmp_path / "set", tar(tmp_path / "z.tar.gz", files())):
        with pytest.raises(DataError, match="bytes, more than the limit of 1,000"):
            load(spec(path))
