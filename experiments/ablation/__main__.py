"""Measure a finished sweep of an ablation, and write its results.csv, figure and README, and docs/ablations.md.

    python launch.py sweep --config=experiments/a03_generator_frequency/plan.py:quick --backend=map --workdir=runs/a03
    python -m experiments.ablation --only=a03 --workdir=runs/a03

Without --workdir nothing is measured: figures and pages are written anew from the results.csv files.
"""

import argparse
import sys
from pathlib import Path

from experiments.ablation import collect, page
from experiments.ablation.catalogue import Experiment, experiments, named
from experiments.ablation.figure import draw
from gan_jax.compiled import keep_compiled
from gan_jax.files import write_atomic
from gan_jax.types import UserError

DOCS = Path(__file__).parents[2] / "docs"
PANELS = 3  # measures of a figure


def show(one: Experiment) -> None:
    """Write an experiment's figure and page from its results.csv."""
    rows = one.rows()
    if rows:
        shown = one.about.measures[:PANELS]
        path = DOCS / "images" / "ablations" / f"{one.name}.svg"
        draw(path, collect.values_of(rows), shown)
    write_atomic(one.readme, page.readme(one).encode())
    begins = one.allowed()
    if not one.verdict().startswith(begins):
        print(f"{one.readme}: by its numbers the verdict begins {begins!r}")


def main() -> None:
    """Run what the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="a03, or several with commas")
    parser.add_argument("--workdir", type=Path, help="the finished sweep of --only")
    args = parser.parse_args()
    chosen = named(args.only)
    if args.workdir:
        if len(chosen) != 1:
            raise UserError("--workdir is of one experiment: name it by --only=a03")
        keep_compiled()
        (one,) = chosen
        rows = collect.rows_of(one.plan, args.workdir)
        collect.write(one.folder / "results.csv", rows)
    for one in chosen:
        show(one)
    if args.workdir:
        print(page.measured(chosen[0]))
    text = page.summary(list(experiments().values()))
    write_atomic(DOCS / "ablations.md", text.encode())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
