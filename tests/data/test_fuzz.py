"""Small sound files, damaged at random: the outcome is data or one sentence, never another exception."""

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gan_jax.data import DataError, Dataset, DataSpec, load, pool
from gan_jax.eval.weights import read_numpy_pickle, read_torch
from gan_jax.types import UserError

from .bad import JPEG, PNG, WEBP
from .test_cifar import files as batches
from .test_idx import LABELS, PIXELS, packed

GOLDEN = Path(__file__).parents[1] / "golden"


def npy(array=PIXELS):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(method=zipfile.ZIP_STORED, images=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("images.npy", npy() if images is None else images)
        file.writestr("labels.npy", npy(LABELS))
        file.writestr("label_names.npy", npy(np.array(list("abcdefg"))))
    return buffer.getvalue()


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for i, raw in enumerate((PNG, JPEG, WEBP)):
            file.writestr(f"{i % 2}/{i}.{('png', 'jpg', 'webp')[i]}", raw)
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, raw in batches().items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(raw)
            file.addfile(info, io.BytesIO(raw))
    return buffer.getvalue()


def mutated(raw, rng):
    """Bits flipped, bytes set, cut off, cut out, doubled, or a piece of it put elsewhere."""
    raw = bytearray(raw)
    # beginnings and ends hold the headers
    where = [lambda: rng.integers(len(raw)), lambda: rng.integers(min(99, len(raw)))]
    where += [lambda: len(raw) - 1 - rng.integers(min(99, len(raw)))]
    for _ in range(rng.integers(1, 4)):
        if not raw:
            break
        at, size = int(where[rng.integers(3)]()), int(2 ** rng.uniform(0, 7))
        piece = raw[at : at + size]
        to = int(rng.integers(len(raw)))
        match rng.integers(8):
            case 0 | 1:
                raw[at] ^= 1 << rng.integers(8)
            case 2:
                raw[at : at + 4] = [rng.choice([0, 1, 127, 128, 255])] * len(
                    raw[at : at + 4]
                )
            case 3:
                raw[at] = rng.integers(256)
            case 4:
                del raw[at : at + size]
            case 5:
                del raw[at:]
            case 6:
                raw[to : to + size] = piece
            case 7:
                raw[to:to] = piece
    return bytes(raw)


def gz(raw):
    return gzip.compress(raw, 1)


def source(kind, name):
    """(folder, bytes) -> data of that source, whose file is called so."""

    def read(folder, raw):
        path = folder / name
        path.write_bytes(raw)
        at = folder if kind in ("folder", "idx") or name in batches() else path
        return load(
            DataSpec(source=f"{kind}:{at}", resolution=6, cache_dir=str(folder / "c"))
        )

    return read


def weights(read, name):
    def from_file(folder, raw):
        path = folder / name
        path.write_bytes(raw)
        return read(path)

    return from_file


IDX = "train-images-idx3-ubyte"
KINDS = {  # sound bytes, what is done with them after they are damaged, reader
    "npz": (npz(), bytes, source("npz", "x.npz")),
    "npz, packed": (npz(zipfile.ZIP_DEFLATED), bytes, source("npz", "x.npz")),
    "npz, inside": (npy(), lambda raw: npz(images=raw), source("npz", "x.npz")),
    "zip": (zipped(), bytes, source("zip", "x.zip")),
    "idx": (packed(PIXELS), bytes, source("idx", IDX)),
    "idx.gz": (gz(packed(PIXELS)), bytes, source("idx", f"{IDX}.gz")),
    "idx.gz, inside": (packed(PIXELS), gz, source("idx", f"{IDX}.gz")),
    "tar.gz": (gz(tarred()), bytes, source("cifar10", "x.tar.gz")),
    "tar.gz, inside": (tarred(), gz, source("cifar10", "x.tar.gz")),
    "cifar": (batches()["data_batch_2"], bytes, source("cifar10", "data_batch_2")),
    "cifar meta": (batches()["batches.meta"], bytes, source("cifar10", "batches.meta")),
    "PNG": (PNG, bytes, source("folder", "x.png")),
    "JPEG": (JPEG, bytes, source("folder", "x.jpg")),
    "WEBP": (WEBP, bytes, source("folder", "x.webp")),
    "pth": (
        (GOLDEN / "weights_zip.pth").read_bytes(),
        bytes,
        weights(read_torch, "x.pth"),
    ),
    "pth, old": (
        (GOLDEN / "weights_legacy.pth").read_bytes(),
        bytes,
        weights(read_torch, "x.pth"),
    ),
    "pickle": (
        pickle.dumps({"a": np.arange(6.0), "b": {"c": np.zeros((2, 3), ">i4")}}, 3),
        bytes,
        weights(read_numpy_pickle, "x.pkl"),
    ),
}


def outcomes(tmp_path, kind, count):
    """How many were read and how many refused."""
    sound, after, read = KINDS[kind]
    for name, raw in batches().items():
        if kind.startswith("cifar"):
            (tmp_path / name).write_bytes(raw)
    rng, seen = np.random.default_rng(list(KINDS).index(kind)), [0, 0]
    assert read(tmp_path, after(sound)) is not None
    for _ in range(count):
        raw = mutated(sound, rng)
        try:
            data = read(tmp_path, after(raw))
            assert isinstance(data, Dataset | dict)
            seen[0] += 1
        except UserError as error:
            assert str(error) and (kind[0] == "p" or isinstance(error, DataError))
            seen[1] += 1
    return seen


@pytest.fixture(autouse=True)
def few_threads(monkeypatch):
    monkeypatch.setattr(pool.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_at_random(tmp_path, kind):
    read, refused = outcomes(tmp_path, kind, 30)
    assert refused > 0 and read + refused == 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_at_random_many_times(tmp_path, kind):
    read, refused = outcomes(tmp_path, kind, 5000)
    assert refused > 500 and read + refused == 5000
