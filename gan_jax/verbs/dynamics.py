"""`python launch.py dynamics`: eigenvalues of the game's Jacobian at a run's checkpoints, rotation against attraction."""

import argparse
import csv
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax import data
from gan_jax.compiled import keep_compiled
from gan_jax.config import ConfigError
from gan_jax.dynamics import (
    DIRECTIONS,
    Product,
    make_product,
    parameters,
    rotation,
    spectrum,
    split,
)
from gan_jax.files import write_atomic
from gan_jax.job import Job, assemble, table_of
from gan_jax.rows import read_object
from gan_jax.saved import checkpoints_of, settings_of, state_of
from gan_jax.types import Batch, TrainState
from gan_jax.verbs.checkpoints import step_of

TABLE, SUMMARY, PICTURE = "eigenvalues.csv", "dynamics.json", "eigenvalues.png"
COLUMNS = ("step", "direction", "rank", "real", "imag", "magnitude", "rotation")
SHOWN = 5  # eigenvalues of a direction on the terminal


def flags(parser: argparse.ArgumentParser) -> None:
    """Flags of dynamics."""
    parser.add_argument("--workdir", required=True, help="the run's folder")
    parser.add_argument(
        "--step",
        default="latest",
        metavar="N,M",
        help="checkpoints with commas, latest (default), best, or all",
    )
    parser.add_argument(
        "--n", type=int, default=20, help="eigenvalues of each direction (default 20)"
    )
    parser.add_argument(
        "--batch", type=int, default=512, help="examples of the field (default 512)"
    )
    parser.add_argument("--out", help="a folder (default dynamics/ in the run's)")


def run(
    args: argparse.Namespace, overrides: list[tuple[str, str]], command: str
) -> int:
    """Find the eigenvalues, print a table, write all of them with a picture."""
    del command
    if overrides:
        raise ConfigError(
            "dynamics takes no --config.*: a run's config is in its folder"
        )
    if min(args.n, args.batch) < 1:
        raise ConfigError("dynamics takes --n and --batch of 1 or more")
    folder = Path(args.out or Path(args.workdir) / "dynamics")
    settings, _ = settings_of(args.workdir)
    keep_compiled()
    job = assemble(settings)
    product = make_product(job.recipe, job.nets)
    found = earlier(folder)
    for step in wanted(args.step, args.workdir):
        state = state_of(args.workdir, settings, job.recipe, step)
        one = measured(job, product, state, args)
        found[one["step"]] = one
        print("\n".join(lines(one)), flush=True)
        write(folder, [found[number] for number in sorted(found)])
    print(folder)
    return 0


def wanted(text: str, workdir: str) -> Iterator[int | str | None]:
    """The checkpoints that --step names."""
    if text == "all":
        yield from checkpoints_of(workdir)[0].steps() or [None]
        return
    for word in text.split(","):
        try:
            yield step_of(word)
        except argparse.ArgumentTypeError as error:
            raise ConfigError(f"--step: {error}, or several with commas") from None


def measured(
    job: Job, product: Product, state: TrainState, args: argparse.Namespace
) -> dict[str, Any]:
    """The spectrum of one state, on the examples that its next step begins with."""
    table, step, n = table_of(job.dataset), int(state.step), len(parameters(state))
    size = len(table.image)
    rows = data.indices(job.config.seed, step, 1, 1, args.batch, size)[0]
    batch: Batch = jax.tree.map(lambda x: np.asarray(x[rows]), table)
    transposed = partial(product, state, batch)
    k = min(args.n, n)
    found = spectrum(transposed, n, k)
    parts = split(transposed, n)
    return {
        "step": step,
        "parameters": n,
        "batch": args.batch,
        "symmetric": parts.symmetric,
        "antisymmetric": parts.antisymmetric,
        "asked": k,
        "eigenvalues": {
            name: [[float(x.real), float(x.imag)] for x in values]
            for name, values in found.items()
        },
    }


def values_of(one: dict[str, Any], direction: str) -> np.ndarray:
    """The eigenvalues found in a direction, complex [k]."""
    pairs = np.asarray(one["eigenvalues"][direction], np.float64).reshape(-1, 2)
    return pairs[:, 0] + 1j * pairs[:, 1]


def lines(one: dict[str, Any]) -> Iterator[str]:
    """What the terminal says of a checkpoint."""
    whole = one["symmetric"] + one["antisymmetric"]
    share = one["antisymmetric"] / whole if whole else 0.0
    yield (
        f"step {one['step']}: {one['parameters']:,} parameters, {one['batch']} examples; antisymmetric share of "
        f"the Jacobian {share:.3f}"
    )
    yield f"  {'direction':10}  {'real':>11}  {'imag':>11}  {'|lambda|':>11}  rotation"
    for name in DIRECTIONS:
        values = values_of(one, name)
        for value, share in zip(values[:SHOWN], rotation(values), strict=False):
            yield (
                f"  {name:10}  {value.real:11.4g}  {value.imag:11.4g}  {abs(value):11.4g}  {share:8.3f}"
            )
        if len(values) < one["asked"]:
            yield f"  {name:10}  {len(values)} of {one['asked']} converged"


def earlier(folder: Path) -> dict[int, dict[str, Any]]:
    """What an earlier call found in a folder, by step."""
    path = folder / SUMMARY
    if not path.is_file():
        return {}
    said = read_object(path, "remove it, or choose another --out")
    return {one["step"]: one for one in said["checkpoints"]}


def write(folder: Path, found: list[dict[str, Any]]) -> None:
    """All checkpoints so far: the table, the summary, the picture."""
    from gan_jax.report import spectrum as pictures  # matplotlib is slow to import

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in found:
        for name in DIRECTIONS:
            values = values_of(one, name)
            shares = rotation(values)
            for rank, (value, share) in enumerate(zip(values, shares, strict=True)):
                numbers = (value.real, value.imag, abs(value), share)
                rows.writerow((one["step"], name, rank, *(f"{x:.6g}" for x in numbers)))
    write_atomic(folder / TABLE, text.getvalue().encode())
    said = json.dumps({"checkpoints": found}, indent=1)
    write_atomic(folder / SUMMARY, said.encode())
    titled = {
        f"step {one['step']:,}": np.concatenate(
            [values_of(one, name) for name in DIRECTIONS]
        )
        for one in found
    }
    write_atomic(folder / PICTURE, pictures.draw(titled))
