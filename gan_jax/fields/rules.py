"""What a config field is, and the rules that its value may be asked to keep."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gan_jax.types import UserError, lookup

Rule = Callable[[str, Any], None]


class Field(NamedTuple):
    """A row: the default also fixes the type; `rule(name, value)` raises UserError when it is not kept."""

    default: Any
    kind: str
    rule: Rule
    help: str


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
    """Rule: a name in the table, one of the others, or "package.module:attribute" of your own."""

    def rule(name: str, value: Any) -> None:
        if value not in others:
            lookup(name, table, value)

    rule.choices = tuple(table)
    return rule


whole = between(1.0)
from_zero = between(0.0)
fraction = between(0.0, 1.0)
decay = between(0.0, 1.0, open_end=True)
