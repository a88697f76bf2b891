"""Weight files of other frameworks as NumPy arrays; nothing in a file is executed, imported or trusted.

A pickle is a program for a small machine. The machine here knows the opcodes that plain arrays need and, of
callables, a table of stand-ins that only note what the file says. Arrays are built at the end, from sizes checked
against the bytes that are there. `pickle.Unpickler` with its own `find_class` is not enough: in Python 3.11 nine bytes
make it fill gigabytes (a large memo index) and a nested tuple as a key ends the process. The formats of torch.save are
those of torch/serialization.py.
"""

import io
import math
import pickletools
import zipfile
from collections import namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gan_jax.types import UserError

_LARGEST, _STEPS = 2**31, 1_000_000  # bytes of a file; opcodes of a pickle
_MEMBERS, _ENTRIES, _DEPTH = 20_000, 100_000, 20  # of an archive; of a tree of dicts
_GROWTH = 4  # arrays may share bytes of the file; together they are at most so many times as large
_Storage = namedtuple("_Storage", "dtype numel")
_Tensor = namedtuple("_Tensor", "key offset size stride")  # key: of its storage
_Blank = SimpleNamespace  # an array or dtype, made first and filled in later by a BUILD
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
        _need(path.stat().st_size <= _LARGEST, f"has over {_LARGEST} bytes")
        return form(path.read_bytes())
    except UserError as error:
        raise UserError(f"{path} {error}. {_ADVICE}") from error
    except Exception as error:  # hostile bytes can make any step fail
        why = f"{type(error).__name__}: {error}"[:200]
        raise UserError(f"{path} is damaged ({why}). {_ADVICE}") from error


def _need(truth: bool, why: str) -> None:
    if not truth:
        raise UserError(why)


class _Machine:
    """Runs one pickle from a stream, which is left after its end."""

    def __init__(self, stream: io.BytesIO, known: Mapping[str, Any]):
        """`known` maps "module name" to a function of this file, or a constant."""
        self.stream, self.known = stream, known
        self.stack, self.marks, self.memo, self.storages = [], [], {}, {}

    def run(self) -> Any:
        for _ in range(_STEPS):
            code = self.stream.read(1)
            _need(code != b"", "ends too early")
            # looked up before its argument is read: some arguments are costly to decode
            opcode = pickletools.code2op.get(code.decode("latin-1"))
            name = opcode.name if opcode else repr(code)
            _need(name in _OPCODES, f"has the pickle opcode {name}, which is refused")
            argument = opcode.arg.reader(self.stream) if opcode.arg else None
            if name == "STOP":
                return self.pop(1)[0]
            _OPCODES[name](self, argument)
        raise UserError(f"has a pickle of more than {_STEPS} opcodes")

    def pop(self, n: int) -> list[Any]:
        begin = len(self.stack) - n
        _need(begin >= 0, "has a pickle that takes what it has not put")
        items = self.stack[begin:]
        del self.stack[begin:]
        return items

    def to_mark(self) -> list[Any]:
        return self.pop(len(self.stack) - self.marks.pop())

    def named(self, name: str) -> None:
        """GLOBAL, and STACK_GLOBAL once its two names are joined."""
        full = name[:100].replace(" ", ".")
        _need(name in self.known, f"asks for {full!r}, which is refused")
        self.stack.append(self.known[name])

    def call(self, function: Any, arguments: Any) -> None:
        """REDUCE: the functions on the stack are those of the table, a pickle cannot make others."""
        plain = isinstance(function, FunctionType) and type(arguments) is tuple
        _need(plain and len(arguments) <= 7, "calls what cannot be called so")
        self.stack.append(function(*arguments))

    def build(self, state: Any) -> None:
        """BUILD: a blank is filled in; attributes of a dict (torch's _metadata) are dropped."""
        target = self.stack[-1]
        _need(isinstance(target, _Blank | dict), "sets a state where none is")
        if isinstance(target, _Blank):
            target.state = state

    def set_items(self, items: list[Any]) -> None:
        """SETITEM and SETITEMS. Keys are text: hashing a nested tuple can take forever."""
        _need(type(self.stack[-1]) is dict, "sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            _need(type(key) is str, "has a dict with a key that is no text")
            self.stack[-1][key] = value

    def extend(self, items: list[Any]) -> None:
        _need(type(self.stack[-1]) is list, "extends what is no list")
        self.stack[-1].extend(items)

    def storage(self, identity: Any) -> None:
        """BINPERSID: ("storage", type, key, place, number of elements, no view). The key stands for it."""
        kind, dtype, key, _, numel, *view = identity
        plain = kind == "storage" and isinstance(dtype, np.dtype) and type(key) is str
        _need(plain and view in ([], [None]), "has a storage of an unknown kind")
        storage = _Storage(dtype, *_counts((numel,)))
        once = self.storages.setdefault(key, storage) == storage
        _need(once, "describes a storage in two ways")
        self.stack.append(key)


def _counts(numbers: Any) -> tuple[int, ...]:
    plain = type(numbers) is tuple and len(numbers) <= 32
    plain = plain and all(type(n) is int and n >= 0 for n in numbers)
    _need(plain, "has a size, stride or offset that is no natural number")
    return numbers


def _torch(data: bytes) -> dict[str, np.ndarray]:
    read = _torch_zip if data.startswith(b"PK\3\4") else _torch_stream
    state, storages, raw = read(data)
    _need(type(state) is dict, "does not hold a state dict")
    flat = {key: np.frombuffer(raw[key], storages[key].dtype) for key in storages}
    same = all(len(flat[key]) == storages[key].numel for key in flat)
    _need(same, "has a storage of another size than it says")
    total = 0
    for name, tensor in state.items():
        _need(type(tensor) is _Tensor, f"holds {name[:100]!r}, which is no tensor")
        total += math.prod(tensor.size) * flat[tensor.key].itemsize
    _need(total <= _GROWTH * len(data), "has tensors far larger than the file")
    return {name: _strided(t, flat[t.key]) for name, t in state.items()}


def _strided(tensor: _Tensor, flat: np.ndarray) -> np.ndarray:
    """Copy a tensor out of its storage, after checking that its last element lies inside."""
    if not math.prod(tensor.size):
        return np.zeros(tensor.size, flat.dtype)
    steps = zip(tensor.size, tensor.stride, strict=True)
    last = tensor.offset + sum((n - 1) * step for n, step in steps)
    _need(last < len(flat), "has a tensor that reaches outside its storage")
    strides = [step * flat.itemsize for step in tensor.stride]
    view = as_strided(flat[tensor.offset :], tensor.size, strides)
    return np.array(view, flat.dtype, order="C")


def _torch_zip(data: bytes) -> tuple[Any, dict[str, _Storage], dict[str, bytes]]:
    """FOLDER/data.pkl, FOLDER/data/KEY for each storage, FOLDER/byteorder; none of them compressed."""
    _need(data.count(b"PK\1\2") <= _MEMBERS, f"has over {_MEMBERS} members")
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {member.filename: member for member in archive.infolist()}
    _need(len(members) == len(archive.infolist()), "has two members of one name")
    for m in members.values():
        stored = m.compress_type == 0 and m.file_size == m.compress_size
        _need(stored, "has a compressed member, which torch.save does not write")
    total = sum(m.file_size for m in members.values())
    _need(total <= len(data), "has members larger than the file")
    folders = [n[: -len("/data.pkl")] for n in members if n.endswith("/data.pkl")]
    _need(len(folders) == 1, "is an archive, but none of torch.save")
    if (order := f"{folders[0]}/byteorder") in members:
        _need(archive.read(order) == b"little", "has numbers that are big-endian")
    machine = _Machine(io.BytesIO(archive.read(f"{folders[0]}/data.pkl")), _TORCH)
    state = machine.run()
    raw = {key: archive.read(f"{folders[0]}/data/{key}") for key in machine.storages}
    return state, machine.storages, raw


def _torch_stream(data: bytes) -> tuple[Any, dict[str, _Storage], dict[str, Any]]:
    """Five pickles (magic, protocol, system, object, keys of the storages), then each storage after its length."""
    stream = io.BytesIO(data)
    magic, protocol, system = (_Machine(stream, {}).run() for _ in range(3))
    _need((magic, protocol) == (_MAGIC, 1001), "is not a file of torch.save")
    _need(system["little_endian"] is True, "has numbers that are big-endian")
    machine = _Machine(stream, _TORCH)
    state, keys = machine.run(), _Machine(stream, {}).run()
    raw, end = {}, stream.tell()
    for key in keys:
        _need(type(key) is str, "has a storage whose key is no text")
        dtype, numel = machine.storages[key]
        begin, end = end + 8, end + 8 + numel * dtype.itemsize
        said = int.from_bytes(data[begin - 8 : begin], "little")
        _need(said == numel, "has a storage of another size than it says")
        raw[key] = memoryview(data)[begin:end]
    _need(end == len(data), "has bytes that belong to nothing, or lacks some")
    return state, machine.storages, raw


def _numpy(data: bytes) -> dict[str, Any]:
    value = _Machine(io.BytesIO(data), _NUMPY).run()
    _need(type(value) is dict, "does not hold a dict")
    return _tree(value, {"entries": _ENTRIES, "bytes": _GROWTH * len(data)}, _DEPTH)


def _tree(value: Any, left: dict[str, int], depth: int) -> Any:
    """Arrays for blanks. A dict may stand in many places, so what is `left` to build is counted."""
    left["entries"] -= 1
    _need(left["entries"] >= 0 < depth, "has too many dicts, or too deep ones")
    if type(value) is dict:
        return {name: _tree(part, left, depth - 1) for name, part in value.items()}
    _need(isinstance(value, _Blank), "holds what is neither an array nor a dict")
    _, shape, kind, fortran, raw = value.state  # as in ndarray.__reduce__
    shape, dtype = _counts(shape), _dtype(kind)
    same = type(raw) is bytes and len(raw) == math.prod(shape) * dtype.itemsize
    _need(same, "has an array of another size than it says")
    left["bytes"] -= len(raw)
    _need(left["bytes"] >= 0, "has arrays far larger than the file")
    array = np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")
    return np.array(array, dtype.newbyteorder("="), order="C")


def _dtype(kind: Any) -> np.dtype:
    """A dtype of plain numbers; its state is (version, byte order, what structures and objects have)."""
    plain = isinstance(kind, _Blank) and type(kind.code) is str and kind.code in _CODES
    _need(plain and kind.state[1] in ("<", ">", "|"), "has an array of no numbers")
    return np.dtype(kind.code).newbyteorder(kind.state[1])


def _tensor(key, offset, size, stride, _grad, _hooks, _metadata=None) -> _Tensor:
    """Stand in for torch._utils._rebuild_tensor_v2."""
    _need(type(key) is str, "has a tensor without a storage")
    return _Tensor(key, *_counts((offset,)), _counts(size), _counts(stride))


# What is not here (INST, OBJ, NEWOBJ, EXT1, LONG4, ...) no file of plain arrays needs.
_OPCODES: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.to_mark())),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.pop(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.pop(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.pop(3))),
    "SETITEM": lambda m, _: m.set_items(m.pop(2)),
    "SETITEMS": lambda m, _: m.set_items(m.to_mark()),
    "APPEND": lambda m, _: m.extend(m.pop(1)),
    "APPENDS": lambda m, _: m.extend(m.to_mark()),
    "BINPUT": lambda m, n: m.memo.update({n: m.stack[-1]}),
    "LONG_BINPUT": lambda m, n: m.memo.update({n: m.stack[-1]}),
    "MEMOIZE": lambda m, _: m.memo.update({len(m.memo): m.stack[-1]}),
    "BINGET": lambda m, n: m.stack.append(m.memo[n]),
    "LONG_BINGET": lambda m, n: m.stack.append(m.memo[n]),
    "GLOBAL": lambda m, name: m.named(name),
    "STACK_GLOBAL": lambda m, _: m.named(" ".join(m.pop(2))),
    "REDUCE": lambda m, _: m.call(*m.pop(2)),
    "BUILD": lambda m, _: m.build(*m.pop(1)),
    "BINPERSID": lambda m, _: m.storage(*m.pop(1)),
    **dict.fromkeys(["STOP", "PROTO", "FRAME"], lambda m, _: None),
    **dict.fromkeys(
        "BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
        "BINBYTES SHORT_BINBYTES BINBYTES8".split(),
        lambda m, value: m.stack.append(value),
    ),
}
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
_NUMPY = {
    "numpy.core.multiarray _reconstruct": lambda *_: _Blank(state=None),
    "numpy._core.multiarray _reconstruct": lambda *_: _Blank(state=None),
    "numpy ndarray": None,
    "numpy dtype": lambda code, *_: _Blank(code=code, state=None),
}
_ADVICE = "Get it again, or save arrays by name in it and nothing else: torch.save(model.state_dict(), path)"
