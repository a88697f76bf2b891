"""Files made to do harm: each is refused in a sentence; nothing is executed, written elsewhere or blown up."""

import functools
import gzip
import io
import pickle
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from gan_jax.data import DataError, DataSpec, cifar, load, zips

from .files import encode, write_folder, write_zip
from .test_cifar import files as batches
from .test_cifar import tar
from .test_idx import packed

ROOT = Path(__file__).parents[2]
PICTURE = encode(np.arange(256, dtype=np.uint8).reshape(16, 16))
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1), np.uint8)


def refused(source, **fields):
    """The message, of one sentence or a list; memory is watched."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            load(DataSpec(source=source, **fields))
        assert tracemalloc.get_traced_memory()[1] < 30 * 10**6
    finally:
        tracemalloc.stop()
    return str(caught.value)


def array(header=None, content=None, **fields):
    """The bytes of a .npy file, whose header may lie."""
    said = {"descr": "|u1", "fortran_order": False, "shape": PIXELS.shape} | fields
    text = (header or repr(said)).encode("latin-1")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return (
        npy.magic(1, 0)
        + struct.pack("<H", len(text))
        + text
        + (PIXELS.tobytes() if content is None else content)
    )


def archive(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def patched(path, member, **fields):
    """Change what the list of members says of the member of that number."""
    raw, at = bytearray(path.read_bytes()), -1
    for _ in range(member + 1):
        at = raw.index(b"PK\1\2", at + 1)
    places = {"flags": ("<H", 8), "method": ("<H", 10), "packed": ("<I", 20)}
    places |= {"size": ("<I", 24), "offset": ("<I", 42), "version": ("<H", 6)}
    for name, value in fields.items():
        form, place = places[name]
        struct.pack_into(form, raw, at + place, value)
    path.write_bytes(raw)
    return path


HEADERS = {
    "373 GiB": {"shape": (400_000, 1000, 1000, 1)},
    "negative": {"shape": (-4, 6, 6, 1)},
    "twice negative": {"shape": (-4, -6, 6, 1)},
    "thrice negative": {"shape": (-4, -6, -6, -1)},
    "over 64 bits": {"shape": (2**63, 2, 1, 1)},
    "wraps to the size": {"shape": (2**64 + 144, 1, 1, 1)},
    "huge times nothing": {"shape": (2**70, 0, 1, 1), "content": b""},
    "no number": {"shape": ("4", 6, 6, 1)},
    "no tuple": {"shape": 144},
    "objects": {"descr": "|O"},
    "objects in a record": {"descr": [("x", "|O")]},
    "records": {"descr": [("x", "|u1")]},
    "array of arrays": {"descr": ("|u1", (2**31,))},
    "size nought": {"descr": "|V0", "content": b""},
    "no dtype": {"descr": "import os"},
    "a call": {"header": "__import__('os').system('touch made')"},
    "deep": {"header": "(" * 300},
    "deep list": {"header": "[" * 150 + "]" * 150},
    "open quote": {"header": "{'descr': '''"},
    "long number": {"header": "{'shape': " + "9" * 5000 + "}"},
    "long": {"header": " " * 60_000},
    "no text": {"header": "\0\xff\xfe"},
    "nothing": {"header": " "},
    "short": {"content": PIXELS.tobytes()[:-1]},
    "empty": {"content": b""},
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("lie", HEADERS)
def test_npz_headers(tmp_path, lie, method):
    for name in ("images", "points", "labels"):
        members = {"images.npy": array(), f"{name}.npy": array(**HEADERS[lie])}
        if name == "points":
            del members["images.npy"]
        path = archive(tmp_path / "x.npz", members.items(), method)
        assert str(path) in refused(f"npz:{path}")
    assert not (tmp_path / "work" / "made").exists()


@functools.cache
def bomb(method, megabytes):
    """A zip file with one member of zeros, and how many times larger that is."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", method) as file,
        file.open("images.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(megabytes):
            member.write(bytes(10**6))
    return buffer.getvalue(), megabytes * 10**6 / len(buffer.getvalue())


@pytest.mark.parametrize(
    "method, ratio",
    [
        (zipfile.ZIP_DEFLATED, 900),
        (zipfile.ZIP_BZIP2, 100_000),
        (zipfile.ZIP_LZMA, 5_000),
    ],
)
def test_zip_bombs(tmp_path, method, ratio):
    for kind, name in (("npz", "images.npy"), ("zip", "zeroes.png")):
        raw, found = bomb(method, 100 if method == zipfile.ZIP_DEFLATED else 40)
        raw = raw.replace(b"images.npy", name.encode())
        assert found > ratio
        path = tmp_path / f"x.{kind}"
        path.write_bytes(raw)
        message = refused(f"{kind}:{path}")
        if kind == "zip" or method != zipfile.ZIP_DEFLATED:
            assert "packed by method" in message or "more than the limit" in message
        # the same, saying that it is small
        patched(path, 0, size=1000)
        refused(f"{kind}:{path}")
    raw = bomb(method, 100 if method == zipfile.ZIP_DEFLATED else 40)[0].replace(
        b"images.npy", b"labels.npy"
    )
    path = tmp_path / "two.npz"
    path.write_bytes(raw)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("images.npy", array())
    refused(f"npz:{path}")


def pictures(path):
    return archive(path, [("a.png", PICTURE), ("b.png", PICTURE), ("c.png", PICTURE)])


def cut_directory(path):
    raw = path.read_bytes()
    at, end = raw.index(b"PK\1\2"), raw.index(b"PK\5\6")
    path.write_bytes(raw[: at + 60] + raw[end:])


def zip64(path, **lies):
    """Append records of the larger format that say what is not so."""
    raw = path.read_bytes()
    end = raw.index(b"PK\5\6")
    at = raw.index(b"PK\1\2")
    said = {"count": 3, "size": end - at, "offset": at} | lies
    numbers = (
        44,
        45,
        45,
        0,
        0,
        said["count"],
        said["count"],
        said["size"],
        said["offset"],
    )
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", *numbers)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    full = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0
    )
    path.write_bytes(raw[:end] + record + locator + full)


def duplicate(path):
    path.write_bytes(path.read_bytes().replace(b"b.png", b"a.png"))


ZIPS = {
    "no end": lambda p: p.write_bytes(p.read_bytes()[:-30]),
    "cut directory": cut_directory,
    "two of one name": duplicate,
    "overlap": lambda p: patched(p, 1, offset=0),
    "overlap by size": lambda p: patched(p, 0, packed=500, size=500),
    "beyond the file": lambda p: patched(p, 2, offset=2**31),
    "newer version": lambda p: patched(p, 0, version=99),
    "name no UTF-8": lambda p: (
        p.write_bytes(p.read_bytes().replace(b"b.png", b"\xff.png")),
        patched(p, 1, flags=0x800),
    ),
    "zip64 size": lambda p: zip64(p, size=2**60),
    "zip64 size 200 MB": lambda p: zip64(p, size=2 * 10**8),
    "zip64 all": lambda p: zip64(p, size=2**64 - 1, offset=2**64 - 1),
    "empty": lambda p: p.write_bytes(b""),
    "only an end": lambda p: p.write_bytes(p.read_bytes()[-22:]),
    "zeros": lambda p: p.write_bytes(bytes(9999)),
}


@pytest.mark.parametrize("fault", ZIPS)
def test_zip_directories(tmp_path, fault):
    path = pictures(tmp_path / "x.zip")
    assert len(load(DataSpec(source=f"zip:{path}")).images) == 3
    ZIPS[fault](path)
    for skip_bad in (False, True):  # the whole file is wrong, not one of its pictures
        message = refused(f"zip:{path}", skip_bad=skip_bad)
        assert message.startswith(f"{path} cannot be read as a zip file: ")
    numbers = archive(
        tmp_path / "x.npz", [(n, array()) for n in ("images.npy", "x.npy", "y.npy")]
    )
    if fault not in ("two of one name", "name no UTF-8"):
        ZIPS[fault](numbers)
        refused(f"npz:{numbers}")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_npz_with_an_array_twice(tmp_path):
    path = archive(tmp_path / "x.npz", [("images.npy", array())] * 2)
    assert "two members of one name" in refused(f"npz:{path}")


MEMBERS = {
    "encrypted": lambda p: patched(p, 1, flags=1),
    "strong encryption": lambda p: patched(p, 1, flags=0x41),
    "patch data": lambda p: patched(p, 1, flags=0x20),
    "unknown method": lambda p: patched(p, 1, method=99),
    "method 1": lambda p: patched(p, 1, method=1),
    "bzip2": lambda p: patched(p, 1, method=12),
    "not deflated": lambda p: patched(p, 1, method=8),
    "longer": lambda p: patched(p, 1, size=len(PICTURE) + 9),
    "shorter": lambda p: patched(p, 1, size=len(PICTURE) - 9),
    "longest": lambda p: patched(p, 1, size=2**31),
    "other name": lambda p: p.write_bytes(
        p.read_bytes().replace(b"b.png", b"d.png", 1)
    ),
}


@pytest.mark.parametrize("fault", MEMBERS)
def test_zip_members(tmp_path, fault, capfd):
    """One picture of three is wrong: it is named, and may be left out."""
    path = pictures(tmp_path / "x.zip")
    MEMBERS[fault](path)
    message = refused(f"zip:{path}")
    assert "\n  b.png: " in message and "--config.data.skip_bad=true" in message
    data = load(DataSpec(source=f"zip:{path}", skip_bad=True))
    assert len(data.images) == 2 and len(data.skipped) == 1


OUTSIDE = ["../up", "/abs", "C:\\x", "C:/x", "..\\up", "a/../../../up", "\\\\host\\x"]


def test_names_lead_nowhere(tmp_path):
    """Members are never extracted, and none is taken that means to; a link is a picture that is none."""
    before = {p for p in tmp_path.rglob("*") if "cache" not in p.parts}
    for name in OUTSIDE:
        path = write_zip(tmp_path / "x.zip", {"a.png": PICTURE, f"{name}.png": PICTURE})
        assert "which leads out of the archive" in refused(f"zip:{path}")
        path = archive(
            tmp_path / "x.npz", [("images.npy", array()), (f"{name}.npy", array())]
        )
        assert "which leads out of the archive" in refused(f"npz:{path}")
    with zipfile.ZipFile(pictures(tmp_path / "x.zip"), "a") as file:
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    assert "\n  link.png: " in refused(f"zip:{tmp_path}/x.zip")
    after = {p for p in tmp_path.rglob("*") if "cache" not in p.parts}
    assert {p.name for p in after - before} == {"x.zip", "x.npz"}
    assert not (tmp_path.parent / "up.png").exists()


def test_members_are_counted_before_they_are_listed(tmp_path, monkeypatch):
    raw = b"PK\1\2" * (zips.MAX_MEMBERS + 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 9, 9, len(raw), 0, 0)
    (tmp_path / "x.zip").write_bytes(raw + end)
    assert "more members than the limit of 2,000,000" in refused(
        f"zip:{tmp_path}/x.zip"
    )
    monkeypatch.setattr(zips, "MAX_MEMBERS", 2)
    path = pictures(tmp_path / "y.zip")
    assert "more members than the limit of 2" in refused(f"zip:{path}")


@pytest.mark.parametrize("kind", ["npz", "zip"])
def test_a_pipe_is_not_waited_for(tmp_path, kind):
    import os

    os.mkfifo(tmp_path / "x")
    refused(f"{kind}:{tmp_path}/x")


def bad_tar(path, member, content=b""):
    """The genuine batches, but the third one is this member."""
    genuine = batches()
    with tarfile.open(path, "w:gz") as file:
        for name, raw in genuine.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(raw)
            if name != "data_batch_3":
                file.addfile(info, io.BytesIO(raw))
        member.size = len(content)
        file.addfile(member, io.BytesIO(content))
    return path


def member(name="data_batch_3", kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE", "DIRTYPE"]
)
def test_tar_members_that_are_no_files(tmp_path, kind):
    for target in ("data_batch_1", "/etc/passwd", "../../x"):
        info = member(kind=getattr(tarfile, kind), target=target)
        path = bad_tar(tmp_path / "x.tar.gz", info)
        assert "missing: data_batch_3" in refused(f"cifar10:{path}")


@pytest.mark.parametrize("folder", ["../..", "", "C:", "a/../../.."])
def test_tar_names_lead_nowhere(tmp_path, folder):
    info = member(f"{folder}/data_batch_3")
    path = bad_tar(tmp_path / "x.tar.gz", info, batches()["data_batch_3"])
    before = set(tmp_path.rglob("*"))
    assert "which leads out of the archive" in refused(f"cifar10:{path}")
    assert set(tmp_path.rglob("*")) == before
    assert not (tmp_path.parents[1] / "data_batch_3").exists()


def tar_bytes(*parts):
    return b"".join(p + bytes(-len(p) % 512) for p in parts) + bytes(1024)


def head(name, size, kind=b"0"):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(keys):
    records = b"".join(b"%d %s=%s\n" % (len(k) + len(v) + 6, k, v) for k, v in keys)
    return head("x", len(records), b"x"), records


TARS = {
    "long name": lambda: [head("x", 2 * 10**8, b"L"), bytes(2 * 10**8)],
    "pax header": lambda: [head("x", 2 * 10**8, b"x"), bytes(2 * 10**8)],
    "says 8 EiB": lambda: [head("x", 2**62), b""],
    "says 8 EiB of name": lambda: [head("x", 2**62, b"L"), b""],
    "negative size": lambda: [head("x", -512), b""],
    "negative size of name": lambda: [head("x", -512, b"L"), b""],
    "negative size of pax": lambda: [head("x", -1024, b"x"), b""],
    "names of names": lambda: [head("x", 2, b"L"), b"x"] * 2000,
    "pax of pax": lambda: [*pax([(b"size", b"9")])] * 2000,
    "members": lambda: [head(f"{i}", 0) for i in range(1001)],
    "no header": lambda: [b"\xff" * 512],
    "sparse": lambda: [head("data_batch_3", 2**40, b"S"), b""],
    "twice": lambda: [head("data_batch_1", 0), head("data_batch_1", 0)],
}


@pytest.mark.parametrize("fault", TARS)
def test_tar_headers(tmp_path, fault):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(tar_bytes(*TARS[fault]()), 1))
    message = refused(f"cifar10:{path}")
    assert str(path) in message or "data_batch" in message


def test_a_tar_that_goes_on_and_on(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_MAX_TOTAL", 10**6)
    large = head("x", 2 * 10**6), bytes(2 * 10**6), head("y", 0)
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(tar_bytes(*large)))
    assert "a part beyond the limit" in refused(f"cifar10:{tmp_path}/x.tar.gz")


TEXT = b"S'touch made'\n"
PICKLES = {
    "text": b"cos\nsystem\n(" + TEXT + b"tR.",
    "INST": b"(" + TEXT + b"ios\nsystem\n.",
    "OBJ": b"(cos\nsystem\n" + TEXT + b"o.",
    "NEWOBJ": b"\x80\x02cposix\nsystem\n(" + TEXT + b"t\x81.",
    "stacked": b"\x80\x04\x8c\x05posix\x8c\x06system\x93(" + TEXT + b"tR.",
    "builtin": b"c__builtin__\neval\n(S'1'\ntR.",
    "fromfile": b"cnumpy\nfromfile\n(" + TEXT + b"tR.",
    "build": b"\x80\x02cnumpy\nndarray\n}U\x01xK\x01sb.",
    "long memo": b"\x80\x02}r\xff\xff\xff\xff.",
    "long digits": b"\x80\x02L" + b"9" * 100_000 + b"L\n.",
    "digits": b"I" + b"9" * 100_000 + b"\n.",
    "bytes that are not there": b"\x80\x02T\xff\xff\xff\x7f.",
    "negative length": b"\x80\x02T\xff\xff\xff\xff.",
    "open quote": b"S'abc\n.",
    "no UTF-8": b"\x80\x02X\2\0\0\0\xff\xff.",
    "empty stack": b"\x80\x02R.",
    "no mark": b"\x80\x02t.",
    "no end": b"\x80\x02}",
    "unknown opcode": b"\xfe.",
    "persistent": b"Pabc\n.",
    "extension": b"\x80\x02\x82\xf0.",
}


@pytest.mark.parametrize("fault", PICKLES)
def test_cifar_pickles(tmp_path, fault):
    for name in ("data_batch_3", "batches.meta"):
        write_folder(tmp_path, batches() | {name: PICKLES[fault]})
        message = refused(f"cifar10:{tmp_path}")
        assert name in message or "not the python version" in message
    assert not (tmp_path / "work" / "made").exists()


LONG_PICKLES = {  # too slow where every call is type-checked
    "deep key": b"\x80\x02})" + b"\x85" * 100_000 + b"Ns.",
    "deep lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "opcodes": b"\x80\x02" + b"N" * 1_000_001 + b".",
    "long memo": PICKLES["long memo"],
}


def test_the_canary_would_sing(tmp_path):
    """The programs of the test above do run where a pickle is trusted."""
    for name in ("text", "INST", "OBJ", "stacked"):
        made = tmp_path / "work" / "made"
        pickle.loads(PICKLES[name])
        assert made.exists(), name
        made.unlink()


@pytest.mark.parametrize(
    "labels",
    [
        [[1], [2], [3]],
        [1, 2, "3"],
        [1, 2, 3.0],
        [True, 2, 3],
        [2**70, 0, 0],
        [-1, 0, 0],
    ],
    ids=str,
)
def test_cifar_labels_are_numbers(tmp_path, labels):
    data = np.zeros((3, 3072), np.uint8)
    raw = pickle.dumps({b"data": data, b"labels": labels}, protocol=2)
    write_folder(tmp_path, batches() | {"data_batch_3": raw})
    refused(f"cifar10:{tmp_path}")


def test_cifar_meta_as_text(tmp_path):
    """The genuine batches.meta is written in the oldest of the formats."""
    raw = b"(dp1\nS'num_cases_per_batch'\np2\nI10000\nsS'label_names'\np3\n(lp4\n"
    raw += b"".join(b"S'%c'\np%d\na" % (k, 5 + i) for i, k in enumerate(b"wxyz"))
    write_folder(
        tmp_path, batches() | {"batches.meta": raw + b"sS'num_vis'\np15\nI3072\ns."}
    )
    assert load(DataSpec(source=f"cifar10:{tmp_path}")).label_names == tuple("wxyz")


def test_idx_bombs(tmp_path):
    """100 MB of zeros behind a header of 4 pictures; a header that says what gzip might just hold."""
    pixels, path = PIXELS[..., 0], tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(packed(pixels) + bytes(10**8), 9))
    assert "longer than its header" in refused(f"idx:{tmp_path}")
    lie = struct.pack(">4B3I", 0, 0, 8, 3, 1000, 30, 30)
    path.write_bytes(gzip.compress(lie + bytes(1000), 0))
    assert "shorter than its header" in refused(f"idx:{tmp_path}")
    path.write_bytes(gzip.compress(packed(pixels))[:-8] + zlib.compress(b"x")[:8])
    assert "cannot be read" in refused(f"idx:{tmp_path}")


# Alone in a process, whose memory is counted by the system and not by Python.
ALONE = """
import resource, sys
from gan_jax.data import DataError, DataSpec, load

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = peak()
for source in sys.argv[1:]:
    try:
        load(DataSpec(source=source))
    except DataError as error:
        print("refused", str(error).splitlines()[0])
print(peak() - before)
"""


def test_memory_of_a_process(tmp_path):
    """Bombs of 200 MB each, a pickle that makes the standard unpickler fill 40 GB, a directory of 2^60 bytes."""
    sources = []
    for kind, name in (("npz", "images.npy"), ("zip", "zeroes.png")):
        path = tmp_path / f"x.{kind}"
        raw = bomb(zipfile.ZIP_DEFLATED, 200)[0].replace(b"images.npy", name.encode())
        path.write_bytes(raw)
        sources.append(f"{kind}:{patched(path, 0, size=1000)}")
        path = tmp_path / f"y.{kind}"
        raw = bomb(zipfile.ZIP_BZIP2, 200)[0].replace(b"images.npy", name.encode())
        path.write_bytes(raw)
        sources.append(f"{kind}:{path}")
    path = pictures(tmp_path / "z.zip")
    zip64(path, size=2**60)
    sources.append(f"zip:{path}")
    with gzip.open(tmp_path / "x.tar.gz", "wb", 1) as file:
        file.write(head("x", 2 * 10**8, b"L"))
        for _ in range(200):
            file.write(bytes(10**6))
    sources.append(f"cifar10:{tmp_path}/x.tar.gz")
    for name, program in LONG_PICKLES.items():
        write_folder(tmp_path / name, batches() | {"data_batch_1": program})
        sources.append(f"cifar10:{tmp_path / name}")
    command = [sys.executable, "-c", ALONE, *sources]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    *lines, megabytes = done.stdout.splitlines()
    assert len(lines) == len(sources) and int(megabytes) < 100


def test_tar_helper_is_genuine(tmp_path):
    """The builders above fail for their fault alone."""
    path = tar(tmp_path / "x.tar.gz", batches())
    assert len(load(DataSpec(source=f"cifar10:{path}")).images) == 15
    path = archive(tmp_path / "x.npz", [("images.npy", array())])
    np.testing.assert_array_equal(load(DataSpec(source=f"npz:{path}")).images, PIXELS)
    path = pictures(tmp_path / "x.zip")
    zip64(path)
    assert len(load(DataSpec(source=f"zip:{path}")).images) == 3
