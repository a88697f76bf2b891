"""CIFAR-10 in its python version: pickles, read through an unpickler that runs nothing of what they name.

A batch is a dict of b"data", uint8 [n, 3072] (the red plane, green, blue, each 32 x 32), and b"labels". The few
globals that its NumPy array needs are replaced by the plain records below, so a file can only hold data.
"""

import io
import math
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.data.arrays import DAMAGED, Arrays, check_labels, load_arrays
from gan_jax.data.spec import DataError, Dataset, DataSpec, check_split

_BATCHES = {
    "train": [f"data_batch_{i}" for i in range(1, 6)],
    "test": ["test_batch"],
}
_META = "batches.meta"
_FOLDER = "cifar-10-batches-py"
_MAX_FILE = 64 * 2**20  # the genuine ones have 31 MB
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
    """Return a python2 pickle's content (its strings as bytes); arrays are `_Array`.

    Raises DataError naming the first global that is not on the list, and for damage of any kind.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise DataError(f"{name} is damaged: {error!r}") from error


class _DType:
    """What a pickle says of a dtype: its code, `u1` for bytes."""

    def __init__(self, code: Any, *rest: Any):
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: Any) -> None:
        """Byte order, fields: nothing that matters for bytes."""


class _Array:
    """What a pickle says of an array; `pixels` checks it and makes one of it."""

    state: tuple[Any, ...] = ()

    def __init__(self, *rest: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def pixels(self) -> np.ndarray:
        _, shape, dtype, fortran, content = self.state
        if dtype.code != "u1" or len(content) != math.prod(shape):
            raise DataError("its array is not one of bytes")
        order = "F" if fortran else "C"
        return np.frombuffer(content, np.uint8).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    """Bytes that a newer Python wrote in protocol 2."""
    return text.encode("latin1")


_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _GLOBALS:
            raise DataError(
                f"refused to load the pickled global {module}.{name}; this is not CIFAR-10"
            )
        return _GLOBALS[module, name]


def _batches(contents: dict[str, bytes], spec: DataSpec) -> Arrays:
    dicts = {name: unpickle(content, name) for name, content in contents.items()}
    try:
        meta = dicts.pop(_META)
        names = tuple(name.decode() for name in meta[b"label_names"])
        flat = np.concatenate([batch[b"data"].pixels() for batch in dicts.values()])
        labels = np.array(
            [label for batch in dicts.values() for label in batch[b"labels"]]
        )
        images = flat.reshape(len(flat), 3, 32, 32).transpose(0, 2, 3, 1)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"data source {spec.source!r} is not the python version of CIFAR-10: {error!r}"
        ) from error
    return Arrays(images, *check_labels(spec.source, labels, len(images), names))


def _read(files: list[Path]) -> dict[str, bytes]:
    for file in files:
        _refuse_large(file.name, file.stat().st_size)
    return {file.name: file.read_bytes() for file in files}


def _unpack(path: Path, wanted: list[str]) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in wanted and member.isreg():
                    _refuse_large(name, member.size)
                    found[name] = archive.extractfile(member).read()
    except DataError:
        raise
    except (tarfile.TarError, *DAMAGED) as error:
        raise DataError(f"{path} cannot be read as a .tar.gz file: {error}") from error
    _refuse_missing(path, [name for name in wanted if name not in found])
    return {name: found[name] for name in wanted}


def _refuse_large(name: str, size: int) -> None:
    if size > _MAX_FILE:
        raise DataError(
            f"{name} has {size:,} bytes, more than the limit of {_MAX_FILE:,}"
        )


def _refuse_missing(path: Path, missing: list[str]) -> None:
    if missing:
        raise DataError(_HELP.format(path=path, missing=", ".join(missing)))
