"""`python launch.py --config=FILE`: train, or go on."""

import argparse
from pathlib import Path

from gan_jax import config as configs
from gan_jax.train import train


def flags(parser: argparse.ArgumentParser) -> None:
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


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Train, or resume."""
    config = configs.loaded(args.config, overrides)
    name = Path(args.config.partition(":")[0]).stem
    return train(config, args.workdir or Path("runs") / name, command)
