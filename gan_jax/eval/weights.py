"""Weight files of other frameworks as NumPy arrays; nothing in a file is executed, imported or trusted.

A pickle is run by the small machine of `data.pickles`. Arrays are built at the end, from sizes checked against the
bytes that are there. The formats of torch.save are those of torch/serialization.py.
"""

import io
import math
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gan_jax.data.pickles import ARRAYS, Blank, Machine, Storage, counts, need
from gan_jax.types import UserError

_LARGEST = 2**31  # bytes of a file
_MEMBERS, _ENTRIES, _DEPTH = 20_000, 100_000, 20  # of an archive; of a tree of dicts
_GROWTH = 4  # arrays may share bytes of the file; together they are at most so many times as large
_Tensor = namedtuple("_Tensor", "key offset size stride")  # key: of its storage
_MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save's stream


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """Return the state dict that torch.save wrote, in either of its two formats, without torch.

    Arrays are copies, C-contiguous, of float16 to float64, int8 to int64, uint8 or bool. Parameters and
    buffers are not told apart. Raises UserError for a missing, damaged or hostile file, or one that holds more.
    """
    return _read(Path(path), _torch)


def read_numpy_pickle(path: str | Path) -> dict[str, Any]:
    """Return a pickled dict of NumPy arrays of numbers, and of such dicts. Copies and errors as `read_torch`."""
    return _read(Path(path), _numpy)


def _read(path: Path, form: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"there is no file {path}; name a file of weights")
    try:
        need(path.stat().st_size <= _LARGEST, f"has over {_LARGEST} bytes")
        return form(path.read_bytes())
    except UserError as error:
        raise UserError(f"{path} {error}. {_ADVICE}") from error
    except Exception as error:  # hostile bytes can make any step fail
        why = f"{type(error).__name__}: {error}"[:200]
        raise UserError(f"{path} is damaged ({why}). {_ADVICE}") from error


def _torch(data: bytes) -> dict[str, np.ndarray]:
    read = _torch_zip if data.startswith(b"PK\3\4") else _torch_stream
    state, storages, raw = read(data)
    need(type(state) is dict, "does not hold a state dict")
    flat = {key: np.frombuffer(raw[key], storages[key].dtype) for key in storages}
    same = all(len(flat[key]) == storages[key].numel for key in flat)
    need(same, "has a storage of another size than it says")
    total = 0
    for name, tensor in state.items():
        need(type(tensor) is _Tensor, f"holds {name[:100]!r}, which is no tensor")
        total += math.prod(tensor.size) * flat[tensor.key].itemsize
    need(total <= _GROWTH * len(data), "has tensors far larger than the file")
    return {name: _strided(t, flat[t.key]) for name, t in state.items()}


def _strided(tensor: _Tensor, flat: np.ndarray) -> np.ndarray:
    """Copy a tensor out of its storage, after checking that its last element lies inside."""
    if not math.prod(tensor.size):
        return np.zeros(tensor.size, flat.dtype)
    steps = zip(tensor.size, tensor.stride, strict=True)
    last = tensor.offset + sum((n - 1) * step for n, step in steps)
    need(last < len(flat), "has a tensor that reaches outside its storage")
    strides = [step * flat.itemsize for step in tensor.stride]
    view = as_strided(flat[tensor.offset :], tensor.size, strides)
    return np.array(view, flat.dtype, order="C")


def _torch_zip(data: bytes) -> tuple[Any, dict[str, Storage], dict[str, bytes]]:
    """FOLDER/data.pkl, FOLDER/data/KEY for each storage, FOLDER/byteorder; none of them compressed."""
    need(data.count(b"PK\1\2") <= _MEMBERS, f"has over {_MEMBERS} members")
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {member.filename: member for member in archive.infolist()}
    need(len(members) == len(archive.infolist()), "has two members of one name")
    for m in members.values():
        stored = m.compress_type == 0 and m.file_size == m.compress_size
        need(stored, "has a compressed member, which torch.save does not write")
    total = sum(m.file_size for m in members.values())
    need(total <= len(data), "has members larger than the file")
    folders = [n[: -len("/data.pkl")] for n in members if n.endswith("/data.pkl")]
    need(len(folders) == 1, "is an archive, but none of torch.save")
    if (order := f"{folders[0]}/byteorder") in members:
        need(archive.read(order) == b"little", "has numbers that are big-endian")
    machine = Machine(io.BytesIO(archive.read(f"{folders[0]}/data.pkl")), _TORCH)
    state = machine.run()
    raw = {key: archive.read(f"{folders[0]}/data/{key}") for key in machine.storages}
    return state, machine.storages, raw


def _torch_stream(data: bytes) -> tuple[Any, dict[str, Storage], dict[str, Any]]:
    """Five pickles (magic, protocol, system, object, keys of the storages), then each storage after its length."""
    stream = io.BytesIO(data)
    magic, protocol, system = (Machine(stream, {}).run() for _ in range(3))
    need((magic, protocol) == (_MAGIC, 1001), "is not a file of torch.save")
    need(system["little_endian"] is True, "has numbers that are big-endian")
    machine = Machine(stream, _TORCH)
    state, keys = machine.run(), Machine(stream, {}).run()
    raw, end = {}, stream.tell()
    for key in keys:
        need(type(key) is str, "has a storage whose key is no text")
        dtype, numel = machine.storages[key]
        begin, end = end + 8, end + 8 + numel * dtype.itemsize
        said = int.from_bytes(data[begin - 8 : begin], "little")
        need(said == numel, "has a storage of another size than it says")
        raw[key] = memoryview(data)[begin:end]
    need(end == len(data), "has bytes that belong to nothing, or lacks some")
    return state, machine.storages, raw


def _numpy(data: bytes) -> dict[str, Any]:
    value = Machine(io.BytesIO(data), ARRAYS).run()
    need(type(value) is dict, "does not hold a dict")
    return _tree(value, {"entries": _ENTRIES, "bytes": _GROWTH * len(data)}, _DEPTH)


def _tree(value: Any, left: dict[str, int], depth: int) -> Any:
    """Arrays for blanks. A dict may stand in many places, so what is `left` to build is counted."""
    left["entries"] -= 1
    need(left["entries"] >= 0 < depth, "has too many dicts, or too deep ones")
    if type(value) is dict:
        return {name: _tree(part, left, depth - 1) for name, part in value.items()}
    need(isinstance(value, Blank), "holds what is neither an array nor a dict")
    _, shape, kind, fortran, raw = value.state  # as in ndarray.__reduce__
    shape, dtype = counts(shape), _dtype(kind)
    same = type(raw) is bytes and len(raw) == math.prod(shape) * dtype.itemsize
    need(same, "has an array of another size than it says")
    left["bytes"] -= len(raw)
    need(left["bytes"] >= 0, "has arrays far larger than the file")
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    return np.array(array, dtype.newbyteorder("="), order="C")


def _dtype(kind: Any) -> np.dtype:
    """A dtype of plain numbers; its state is (version, byte order, what structures and objects have)."""
    plain = isinstance(kind, Blank) and type(kind.code) is str and kind.code in _CODES
    need(plain and kind.state[1] in ("<", ">", "|"), "has an array of no numbers")
    return np.dtype(kind.code).newbyteorder(kind.state[1])


def _tensor(key, offset, size, stride, _grad, _hooks, _metadata=None) -> _Tensor:
    """Stand in for torch._utils._rebuild_tensor_v2."""
    need(type(key) is str, "has a tensor without a storage")
    return _Tensor(key, *counts((offset,)), counts(size), counts(stride))


_CODES = "b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split()
_STORAGES = "Bool b1 Byte u1 Char i1 Short <i2 Int <i4 Long <i8 Half <f2 Float <f4 Double <f8".split()
_TORCH = {
    "collections OrderedDict": lambda: {},
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
} | {
    f"torch {name}Storage": np.dtype(code)
    for name, code in zip(_STORAGES[::2], _STORAGES[1::2], strict=True)
}
_ADVICE = "Get it again, or save arrays by name in it and nothing else: torch.save(model.state_dict(), path)"
