"""A small machine for pickles that nobody vouches for: nothing in them is executed, imported or trusted.

A pickle is a program. The machine here knows the opcodes that plain data needs and, of callables, a table of
stand-ins that only note what the file says. `pickle.Unpickler` with its own `find_class` is not enough: in Python
3.11 nine bytes make it fill gigabytes (a large memo index) and a nested tuple as a key ends the process.
"""

import io
import pickletools
from collections import namedtuple
from collections.abc import Callable, Mapping
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from gan_jax.types import UserError

_STEPS = 1_000_000  # opcodes of a pickle
Storage = namedtuple("Storage", "dtype numel")
Blank = SimpleNamespace  # an array or dtype, made first and filled in later by a BUILD


def need(truth: bool, why: str) -> None:
    """Raise UserError with what a file does, as "has ..." or "asks ...", unless the condition holds."""
    if not truth:
        raise UserError(why)


class Machine:
    """Runs one pickle from a stream, which is left after its end. Keys of dicts come out as text."""

    def __init__(
        self, stream: io.BytesIO, known: Mapping[str, Any], opcodes: Any = None
    ):
        """`known` maps "module name" to a function of ours, or a constant; opcodes: `OPCODES` unless given."""
        self.stream, self.known, self.opcodes = stream, known, opcodes or OPCODES
        self.stack, self.marks, self.memo, self.storages = [], [], {}, {}

    def run(self) -> Any:
        """Return what the pickle holds. Raises UserError for what is refused; damage can raise nearly anything."""
        for _ in range(_STEPS):
            code = self.stream.read(1)
            need(code != b"", "ends too early")
            # looked up before its argument is read: some arguments are costly to decode
            opcode = pickletools.code2op.get(code.decode("latin-1"))
            name = opcode.name if opcode else repr(code)
            need(
                name in self.opcodes, f"has the pickle opcode {name}, which is refused"
            )
            argument = opcode.arg.reader(self.stream) if opcode.arg else None
            if name == "STOP":
                return self.pop(1)[0]
            self.opcodes[name](self, argument)
        raise UserError(f"has a pickle of more than {_STEPS} opcodes")

    def pop(self, n: int) -> list[Any]:
        """Take n values off the stack."""
        begin = len(self.stack) - n
        need(begin >= 0, "has a pickle that takes what it has not put")
        items = self.stack[begin:]
        del self.stack[begin:]
        return items

    def to_mark(self) -> list[Any]:
        """Take all values above the last mark."""
        return self.pop(len(self.stack) - self.marks.pop())

    def named(self, name: str) -> None:
        """GLOBAL, and STACK_GLOBAL once its two names are joined."""
        full = name[:100].replace(" ", ".")
        need(name in self.known, f"asks for {full!r}, which is refused")
        self.stack.append(self.known[name])

    def call(self, function: Any, arguments: Any) -> None:
        """REDUCE: the functions on the stack are those of the table, a pickle cannot make others."""
        plain = isinstance(function, FunctionType) and type(arguments) is tuple
        need(plain and len(arguments) <= 7, "calls what cannot be called so")
        self.stack.append(function(*arguments))

    def build(self, state: Any) -> None:
        """BUILD: a blank is filled in; attributes of a dict (torch's _metadata) are dropped."""
        target = self.stack[-1]
        need(isinstance(target, Blank | dict), "sets a state where none is")
        if isinstance(target, Blank):
            target.state = state

    def set_items(self, items: list[Any]) -> None:
        """SETITEM, SETITEMS and DICT. Keys are text: hashing a nested tuple can take forever."""
        need(type(self.stack[-1]) is dict, "sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            key = key.decode("latin-1") if type(key) is bytes else key
            need(type(key) is str, "has a dict with a key that is no text")
            self.stack[-1][key] = value

    def extend(self, items: list[Any]) -> None:
        """APPEND and APPENDS."""
        need(type(self.stack[-1]) is list, "extends what is no list")
        self.stack[-1].extend(items)

    def storage(self, identity: Any) -> None:
        """BINPERSID: ("storage", type, key, place, number of elements, no view). The key stands for it."""
        kind, dtype, key, _, numel, *view = identity
        plain = kind == "storage" and isinstance(dtype, np.dtype) and type(key) is str
        need(plain and view in ([], [None]), "has a storage of an unknown kind")
        storage = Storage(dtype, *counts((numel,)))
        once = self.storages.setdefault(key, storage) == storage
        need(once, "describes a storage in two ways")
        self.stack.append(key)


def counts(numbers: Any) -> tuple[int, ...]:
    """Return a tuple of at most 32 natural numbers as it is; anything else is refused."""
    plain = type(numbers) is tuple and len(numbers) <= 32
    plain = plain and all(type(n) is int and n >= 0 for n in numbers)
    need(plain, "has a size, stride or offset that is no natural number")
    return numbers


def _put_dict(m: Machine) -> None:
    items = m.to_mark()
    m.stack.append({})
    m.set_items(items)


# What is not here (INST, OBJ, NEWOBJ, EXT1, LONG4, ...) no file of plain arrays needs.
OPCODES: dict[str, Callable[[Machine, Any], Any]] = {
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
# What Python 2 wrote; its strings come out as text, one character for a byte.
PYTHON2: dict[str, Callable[[Machine, Any], Any]] = OPCODES | {
    "DICT": lambda m, _: _put_dict(m),
    "LIST": lambda m, _: m.stack.append(m.to_mark()),
    "PUT": lambda m, n: m.memo.update({n: m.stack[-1]}),
    "GET": lambda m, n: m.stack.append(m.memo[n]),
    **dict.fromkeys(
        ["INT", "STRING", "BINSTRING", "SHORT_BINSTRING"],
        lambda m, value: m.stack.append(value),
    ),
}
ARRAYS = {
    "numpy.core.multiarray _reconstruct": lambda *_: Blank(state=None),
    "numpy._core.multiarray _reconstruct": lambda *_: Blank(state=None),
    "numpy ndarray": None,
    "numpy dtype": lambda code, *_: Blank(code=code, state=None),
}
