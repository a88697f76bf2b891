"""What `sample` does with a run that makes pictures of pictures: held-out examples, or the user's own pictures."""

import argparse
from pathlib import Path

import jax
import numpy as np
from jaxtyping import UInt8

from gan_jax import config, data
from gan_jax.config import ConfigError
from gan_jax.data.pictures import SUFFIXES, decode, header
from gan_jax.data.spec import untrusted
from gan_jax.evaluation import source_of
from gan_jax.gallery import around, chosen, held_out, translated
from gan_jax.images import with_channels
from gan_jax.sampling import Run

OF_LATENTS = "truncation by_class interpolate walk random_walk arithmetic label".split()
OWN = ("input", "back")
ARRAYS = (".npz", ".zip")


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of runs that make pictures of pictures."""
    parser.add_argument(
        "--input",
        metavar="PATH",
        help="image to image: translate a folder, .npz, .zip or picture of your own (all of it)",
    )
    parser.add_argument(
        "--back",
        action="store_true",
        help="objective cycle: from images to sources",
    )


def check(args: argparse.Namespace, run: Run) -> None:
    """Raise ConfigError for flags that such a run, or a run of latents, has no use for."""
    fed_pictures = bool(run.recipe.model.source_shape)
    for name in OF_LATENTS if fed_pictures else OWN:
        if getattr(args, name) not in (None, False):
            kind = (
                "makes pictures of pictures and has neither latents nor labels"
                if fed_pictures
                else "makes no pictures of pictures"
            )
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{run.workdir} {kind}: leave {flag} out")
    if args.back and not run.networks:
        raise ConfigError(
            f"--back: {run.workdir} goes one way only; objective cycle learns both"
        )
    if args.back and args.nearest is not None:
        raise ConfigError("--nearest searches among images, and --back makes sources")


def columns_of(args: argparse.Namespace, run: Run) -> list[UInt8[np.ndarray, "..."]]:
    """Pictures that stand side by side, each [n, h, w, c]: what was given, its translation, what belongs to them.

    Raises UserError for pictures that cannot be read, or are no such pictures as the run was trained on.
    """
    spec = run.recipe.model
    if args.input is not None:
        shape = spec.image_shape if args.back else spec.source_shape
        own = read(args.input, shape)
        return [own, run.translate(own, args.back)]
    held = held_out(config.data_spec(run.config))
    shapes = held.source_shape, held.images.shape[1:]
    if shapes != (spec.source_shape, spec.image_shape):
        raise ConfigError(
            f"{held.name} is not what it was when {run.workdir} was trained on it: put the same examples back, or name "
            "your own by --input"
        )
    few = chosen(held, jax.random.key(args.seed), args.n)
    if args.back:
        return around(run.pictures, few.images, back=True)
    return translated(run.pictures, run.networks, few)


def read(text: str, shape: tuple[int, ...]) -> UInt8[np.ndarray, "n h w c"]:
    """A user's own pictures as those of a run are, of the shape [h, w, c]: the largest centred square, resized.

    text: a folder, .npz or .zip file, or one picture. Colour becomes luminance for a run of grey ones, and grey colour
    for one of colour. Raises UserError for what is not there or cannot be read.
    """
    path = Path(text).expanduser()
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        with untrusted(str(path)):
            pictures = decode(path, 0, shape[0], header(path).grey)[None]
    elif path.is_dir() or path.is_file() and path.suffix in ARRAYS:
        spec = data.DataSpec(source=source_of(text), resolution=shape[0])
        pictures = data.load(spec).images
    else:
        raise ConfigError(
            f"--input={text}: give a folder of pictures, an {' or '.join(ARRAYS)} file, or a picture "
            f"({', '.join(SUFFIXES)}) that is there"
        )
    if pictures.ndim != 4:
        raise ConfigError(f"--input={text} has points, and the run takes pictures")
    return with_channels(np.asarray(pictures), shape[2])
