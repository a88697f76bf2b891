"""The text of the field `schedule`: which numbers change over a run, and how."""

import math
from typing import Any, NamedTuple

from gan_jax.fields.rules import in_float32
from gan_jax.tricks import SCHEDULES
from gan_jax.types import UserError, lookup


class Schedule(NamedTuple):
    """One entry: the kind of tricks.SCHEDULES, and the numbers that `tricks.scheduled` takes."""

    kind: str
    numbers: dict[str, float]


def parse_schedules(text: str) -> dict[str, Schedule]:
    """Parse "optim.gen.lr=linear:0:100000:1:0;penalty.r1=cosine:0:5000:1:0.1" -> {field: Schedule}.

    Raises UserError with the form that is expected.
    """
    entries = {}
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, rest = entry.partition("=")
        kind, *numbers = rest.split(":")
        if equals:
            lookup("schedule kind", SCHEDULES, kind, own=False)
        try:
            begin, end, first, last = (float(number) for number in numbers)
            good = math.isfinite(begin + end) and end >= begin >= 0
            good = good and all(map(in_float32, (begin, end, first, last)))
        except ValueError:
            good = False
        if not (equals and good):
            raise UserError(
                f"schedule {entry!r}: expected FIELD=KIND:BEGIN:END:FIRST:LAST, such as "
                "optim.gen.lr=linear:0:100000:1:0 (steps BEGIN <= END, then two factors)"
            )
        if kind == "exponential" and not (
            first > 0 and last > 0 and in_float32(last / first)
        ):
            raise UserError(
                f"schedule {entry!r}: exponential needs factors above 0 whose ratio float32 can hold"
            )
        if name in entries:
            raise UserError(f"schedule names {name!r} twice")
        values = {"begin": begin, "end": end, "first": first, "last": last}
        entries[name] = Schedule(kind, values)
    return entries


def schedule_rule(name: str, value: Any) -> None:
    """Rule: text that `parse_schedules` can read."""
    del name
    parse_schedules(value)
