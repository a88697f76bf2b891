"""The settings of a sweep: what `--sweep=...`, `get_sweep()` or a CSV file ask for, as values of config fields.

    optim.disc.lr=1e-4,3e-4;penalty.r1=0.1,1,10;seed=0..9        a product of three lists: 2 x 3 x 10
    optim.gen.lr=1e-4,2e-4 & optim.disc.lr=4e-4,8e-4             lists side by side (zip): 2
    optim.gen.lr=log:1e-5:1e-2:20 & optim.disc.lr=log:1e-5:1e-2:20    20 points of a random search

Values: a list with commas, whole numbers FIRST..LAST, or N draws log:LOW:HIGH:N (log-uniform), uniform:LOW:HIGH:N.
"""

import csv
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.config import ConfigError, check_value, known, parse

Setting = dict[str, Any]
MOST = 100_000  # settings of one sweep
SEED = 2020  # of random draws; each field has a stream of its own


def settings_of(given: Any) -> list[Setting]:
    """The settings that a text, the name of a .csv file, or a list of dicts {field: value} asks for, in order.

    Raises ConfigError for an unknown or repeated field, a value of the wrong type, two equal settings, or none.
    """
    if isinstance(given, list | tuple):
        found = [{known(n): typed(n, x) for n, x in row.items()} for row in given]
    elif given.endswith(".csv"):
        found = from_csv(Path(given))
    else:
        found = from_text(given)
    if not found or not found[0]:
        raise ConfigError("the sweep has no settings: --sweep='FIELD=VALUE,VALUE;...'")
    if len(found) > MOST:
        raise ConfigError(f"the sweep has {len(found):,} settings; at most {MOST:,}")
    seen: set[tuple] = set()
    for setting in found:
        key = tuple(sorted(setting.items()))
        if key in seen:
            raise ConfigError(f"the sweep has the setting {written(setting)} twice")
        seen.add(key)
    return found


def written(setting: Setting) -> str:
    """A setting as text, as `--sweep` would take it."""
    return ";".join(f"{name}={value}" for name, value in setting.items())


def typed(name: str, value: Any) -> Any:
    """A value as its field has it: text is parsed, a whole number may stand for a float. Raises ConfigError."""
    value = parse(name, value) if isinstance(value, str) else value
    check_value(name, value)
    return value


def from_text(text: str) -> list[Setting]:
    """The product of the factors between semicolons."""
    factors = [factor(part) for part in text.split(";") if part.strip()]
    names = [name for rows in factors for name in rows[0]]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"the sweep names {', '.join(sorted(twice))} twice")
    count = math.prod(len(rows) for rows in factors)
    if count > MOST:
        raise ConfigError(f"the sweep has {count:,} settings; at most {MOST:,}")
    return [
        {name: value for row in rows for name, value in row.items()}
        for rows in itertools.product(*factors)
        if rows
    ]


def factor(text: str) -> list[Setting]:
    """One list, or several of the same length side by side."""
    columns = {}
    for part in text.split("&"):
        name, equals, values = (x.strip() for x in part.partition("="))
        if not equals or not values:
            raise ConfigError(f"{part.strip()!r} in --sweep is written FIELD=VALUES")
        if name in columns:
            raise ConfigError(f"the sweep names {name} twice")
        columns[known(name)] = values_of(name, values)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ConfigError(f"lists joined by & must be as long as each other: {shown}")
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def values_of(name: str, text: str) -> list[Any]:
    """The values of one field."""
    kind, _, rest = text.partition(":")
    if kind in DRAWS and rest:
        return drawn(name, kind, rest)
    if ".." in text and "," not in text:
        first, _, last = text.partition("..")
        if first.strip().isdigit() and last.strip().isdigit():
            numbers = range(int(first), int(last) + 1)
            return [typed(name, str(number)) for number in numbers]
    return [typed(name, value.strip()) for value in text.split(",")]


def drawn(name: str, kind: str, text: str) -> list[Any]:
    """Seeded random values of a field of floats."""
    try:
        low, high, count = text.split(":")
        low, high, count = float(low), float(high), int(count)
    except ValueError:
        raise ConfigError(
            f"{name}={kind}:{text} is written {kind}:LOW:HIGH:N"
        ) from None
    if not (low < high and count > 0 and (kind != "log" or low > 0)):
        raise ConfigError(
            f"{name}={kind}:{text}: LOW must be below HIGH (above 0 for log) and N at least 1"
        )
    stream = np.random.default_rng([SEED, *name.encode()])
    return [typed(name, float(x)) for x in DRAWS[kind](stream, low, high, count)]


def from_csv(path: Path) -> list[Setting]:
    """A setting a line; the first line names the fields."""
    try:
        with open(path, newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"cannot read the settings in {path}: {error}") from error
    if len(rows) < 2:
        raise ConfigError(f"{path} has no settings: a line of fields, then one each")
    head, *body = rows
    for number, row in enumerate(body, start=2):
        if len(row) != len(head):
            raise ConfigError(
                f"{path}, line {number} has {len(row)} values for {len(head)} fields"
            )
    names = [known(name.strip()) for name in head]
    return [
        {n: typed(n, x.strip()) for n, x in zip(names, row, strict=True)}
        for row in body
    ]


DRAWS = {
    "log": lambda stream, low, high, n: np.exp(
        stream.uniform(np.log(low), np.log(high), n)
    ),
    "uniform": lambda stream, low, high, n: stream.uniform(low, high, n),
}
