"""`python launch.py eval`: measure a run's generator, or two folders of pictures."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan_jax.compiled import keep_compiled
from gan_jax.config import ConfigError
from gan_jax.eval.features import FEATURES
from gan_jax.eval.measures import METRICS
from gan_jax.evaluation import LATENTS, Options, of_pair, of_run
from gan_jax.lock import FolderInUse, locked
from gan_jax.record import Record
from gan_jax.train import say
from gan_jax.verbs.checkpoints import steps_of

WEIGHTS = {"ema": ["ema"], "raw": ["raw"], "both": ["ema", "raw"]}


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of eval."""
    rows = "\n".join(f"  {name:13} {row.help}" for name, row in METRICS.items())
    nets = "\n".join(f"  {name:13} {row.help}" for name, row in FEATURES.items())
    parser.epilog = (
        f"metrics:\n{rows}\n\nfeatures:\n{nets}\n\n"
        "fid and bare names are the canonical Inception's, fd_classifier, kid_alexnet ... name their features"
    )
    parser.add_argument("--workdir", help="a run's folder; its eval.jsonl is added to")
    parser.add_argument(
        "--real", help="instead: a folder, .npz or .zip of real pictures, or a source"
    )
    parser.add_argument("--fake", help="with --real: the pictures to measure")
    parser.add_argument(
        "--metrics", default="auto", help="with commas; auto: what suits the data"
    )
    parser.add_argument(
        "--features",
        default="auto",
        choices=("auto", *FEATURES),
        help="of metrics that name none; auto: the first that needs no download",
    )
    parser.add_argument(
        "--inception-weights",
        default="",
        metavar="PATH",
        help="pt_inception-2015-12-05-6726825d.pth (default $GAN_JAX_INCEPTION, the cache, a download)",
    )
    parser.add_argument(
        "--step", type=steps_of, help="a checkpoint, latest (default), best, or all"
    )
    parser.add_argument(
        "--weights", default="ema", choices=WEIGHTS, help="averaged, latest, or both"
    )
    parser.add_argument(
        "--n",
        type=int,
        default=0,
        help="samples (default 10,000 pictures, 2,500 points, 26,000 stacked digits; all of --fake)",
    )
    parser.add_argument(
        "--split",
        default="",
        help="of the real data (default what it was trained on; image to image: test)",
    )
    parser.add_argument("--seed", type=int, default=LATENTS, help="of the latents")
    parser.add_argument(
        "--resolution", type=int, default=0, help="side that --real and --fake are made"
    )
    parser.add_argument("--out", help="a JSON-lines file to add the rows to")


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Measure, print a table, and write the rows."""
    del command
    if overrides:
        raise ConfigError("eval takes no --config.*: a run's config is in its folder")
    pair = args.real is not None or args.fake is not None
    if pair == bool(args.workdir) or pair and not (args.real and args.fake):
        raise ConfigError("eval takes --workdir=RUN, or both --real=DIR and --fake=DIR")
    keep_compiled()
    options = Options(
        args.metrics,
        args.features,
        args.n,
        args.split,
        args.seed,
        args.inception_weights,
    )
    rows = (
        of_pair(args.real, args.fake, args.resolution, options)
        if pair
        else of_run(args.workdir, args.step, WEIGHTS[args.weights], options)
    )
    rows = list(shown(rows))
    print_protocols(rows)
    if args.workdir:
        add_to_run(Path(args.workdir), rows)
    if args.out:
        add(Path(args.out), rows)
    return 0


def shown(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Print a line of the table for each row as it comes, and the head before the first."""
    head = f"{'step':>8}  {'weights':7}  {'metric':38} {'value':>12}  {'std':>10}"
    for row in rows:
        weights = row["protocol"].get("weights", "")
        std = f"{row['std']:10.4g}" if "std" in row else ""
        left = f"{row['step']:8}  {weights:7}  {row['metric']:38}"
        line = f"{left} {row['value']:12.6g}  {std}".rstrip()
        print(f"{head}\n{line}" if head else line, flush=True)
        head = ""
        yield row


def print_protocols(rows: list[dict[str, Any]]) -> None:
    """Say how the values were made: first what is common to all, then the rest, values of one protocol together."""
    if not rows:
        return
    first = rows[0]["protocol"]
    common = {
        key: value
        for key, value in first.items()
        if all(row["protocol"].get(key) == value for row in rows)
    }
    groups = {"all": written(common)} if common else {}
    for row in rows:
        rest = {k: v for k, v in row["protocol"].items() if k not in common}
        if rest:
            groups.setdefault(row["metric"], written(rest))
    names: dict[str, list[str]] = {}
    for name, said in groups.items():
        names.setdefault(said, []).append(name)
    for said, group in names.items():
        print(f"{', '.join(group)}: {said}")


def written(protocol: dict[str, Any]) -> str:
    """A protocol as a line of text."""
    return ", ".join(f"{key} {value}" for key, value in protocol.items())


def add_to_run(workdir: Path, rows: list[dict[str, Any]]) -> None:
    """Add the rows to a run's eval.jsonl, unless the run is training: its file has one writer."""
    try:
        with locked(workdir):
            add(workdir / "eval.jsonl", rows)
    except FolderInUse as error:
        say(f"not added to eval.jsonl: {error}")


def add(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append rows to a JSON-lines file."""
    record = Record(path.parent)
    for row in rows:
        record.append(path.name, row)
    record.close()
