"""What `sample` feeds a generator: samples, classes, paths through the latent space, arithmetic. Its flags and checks."""

import argparse
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import paths
from gan_jax.config import ConfigError
from gan_jax.feeding import MOST_COLUMNS, Fed, by_class, classes_of
from gan_jax.sampling import Run
from gan_jax.types import lookup

STEPS = 10  # pictures of a path
RANGE, STRIDE = 3.0, 0.3
SORTED, WANDERED = 4, 5  # folded into the seed's key


class Mode(NamedTuple):
    """A row of MODES: what makes the Fed; for a path, the order of its columns as frames."""

    feed: Callable[[argparse.Namespace, Run], Fed]
    frames: Callable[[int], Iterable[int]] | None = None


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags about latents; the modes exclude each other."""
    parser.add_argument(
        "--truncation",
        type=float,
        metavar="T",
        help="normal latents redrawn until |z| <= T: fewer kinds of pictures, better ones",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--by-class",
        action="store_true",
        help="each column one class (InfoGAN: one categorical code), each row one latent",
    )
    mode.add_argument(
        "--interpolate",
        nargs="?",
        const="slerp",
        choices=tuple(paths.CURVES),
        help="each row: from one latent to another, along the sphere (slerp, default) or straight; both: by turns",
    )
    mode.add_argument(
        "--walk", metavar="DIMS", help="each row: one latent dimension changes; 3,5,8"
    )
    mode.add_argument(
        "--random-walk",
        action="store_true",
        help="each row: a random walk that stays under the prior",
    )
    mode.add_argument(
        "--arithmetic",
        metavar="SUM",
        help="numbers of samples, as 3,7,9-1,4,5+2,6,8: each term the mean of its latents",
    )
    mode.add_argument(
        "--nearest",
        type=int,
        metavar="K",
        help="each row: a sample and the K training pictures nearest to it",
    )
    parser.add_argument(
        "--walk-range", type=float, help="--walk goes from -this to this (default 3)"
    )
    parser.add_argument(
        "--walk-sorted",
        action="store_true",
        help="--walk takes sorted normal draws times the range, not even steps",
    )
    parser.add_argument(
        "--stride", type=float, help="of --random-walk, in radians (default 0.3)"
    )


def given(args: argparse.Namespace, name: str) -> bool:
    """Whether a flag stands on the command line."""
    return getattr(args, name) not in (None, False)


def mode_of(args: argparse.Namespace) -> str:
    """The one of MODES that the flags name; "": plain samples."""
    return next((name for name in MODES if name and given(args, name)), "")


def flag(name: str) -> str:
    """A flag or mode as the user writes it."""
    return f"--{name.replace('_', '-')}" if name else "plain samples"


def check(args: argparse.Namespace) -> None:
    """Raise ConfigError for values of flags that mean nothing, and flags that would do nothing."""
    mode = mode_of(args)
    for name, modes in BELONGS.items():
        if given(args, name) and mode not in modes:
            raise ConfigError(
                f"{flag(name)} belongs to {', '.join(map(flag, modes))}: leave it out"
            )
    for name, (most, said) in LIMITS.items():
        value = getattr(args, name)
        if value is not None and not (0 < value <= most and math.isfinite(value)):
            raise ConfigError(f"{flag(name)}={value:g}; it must be {said}")
    if args.walk is not None:
        dims_of(args.walk)
    if args.arithmetic is not None:
        terms_of(args.arithmetic)


def dims_of(text: str) -> list[int]:
    """The dimensions that --walk names, as in "25" or "25,50,75"."""
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        raise ConfigError(f"--walk={text}; give dimensions with commas, as in 25,50")
    return [int(word) for word in text.split(",")]


def terms_of(text: str) -> list[paths.Term]:
    """The terms of --arithmetic, as in "3,7,9-1,4,5+2,6,8"."""
    bare = re.sub(r"\s", "", text)
    if not re.fullmatch(r"[+-]?\d+(,\d+)*([+-]\d+(,\d+)*)*", bare):
        raise ConfigError(
            f"--arithmetic={text}; give numbers of samples with commas, and + or - between terms, as in "
            "3,7,9-1,4,5+2,6,8"
        )
    return [
        paths.Term(-1 if sign == "-" else 1, tuple(map(int, numbers.split(","))))
        for sign, numbers in re.findall(r"([+-]?)([\d,]+)", bare)
    ]


def label_of(text: str | None, run: Run) -> int | None:
    """The class that --label names by its number, or by its name where the generator is told labels."""
    if text is None or text.lstrip("-").isdigit():
        return None if text is None else int(text)
    spec = run.recipe.model
    codes = map(str, range(classes_of(spec)))  # InfoGAN's classes have no names
    names = codes if spec.condition == "none" else run.labels
    table = {name: i for i, name in enumerate(names)}
    if not table:
        raise ConfigError("this run was trained without labels: leave --label out")
    return lookup("--label", table, text, False)


def fed_of(args: argparse.Namespace, run: Run) -> Fed:
    """What the generator is fed by the flags, and the columns of the grid."""
    return MODES[mode_of(args)].feed(args, run)


def latents(args: argparse.Namespace, run: Run, n: int) -> Any:
    """The first n latents of the seed, truncated if that is asked for."""
    return cut(args, run, run.latents(n, args.seed))


def cut(args: argparse.Namespace, run: Run, z: Any) -> Any:
    """Latents truncated if that is asked for."""
    limit = args.truncation
    return z if limit is None else paths.truncated(run.recipe.model, z, limit)


def plain(args: argparse.Namespace, run: Run) -> Fed:
    """n samples."""
    z = latents(args, run, args.n)
    fed = run.feed(z, args.seed, label_of(args.label, run))
    return fed._replace(columns=args.columns or 0)


def classes(args: argparse.Namespace, run: Run) -> Fed:
    """Each latent once for each class."""
    spec = run.recipe.model
    if not classes_of(spec) or args.label is not None:
        raise ConfigError("--by-class needs a run with classes, and no --label")
    rows = max(1, args.n // min(classes_of(spec), MOST_COLUMNS))
    return by_class(spec, latents(args, run, rows))


def size_of(args: argparse.Namespace, blocks: int = 1) -> tuple[int, int]:
    """Rows of each of the blocks, and columns, of --n pictures along paths."""
    columns = args.columns or STEPS
    return max(1, args.n // (columns * blocks)), columns


def along(args: argparse.Namespace, run: Run, z: Any, samples: np.ndarray) -> Fed:
    """Latents of paths, row by row. A row keeps the class of the sample whose number `samples` has for it."""
    label = label_of(args.label, run)
    fed, columns = run.feed(z, args.seed, label), len(z) // len(samples)
    if fed.label is not None and label is None:
        many = int(samples.max()) + 1
        drawn = run.feed(run.latents(many, args.seed), args.seed).label
        fed = fed._replace(label=jnp.repeat(drawn[samples], columns))
    return fed._replace(columns=columns)


def interpolated(args: argparse.Namespace, run: Run) -> Fed:
    """Rows between samples 0 and 1, 2 and 3, ..."""
    curves = paths.CURVES[args.interpolate]
    rows, columns = size_of(args, len(curves))
    z = paths.interpolation(latents(args, run, 2 * rows), columns, curves)
    return along(args, run, z, np.repeat(np.arange(0, 2 * rows, 2), len(curves)))


def walked(args: argparse.Namespace, run: Run) -> Fed:
    """A block of rows for each dimension, the same samples in each."""
    dims = dims_of(args.walk)
    rows, columns = size_of(args, len(dims))
    values = jnp.linspace(-1.0, 1.0, columns)
    if args.walk_sorted:
        key = jax.random.fold_in(jax.random.key(args.seed), SORTED)
        values = jnp.sort(jax.random.normal(key, (columns,)))
    reach = RANGE if args.walk_range is None else args.walk_range
    z = paths.walk(latents(args, run, rows), dims, reach * values)
    return along(args, run, z, np.tile(np.arange(rows), len(dims)))


def wandered(args: argparse.Namespace, run: Run) -> Fed:
    """Rows that begin at each sample; each point is truncated, which keeps the law at every one."""
    rows, columns = size_of(args)
    key = jax.random.fold_in(jax.random.key(args.seed), WANDERED)
    stride = STRIDE if args.stride is None else args.stride
    start = run.latents(rows, args.seed)
    z = paths.random_walk(run.recipe.model, key, start, stride, columns)
    return along(args, run, cut(args, run, z), np.arange(rows))


def summed(args: argparse.Namespace, run: Run) -> Fed:
    """The members of each term and their mean, and last the result."""
    label = label_of(args.label, run)
    if run.recipe.model.condition != "none" and label is None:
        raise ConfigError(
            "--arithmetic mixes samples of several classes: say by --label of which class the pictures are to be"
        )
    z, terms = latents(args, run, args.n), terms_of(args.arithmetic)
    made = paths.arithmetic(z, terms)
    parts = [
        jnp.concatenate([z[np.array(term.members)], made[i : i + 1]])
        for i, term in enumerate(terms)
    ]
    return run.feed(jnp.concatenate([*parts, made[-1:]]), args.seed, label)


def there_and_back(columns: int) -> list[int]:
    """The order of frames that loops without a jump: to the last column, and back to the second."""
    return [*range(columns), *range(columns - 2, 0, -1)]


MODES: dict[str, Mode] = {
    "": Mode(plain),
    "by_class": Mode(classes),
    "interpolate": Mode(interpolated, there_and_back),
    "walk": Mode(walked, there_and_back),
    "random_walk": Mode(wandered, range),
    "arithmetic": Mode(summed),
    "nearest": Mode(plain),
}
PATHS = [name for name, mode in MODES.items() if mode.frames]
BELONGS: dict[str, list[str]] = {  # flag -> modes in which it does something
    "walk_range": ["walk"],
    "walk_sorted": ["walk"],
    "stride": ["random_walk"],
    "columns": ["", *PATHS],
}
LIMITS: dict[str, tuple[float, str]] = {  # flag -> the most, and the rule in words
    "n": (math.inf, "at least 1"),
    "columns": (math.inf, "at least 1"),
    "nearest": (math.inf, "at least 1"),
    "truncation": (math.inf, "a number above 0"),
    "walk_range": (math.inf, "a number above 0"),
    "stride": (
        math.pi / 2,
        "above 0 and at most 1.5707 (a quarter turn: each step a fresh latent)",
    ),
}
