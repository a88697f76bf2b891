"""What a config field is, and the rules that its value may be asked to keep."""

import math
import reprlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gan_jax.types import UserError, lookup

Rule = Callable[[str, Any], None]
NUMERIC = ("number", "switch")  # kinds whose values are float32 in the program
MOST = {"seed": 2**32 - 1}  # of whole numbers, by kind; the others:
INT32 = 2**31 - 1
SMALLEST, LARGEST = (
    float(x) for x in (np.finfo(np.float32).tiny, np.finfo(np.float32).max)
)


class Field(NamedTuple):
    """A row: the default also fixes the type; `rule(name, value)` raises UserError when it is not kept."""

    default: Any
    kind: str
    rule: Rule
    help: str


def shown(value: Any) -> str:
    """A value of any type as a sentence can hold it."""
    if isinstance(value, int) and abs(value) >= 2**64:
        return f"a whole number of {value.bit_length()} bits"
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # digits that Python refuses to write, in a list
        return f"a {type(value).__name__}"


def check_type(name: str, field: Field, value: Any) -> None:
    """Raise UserError unless a value is of the default's type (a whole number may stand for a float)."""
    kind, given = type(field.default), type(value)
    if given is not kind and not (kind is float and given is int):
        raise UserError(
            f"{name} is {shown(value)} ({given.__name__}); expected {kind.__name__}, such as {field.default!r}"
        )


def in_float32(value: float | int) -> bool:
    """Whether a number is neither infinite nor 0 by rounding to float32."""
    return value == 0 or SMALLEST <= abs(value) <= LARGEST


def check_field(name: str, field: Field, value: Any) -> None:
    """Raise UserError unless a value is of its field's type, can be held by the program, and keeps the field's rule."""
    check_type(name, field, value)
    if type(field.default) is int and abs(value) > MOST.get(field.kind, INT32):
        most = MOST.get(field.kind, INT32)
        raise UserError(f"{name} is {shown(value)}; it must be at most {most}")
    if type(value) is float and not math.isfinite(value):
        raise UserError(f"{name} is {value!r}; it must be finite")
    if type(field.default) is float and not in_float32(value):
        raise UserError(
            f"{name} is {shown(value)}; in float32 it must be 0, or from {SMALLEST:.2g} to {LARGEST:.2g} in size"
        )
    field.rule(name, value)
    if field.kind in NUMERIC:
        try:
            field.rule(name, float(np.float32(value)))
        except UserError as error:
            raise UserError(f"{error}; float32 rounds {value!r} to that") from error


def between(low: float, high: float = math.inf, open_end: bool = False) -> Rule:
    """Rule: low <= value <= high (or < high)."""

    def rule(name: str, value: Any) -> None:
        inside = low <= value < high if open_end else low <= value <= high
        if not inside:
            upper = (
                "" if high == math.inf else f" and {'<' if open_end else '<='} {high:g}"
            )
            raise UserError(f"{name} is {value!r}; it must be >= {low:g}{upper}")

    return rule


def above_zero(name: str, value: Any) -> None:
    """Rule: value > 0."""
    if not value > 0:
        raise UserError(f"{name} is {value!r}; it must be > 0")


def either_way(name: str, value: Any) -> None:
    """Rule: -1 < value < 1."""
    if not -1 < value < 1:
        raise UserError(f"{name} is {value!r}; it must be > -1 and < 1")


def anything(name: str, value: Any) -> None:
    """Rule: every value of the right type."""


def choice(*names: str) -> Rule:
    """Rule: one of these words."""
    table = dict.fromkeys(names)

    def rule(name: str, value: Any) -> None:
        lookup(name, table, value, own=False)

    rule.choices = names
    return rule


def one_of(table: Mapping[str, Any], *others: str) -> Rule:
    """Rule: a name in the table, one of the others, or "package.module:attribute" of your own, of the table's type."""
    example = next(iter(table.values()))
    function = callable(example)

    def rule(name: str, value: Any) -> None:
        if value in others:
            return
        found = lookup(name, table, value)
        if not (callable(found) if function else isinstance(found, type(example))):
            wanted = "a function" if function else f"a {type(example).__name__}"
            raise UserError(
                f"{name} {value!r} is {shown(found)}, not {wanted}; write such a one, or choose of: {', '.join(table)}"
            )

    rule.choices = tuple(table)
    return rule


whole = between(1.0)
from_zero = between(0.0)
fraction = between(0.0, 1.0)
decay = between(0.0, 1.0, open_end=True)
