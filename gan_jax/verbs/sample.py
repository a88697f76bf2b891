"""`python launch.py sample`: pictures of a trained run."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from gan_jax import config, data, video
from gan_jax.compiled import keep_compiled
from gan_jax.config import ConfigError
from gan_jax.eval.nearest import nearest, nearness
from gan_jax.feeding import Fed
from gan_jax.gallery import across, beside
from gan_jax.images import grid, limits_of, save_frames, save_png, scatter
from gan_jax.rows import read_config
from gan_jax.sampling import Run, load
from gan_jax.types import lookup
from gan_jax.verbs import latent, pairs
from gan_jax.verbs.checkpoints import step_of

PER_SECOND = 20  # frames
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Made(NamedTuple):
    """What is written: the generator's output, what it was fed, and how it is shown.

    out: uint8 [N, H, W, C], or points float32 [N, D]. sheet, columns: the pictures of the grid where they are not
    `out`. order: of the columns as frames. more: arrays beside those of every .npz. said: a line for the terminal.
    """

    out: np.ndarray
    fed: Fed
    sheet: np.ndarray | None = None
    columns: int = 0
    order: tuple[int, ...] = ()
    more: Mapping[str, Any] = NOTHING
    said: str = ""


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of sample."""
    parser.add_argument("--workdir", required=True, help="the run's folder")
    parser.add_argument(
        "--n", type=int, default=64, help="pictures, or examples (default 64)"
    )
    parser.add_argument(
        "--out",
        default="grid.png",
        help="a .png grid, .npz with images and latents (or sources), or of a path .gif or .mp4: the columns are its frames",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the latents, or examples"
    )
    parser.add_argument(
        "--weights", default="ema", choices=("ema", "raw"), help="averaged or latest"
    )
    parser.add_argument(
        "--step", type=step_of, help="a checkpoint's step, latest (default), or best"
    )
    parser.add_argument(
        "--columns",
        type=int,
        help="pictures a row, or frames (default: square; paths 10)",
    )
    parser.add_argument(
        "--label", help="class of all pictures, by number or name (conditional runs)"
    )
    latent.flags(parser)
    pairs.flags(parser)


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Pictures of a trained run."""
    del command
    if overrides:
        raise ConfigError("sample takes no --config.*: a run's config is in its folder")
    write, mode = lookup("--out ending", WRITERS, ending(args)), latent.mode_of(args)
    latent.check(args)
    check_film(args, mode)
    keep_compiled()
    trained = load(args.workdir, args.weights, args.step)
    pairs.check(args, trained)
    make = translated if trained.recipe.model.source_shape else sampled
    made = make(args, trained)
    made = LAYOUTS.get(mode, in_order)(args, trained, made)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    write(args.out, made)
    count = len(made.out)
    print(f"{args.out}: {count} samples of step {trained.step}, {args.weights} weights")
    if made.said:
        print(made.said)
    return 0


def sampled(args: argparse.Namespace, trained: Run) -> Made:
    """What a generator makes of latents."""
    fed = latent.fed_of(args, trained)
    return Made(trained.pictures(fed), fed, columns=fed.columns)


def translated(args: argparse.Namespace, trained: Run) -> Made:
    """What a generator makes of pictures, each beside what it was made of."""
    given, out, *more = pairs.columns_of(args, trained)
    made = Made(out, Fed(given))
    if ending(args) != ".png":
        return made
    strips = beside(given, out, *more)
    columns = args.columns or across(strips)
    return made._replace(sheet=strips, columns=columns)


def ending(args: argparse.Namespace) -> str:
    """The ending of --out, which says what is written."""
    return Path(args.out).suffix


def check_film(args: argparse.Namespace, mode: str) -> None:
    """Raise ConfigError for a film of what does not move, VideoError for one that no program can make."""
    if ending(args) not in FILMS:
        return
    if mode not in latent.PATHS:
        named = ", ".join(map(latent.flag, latent.PATHS))
        raise ConfigError(
            f"--out={args.out}: {' and '.join(FILMS)} show paths ({named}); name a .png"
        )
    if ending(args) == ".mp4":
        video.program(args.out)


def in_order(args: argparse.Namespace, trained: Run, made: Made) -> Made:
    """The pictures as they come; the columns of a path in the order of its frames."""
    frames = latent.MODES[latent.mode_of(args)].frames
    return made._replace(order=tuple(frames(made.columns))) if frames else made


def in_terms(args: argparse.Namespace, trained: Run, made: Made) -> Made:
    """A row for each term: its members, white, their mean; last the result under the means."""
    if made.out.ndim != 4:
        return made
    terms = latent.terms_of(args.arithmetic)
    white = len(made.out)
    layout = np.full((len(terms) + 1, max(len(t.members) for t in terms) + 1), white)
    layout[-1, -1] = white - 1
    start = 0
    for row, term in zip(layout, terms, strict=False):
        many = len(term.members)
        row[:many] = range(start, start + many)
        row[-1] = start + many
        start += many + 1
    pictures = np.concatenate([made.out, np.full_like(made.out[:1], 255)])
    return made._replace(sheet=pictures[layout.ravel()], columns=layout.shape[1])


def beside_training(args: argparse.Namespace, trained: Run, made: Made) -> Made:
    """Each sample beside the training examples nearest to it; how near they are, for the terminal."""
    if made.out.ndim == 2 and ending(args) == ".png":
        raise ConfigError(
            f"--out={args.out}: points make no rows of pictures; name an .npz, which holds the nearest and distances"
        )
    dataset = data.load(config.data_spec(trained.config))
    digest = read_config(trained.workdir)["data"].get("digest")
    if dataset.digest != digest:
        raise ConfigError(
            f"--nearest: {dataset.name} is not what it was when {trained.workdir} was trained on it: put the same "
            "examples back"
        )
    train = dataset.images
    found, distances = nearest(made.out, train, args.nearest)
    ours, theirs = nearness(distances, train)
    said = (
        f"median distance to the nearest training example: {ours:.4g} of the samples, {theirs:.4g} of training "
        "examples to another one"
    )
    sheet = None
    if made.out.ndim == 4:
        rows = np.concatenate([made.out[:, None], train[found]], axis=1)
        sheet = rows.reshape(-1, *train.shape[1:])
    more = {"nearest": found, "distances": distances.astype(np.float32)}
    return made._replace(sheet=sheet, columns=args.nearest + 1, more=more, said=said)


def frames_of(made: Made) -> list[np.ndarray]:
    """The frames of a path, uint8 [H, W, C] each: a column of its rows as a grid, or as points in one window."""
    out = made.out.reshape(-1, made.columns, *made.out.shape[1:])
    if made.out.ndim == 2:
        limits = limits_of(made.out)
        drawn = [scatter(out[:, i], limits=limits) for i in range(made.columns)]
    else:
        drawn = [grid(out[:, i]) for i in range(made.columns)]
    return [drawn[i] for i in made.order]


def write_png(path: str, made: Made) -> None:
    """A grid of pictures, or a scatter of points."""
    if made.out.ndim != 4:
        picture = scatter(made.out)
    else:
        pictures = made.out if made.sheet is None else made.sheet
        picture = grid(pictures, made.columns)
    save_png(Path(path), picture)


def write_npz(
    path: str, out: np.ndarray, fed: Fed, more: Mapping[str, Any] = NOTHING
) -> None:
    """`images` uint8 [N, H, W, C] (or `points` float32 [N, D]), `latents` float32 [N, latent_dim] or `sources` uint8
    [N, h, w, c], `labels` int32 [N] where the generator is told any, and more.
    """
    given = "sources" if np.ndim(fed.z) == 4 else "latents"
    arrays = {"images" if out.ndim == 4 else "points": out, given: fed.z}
    if fed.label is not None:
        arrays["labels"] = fed.label
    np.savez(path, **arrays, **more)


def write_gif(path: str, made: Made) -> None:
    """The frames of a path, without end."""
    save_frames(path, frames_of(made), 1000 // PER_SECOND)


def write_mp4(path: str, made: Made) -> None:
    """The frames of a path."""
    video.save_mp4(path, frames_of(made), PER_SECOND)


LAYOUTS = {"arithmetic": in_terms, "nearest": beside_training}
WRITERS = {
    ".png": write_png,
    ".npz": lambda path, made: write_npz(path, made.out, made.fed, made.more),
    ".gif": write_gif,
    ".mp4": write_mp4,
}
FILMS = (".gif", ".mp4")
