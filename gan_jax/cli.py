"""Verbs and flags. A user's mistake is one sentence and exit code 2, never a traceback."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_jax import config as configs
from gan_jax.checkpoint import CheckpointError
from gan_jax.config import ConfigError
from gan_jax.fields import FIELDS
from gan_jax.images import grid, save_png, scatter
from gan_jax.lock import FolderInUse
from gan_jax.sampling import (
    MOST_COLUMNS,
    Fed,
    Run,
    by_class,
    classes_of,
    interpolation,
    load,
    walk,
)
from gan_jax.train import train
from gan_jax.types import UserError, lookup

USAGE = 2
MISTAKES = (UserError, FolderInUse, CheckpointError, OSError)


class Verb(NamedTuple):
    """A row of VERBS: what adds its flags, what runs it, its line of help."""

    flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, list[tuple[str, str]], str], int]
    help: str


def split_overrides(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Separate `--config.name=value` (or `--config.name value`) from the other words."""
    rest, overrides = [], []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--config."):
            rest.append(word)
            continue
        name, equals, value = word.removeprefix("--config.").partition("=")
        if not equals:
            if not queue or queue[0].startswith("--"):
                raise ConfigError(f"{word} needs a value: {word}=VALUE")
            value = queue.pop(0)
        overrides.append((name, value))
    return rest, overrides


def train_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of train."""
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE[:smoke]",
        help="a file of configs/; :smoke shrinks it to seconds",
    )
    parser.add_argument(
        "--workdir", help="the run's folder (default runs/<config name>)"
    )


def train_verb(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Train, or resume."""
    config = configs.load(args.config)
    for name, text in overrides:
        configs.override(config, name, configs.parse(name, text))
    configs.validate(config)
    name = Path(args.config.partition(":")[0]).stem
    return train(config, args.workdir or Path("runs") / name, command)


def sample_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of sample."""
    parser.add_argument("--workdir", required=True, help="the run's folder")
    parser.add_argument("--n", type=int, default=64, help="pictures (default 64)")
    parser.add_argument(
        "--out", default="grid.png", help="a .png grid, or .npz with images and latents"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the latents")
    parser.add_argument(
        "--weights", default="ema", choices=("ema", "raw"), help="averaged or latest"
    )
    parser.add_argument("--step", type=int, help="a checkpoint (default the latest)")
    parser.add_argument(
        "--columns",
        type=int,
        default=0,
        help="pictures a row (default: square; paths 10)",
    )
    parser.add_argument(
        "--label", help="class of all pictures, by number or name (conditional runs)"
    )
    path = parser.add_mutually_exclusive_group()
    path.add_argument(
        "--by-class",
        action="store_true",
        help="each column one class (InfoGAN: one categorical code), each row one latent",
    )
    path.add_argument(
        "--interpolate", action="store_true", help="each row: slerp between two latents"
    )
    path.add_argument(
        "--walk", type=int, metavar="DIM", help="each row: one latent dimension changes"
    )
    parser.add_argument(
        "--walk-range", type=float, default=3.0, help="the walk goes from -this to this"
    )


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
    label = label_of(args.label, run)
    if args.by_class:
        classes = classes_of(run.recipe.model)
        if not classes or label is not None:
            raise ConfigError("--by-class needs a run with classes, and no --label")
        rows = max(1, args.n // min(classes, MOST_COLUMNS))
        return by_class(run.recipe.model, run.latents(rows, args.seed))
    columns = args.columns or 10
    rows = max(1, args.n // columns)
    if args.interpolate:
        z = interpolation(run.latents(2 * rows, args.seed), columns)
    elif args.walk is not None:
        z = walk(run.latents(rows, args.seed), args.walk, args.walk_range, columns)
    else:
        z, columns = run.latents(args.n, args.seed), args.columns
    fed = run.feed(z, args.seed, label)
    path = args.interpolate or args.walk is not None
    if fed.label is not None and label is None and path:  # a path keeps its class
        first = np.arange(len(fed.label)) // columns * columns
        fed = fed._replace(label=fed.label[first])
    return fed._replace(columns=columns)


def sample_verb(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Pictures of a trained run."""
    del command
    if overrides:
        raise ConfigError("sample takes no --config.*: a run's config is in its folder")
    write = lookup("--out ending", WRITERS, Path(args.out).suffix)
    if args.n < 1:
        raise ConfigError(f"--n={args.n}; it must be at least 1")
    run = load(args.workdir, args.weights, args.step)
    fed = fed_of(args, run)
    out = run.pictures(fed)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    write(args.out, out, fed)
    print(f"{args.out}: {len(out)} samples of step {run.step}, {args.weights} weights")
    return 0


def write_png(path: str, out: np.ndarray, fed: Fed) -> None:
    """A grid of pictures, or a scatter of points."""
    save_png(Path(path), grid(out, fed.columns) if out.ndim == 4 else scatter(out))


def write_npz(path: str, out: np.ndarray, fed: Fed) -> None:
    """`images` uint8 [N, H, W, C] (or `points` float32 [N, D]), `latents` float32 [N, latent_dim], and `labels`
    int32 [N] where the generator is told any.
    """
    arrays = {"images" if out.ndim == 4 else "points": out, "latents": fed.z}
    if fed.label is not None:
        arrays["labels"] = fed.label
    np.savez(path, **arrays)


WRITERS = {".png": write_png, ".npz": write_npz}
VERBS: dict[str, Verb] = {
    "train": Verb(
        train_flags, train_verb, "train a config, or resume its run (default)"
    ),
    "sample": Verb(sample_flags, sample_verb, "pictures of a trained run"),
}


def field_help() -> str:
    """Every config field with its default, its choices and its meaning."""
    lines = ["config fields (--config.NAME=VALUE):"]
    for name, field in FIELDS.items():
        choices = getattr(field.rule, "choices", None)
        text = f"{field.help} [{', '.join(choices)}]" if choices else field.help
        lines.append(f"  {name} = {field.default!r}: {text}")
    return "\n".join(lines)


def make_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one verb."""
    verbs = "\n".join(f"  {verb:8} {row.help}" for verb, row in VERBS.items())
    parser = argparse.ArgumentParser(
        prog=f"python launch.py {name}",
        description=f"{VERBS[name].help}\n\nverbs (python launch.py VERB --help):\n{verbs}",
        epilog=field_help() if name == "train" else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    VERBS[name].flags(parser)
    return parser


def main(words: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    command = shlex.join(["python", "launch.py", *words])
    try:
        verb, rest = "train", list(words)
        if rest and not rest[0].startswith("-"):
            verb = rest.pop(0)
        row = lookup("verb", VERBS, verb)
        rest, overrides = split_overrides(rest)
        args = make_parser(verb).parse_args(rest)
        return row.run(args, overrides, command)
    except MISTAKES as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
