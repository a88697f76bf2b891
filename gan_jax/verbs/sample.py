"""`python launch.py sample`: pictures of a trained run."""

import argparse
from pathlib import Path

import numpy as np

from gan_jax.config import ConfigError
from gan_jax.images import grid, save_png, scatter
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
from gan_jax.types import lookup
from gan_jax.verbs.checkpoints import step_of


def flags(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument(
        "--step", type=step_of, help="a checkpoint's step, latest (default), or best"
    )
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


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Pictures of a trained run."""
    del command
    if overrides:
        raise ConfigError("sample takes no --config.*: a run's config is in its folder")
    write = lookup("--out ending", WRITERS, Path(args.out).suffix)
    if args.n < 1:
        raise ConfigError(f"--n={args.n}; it must be at least 1")
    trained = load(args.workdir, args.weights, args.step)
    fed = fed_of(args, trained)
    out = trained.pictures(fed)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    write(args.out, out, fed)
    print(
        f"{args.out}: {len(out)} samples of step {trained.step}, {args.weights} weights"
    )
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
