"""CIFAR-10 in its python version: pickles, read by a machine that runs nothing of what they name (`pickles`).

A batch is a dict of b"data", uint8 [n, 3072] (the red plane, green, blue, each 32 x 32), and b"labels".
"""

import gzip
import io
import math
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data import pickles, zips
from gan_jax.data.arrays import Arrays, check_labels, load_arrays
from gan_jax.data.spec import DataError, Dataset, DataSpec, check_split, untrusted
from gan_jax.types import UserError

_BATCHES = {
    "train": [f"data_batch_{i}" for i in range(1, 6)],
    "test": ["test_batch"],
}
_META = "batches.meta"
_FOLDER = "cifar-10-batches-py"
_MAX_FILE = 64 * 2**20  # the genuine ones have 31 MB
_MAX_TOTAL, _MAX_MEMBERS = 2**29, 1000  # of the .tar.gz: 186 MB, 9 members
_GLOBALS = pickles.ARRAYS | {
    # bytes that a newer Python wrote in protocol 2
    "_codecs encode": lambda text, *_: text,
}
_HELP = """{path} holds no CIFAR-10 (missing: {missing}). Fetch cifar-10-python.tar.gz from the CIFAR page of
the University of Toronto (the python version); --config.data.source=cifar10:DIR takes as DIR that file or the
folder it unpacks to"""


def load(spec: DataSpec, argument: str) -> Dataset:
    """Return CIFAR-10 as uint8 [N, side, side, 3] with int32 labels [N]: 50,000 train or 10,000 test pictures.

    The argument is the folder of the batches, the one above it, or cifar-10-python.tar.gz (read in memory).
    Raises DataError if a file is missing, damaged, or names anything but a plain array.
    """
    check_split(spec, tuple(_BATCHES))
    path = Path(argument).expanduser().absolute()
    wanted = [*_BATCHES[spec.split], _META]
    if path.is_file():
        key, files = "file", [path]
    else:
        folder = path / _FOLDER if (path / _FOLDER).is_dir() else path
        key, files = "folder", [folder / name for name in wanted]
        _refuse_missing(path, [file.name for file in files if not file.is_file()])

    def read() -> Arrays:
        contents = _unpack(path, wanted) if path.is_file() else _read(files)
        return _batches(contents, spec)

    return load_arrays(spec, f"cifar10 {key} {path}", files, read)


def available(argument: str) -> bool:
    """Whether there is such a file or folder."""
    return Path(argument).expanduser().exists()


def unpickle(content: bytes, name: str) -> Any:
    """Return the content of a pickle of Python 2 or 3: dicts, lists, numbers, text; arrays are `pickles.Blank`.

    Raises DataError naming the first global that is not on the list, and for damage of any kind.
    """
    with untrusted(f"{name} is damaged"):
        try:
            return pickles.Machine(io.BytesIO(content), _GLOBALS, pickles.PYTHON2).run()
        except UserError as error:
            raise DataError(f"{name} {error}; this is not CIFAR-10") from error


def _pixels(blank: Any) -> np.ndarray:
    """What a pickle says of an array, uint8 [n, 3072]."""
    _, shape, dtype, fortran, content = blank.state
    content = _bytes(content)
    if dtype.code != "u1" or len(content) != math.prod(pickles.counts(shape)):
        raise ValueError("its array is not one of bytes")
    return np.frombuffer(content, np.uint8).reshape(
        shape, order="F" if fortran else "C"
    )


def _bytes(value: Any) -> bytes:
    """The bytes of a string, which the machine gives as text if Python 2 wrote it."""
    return value if isinstance(value, bytes) else value.encode("latin-1")


def _batches(contents: dict[str, bytes], spec: DataSpec) -> Arrays:
    dicts = {name: unpickle(content, name) for name, content in contents.items()}
    with untrusted(
        f"data source {spec.source!r} is not the python version of CIFAR-10"
    ):
        meta = dicts.pop(_META)
        names = tuple(_bytes(name).decode() for name in meta["label_names"])
        flat = np.concatenate([_pixels(batch["data"]) for batch in dicts.values()])
        listed = [label for batch in dicts.values() for label in batch["labels"]]
        if any(type(label) is not int for label in listed):  # NumPy would unfold lists
            raise ValueError("a label is no number")
        labels = np.array(listed, np.int64)
        images = flat.reshape(len(flat), 3, 32, 32).transpose(0, 2, 3, 1)
    return Arrays(images, *check_labels(spec.source, labels, len(images), names))


def _read(files: list[Path]) -> dict[str, bytes]:
    for file in files:
        _refuse_large(file.name, file.stat().st_size)
    return {file.name: file.read_bytes() for file in files}


def _unpack(path: Path, wanted: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with (
        untrusted(f"{path} cannot be read as a .tar.gz file"),
        _Unpacked(path) as stream,
        tarfile.open(fileobj=stream, mode="r:") as archive,
    ):
        for count, member in enumerate(archive):
            if count == _MAX_MEMBERS:
                raise ValueError(f"more members than the limit of {_MAX_MEMBERS:,}")
            zips.refuse_outside(member.name)
            name = Path(member.name).name
            if name in wanted and member.isreg():
                _refuse_large(name, member.size)
                if name in found:
                    raise ValueError(f"two members {name}")
                found[name] = archive.extractfile(member).read()
    _refuse_missing(path, [name for name in wanted if name not in found])
    return {name: found[name] for name in wanted}


class _Unpacked(gzip.GzipFile):
    """A stream that gives out no more than a genuine one could ask for: tarfile believes what headers say."""

    def read(self, size: int | None = -1) -> bytes:
        whole = size is None or size < 0
        if whole or size > _MAX_FILE or self.tell() + size > _MAX_TOTAL:
            raise ValueError(f"a part beyond the limit of {_MAX_TOTAL:,} bytes")
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        if not 0 <= offset <= _MAX_TOTAL:
            raise ValueError(f"a part beyond the limit of {_MAX_TOTAL:,} bytes")
        return super().seek(offset, whence)


def _refuse_large(name: str, size: int) -> None:
    if size > _MAX_FILE:
        raise DataError(
            f"{name} has {size:,} bytes, more than the limit of {_MAX_FILE:,}"
        )


def _refuse_missing(path: Path, missing: list[str]) -> None:
    if missing:
        raise DataError(_HELP.format(path=path, missing=", ".join(missing)))
