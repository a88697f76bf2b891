"""`python launch.py --config=FILE`: train, or go on."""

import argparse
from pathlib import Path

from gan_jax import config as configs
from gan_jax import hosts
from gan_jax.compiled import keep_compiled
from gan_jax.job import repeatable
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
    resume_flag(parser)
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="one of several processes, which JAX finds by itself (Slurm, Open MPI, TPU pods); elsewhere set "
        "JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID",
    )


def resume_flag(parser: argparse.ArgumentParser) -> None:
    """--resume, for verbs that go on from checkpoints."""
    parser.add_argument(
        "--resume",
        choices=("last-valid", "strict"),
        default="last-valid",
        help="when the newest checkpoint is damaged: go on from the newest good one, "
        "saying so (default), or refuse",
    )


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Train, or resume."""
    config = configs.loaded(args.config, overrides)
    repeatable(config)  # before JAX has any device
    keep_compiled()
    hosts.join(args.distributed)
    name = Path(args.config.partition(":")[0]).stem
    workdir = args.workdir or Path("runs") / name
    return train(config, workdir, command, args.resume == "strict")
