"""`python launch.py sweep`: many settings of a config, those that differ in numbers in one program."""

import argparse
import math
import shlex
from pathlib import Path
from typing import Any

import jax

from gan_jax import config as configs
from gan_jax.cluster import Need
from gan_jax.config import ConfigError
from gan_jax.engines import ENGINES
from gan_jax.group import set_up
from gan_jax.herd import How
from gan_jax.lock import locked
from gan_jax.population import BACKENDS
from gan_jax.settings import settings_of
from gan_jax.space import space_of
from gan_jax.stop import stoppable
from gan_jax.sweep import Options, Sweep
from gan_jax.train import DONE, INTERRUPTED, say
from gan_jax.verbs.train import resume_flag

LEAST = {"most": 0, "memory": 0, "trials": 0, "batch": 1, "cpus": 1}  # of numbers


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
        "--dry-run", action="store_true", help="print the plan and train nothing"
    )
    resume_flag(parser)
    group_flags(parser.add_argument_group("groups"))
    search_flags(parser.add_argument_group("less work"))
    engine_flags(parser.add_argument_group("past one machine"))


def group_flags(group: Any) -> None:
    """How members share programs."""
    group.add_argument(
        "--backend",
        default="auto",
        choices=("auto", *BACKENDS),
        help="how members share a program; auto: the fastest of a few steps",
    )
    group.add_argument(
        "--most", type=int, default=0, help="members of a group; 0: any number"
    )
    group.add_argument(
        "--memory",
        type=float,
        default=0.0,
        metavar="GIB",
        help="of each device that a group may take; 0: what is free",
    )


def search_flags(group: Any) -> None:
    """How members are chosen and stopped."""
    group.add_argument(
        "--halving",
        type=int,
        default=0,
        metavar="FACTOR",
        help="at steps eval.every, eval.every*FACTOR, ... only the best 1/FACTOR of each group train on; 0: all do",
    )
    group.add_argument(
        "--trials",
        type=int,
        default=0,
        help="search: Optuna proposes so many settings within FIELD=log:LOW:HIGH, FIELD=uniform:LOW:HIGH and "
        "FIELD=A,B,C of --sweep, each trained with every seed=...; 0: all of --sweep is trained",
    )
    group.add_argument(
        "--batch",
        type=int,
        default=16,
        help="proposals of a search that are trained together (default 16)",
    )


def engine_flags(group: Any) -> None:
    """Where groups are trained."""
    group.add_argument(
        "--engine",
        default="local",
        choices=tuple(ENGINES),
        help="ray: groups are tasks of the Ray cluster at $RAY_ADDRESS, or of a new one here",
    )
    group.add_argument("--cpus", type=int, default=1, help="cores of a group on Ray")
    group.add_argument(
        "--gpus", type=int, help="GPUs of a group on Ray; default: 1 if there are any"
    )


def checked(args: argparse.Namespace) -> None:
    """Raise ConfigError for numbers out of range."""
    for name, least in LEAST.items():
        value = getattr(args, name)
        if not least <= value < math.inf:
            raise ConfigError(
                f"--{name}={value}; it must be a finite number, at least {least}"
            )
    if args.halving == 1 or args.halving < 0:
        raise ConfigError(f"--halving={args.halving}; it must be at least 2, or 0")
    if args.gpus is not None and args.gpus < 0:
        raise ConfigError(f"--gpus={args.gpus}; it must be at least 0")


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Plan, and train what is not trained yet."""
    checked(args)
    config = configs.loaded(args.config, overrides)
    given = args.sweep or configs.sweep_of(args.config)
    if not given:
        raise ConfigError(
            f"{args.config} has no get_sweep(): give the settings as --sweep='FIELD=VALUE,VALUE;...'"
        )
    if args.engine != "local":  # the accelerators are the workers'
        jax.config.update("jax_platforms", "cpu")
    set_up(config)
    words = [f"--config={args.config}", *(f"--config.{n}={x}" for n, x in overrides)]
    alone = shlex.join(["python", "launch.py", *words])
    name = Path(args.config.partition(":")[0]).stem
    workdir = Path(args.workdir or Path("runs") / f"{name}_sweep")
    strict = args.resume == "strict"
    how = How(args.backend, alone, args.halving, strict)
    need = Need(args.cpus, args.gpus)
    options = Options(how, args.memory, args.most, args.engine, need)
    make = searched if args.trials else listed
    return make(args, given, (config, workdir, command, options))


def listed(args: argparse.Namespace, given: Any, what: tuple[Any, ...]) -> int:
    """Train all settings that are asked for."""
    settings, sweep = settings_of(given), Sweep(*what)
    sweep.plan.check(settings)
    with stoppable() as stop:
        if not sweep.plan.members:
            sweep.extend(settings, stop)
        if args.dry_run:
            print(sweep.describe())
            return DONE
        with locked(sweep.workdir):
            say(sweep.describe())
            finished = sweep.plan.members and sweep.train(stop)
    return ended(sweep, bool(finished))


def searched(args: argparse.Namespace, given: Any, what: tuple[Any, ...]) -> int:
    """Train what Optuna proposes, a batch at a time; a seed list's members are one proposal."""
    space = space_of(given)
    sweep = Sweep(*what, search={"space": given, "batch": args.batch})
    size = space, args.trials, args.batch
    with stoppable() as stop:
        if args.dry_run:
            sweep.propose(*size, stop)
            print(sweep.describe())
            return DONE
        with locked(sweep.workdir):
            finished = not sweep.plan.members or sweep.train(stop)
            while finished and sweep.propose(*size, stop):
                say(sweep.describe())
                finished = sweep.train(stop)
    if finished and not stop.requested:
        say(f"best of {len(sweep.told()[0])} settings: {sweep.best()}")
    return ended(sweep, finished and not stop.requested)


def ended(sweep: Sweep, finished: bool) -> int:
    """Say what happened; the exit code."""
    if not finished:
        say(f"interrupted, saved. Resume with:\n  {sweep.plan.head['command']}")
        return INTERRUPTED
    sweep.results.write_board(sweep.plan.members)
    say(
        f"done: {len(sweep.plan.members)} members. Numbers: {sweep.workdir}/results.csv\n"
        f"Look at it:  python launch.py report --workdir={sweep.workdir}"
    )
    return DONE
