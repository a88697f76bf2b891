"""`python launch.py sweep`: many settings of a config, those that differ in numbers in one program."""

import argparse
import shlex
from pathlib import Path

from gan_jax import config as configs
from gan_jax.config import ConfigError
from gan_jax.population import BACKENDS
from gan_jax.settings import settings_of
from gan_jax.sweep import Options, Sweep


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of sweep."""
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE[:smoke]",
        help="the config that settings change",
    )
    parser.add_argument(
        "--sweep",
        help="FIELD=A,B,C;FIELD=0..9 (product), FIELD=A,B & FIELD=C,D (side by side), FIELD=log:LOW:HIGH:N "
        "(draws), or a .csv file; default: get_sweep() of the config",
    )
    parser.add_argument(
        "--workdir", help="the sweep's folder (default runs/<config>_sweep)"
    )
    parser.add_argument(
        "--backend",
        default="auto",
        choices=("auto", *BACKENDS),
        help="how members share a program; auto: the fastest of a few steps",
    )
    parser.add_argument(
        "--most", type=int, default=0, help="members of a group; 0: any number"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan and train nothing"
    )


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Plan, and train what is not trained yet."""
    config = configs.loaded(args.config, overrides)
    given = args.sweep or configs.sweep_of(args.config)
    if not given:
        raise ConfigError(
            f"{args.config} has no get_sweep(): give the settings as --sweep='FIELD=VALUE,VALUE;...'"
        )
    if args.most < 0:
        raise ConfigError(f"--most={args.most}; it must be at least 0")
    words = [f"--config={args.config}", *(f"--config.{n}={x}" for n, x in overrides)]
    alone = shlex.join(["python", "launch.py", *words])
    name = Path(args.config.partition(":")[0]).stem
    workdir = args.workdir or Path("runs") / f"{name}_sweep"
    options = Options(args.backend, args.most, alone)
    sweep = Sweep(config, settings_of(given), workdir, command, options)
    print(sweep.describe())
    return 0 if args.dry_run else sweep.run()
