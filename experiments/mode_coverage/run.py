"""How many modes of the ring and the grid do recipes find, over seeds?

    python -m experiments.mode_coverage.run --set=ring --recipe=all --seeds=10

Each recipe is a config with changes (RECIPES); all seeds train in one program. 2,500 samples of each averaged
generator are counted by gan_jax.eval.modes. Appends to results.csv beside this file, and prints means with their
standard deviations over the seeds.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from experiments.population import sample_seeds, train_seeds
from gan_jax import config as configs
from gan_jax.data import toy
from gan_jax.eval.modes import mode_coverage
from gan_jax.job import assemble

FOLDER = Path(__file__).parent
SAMPLES = 2500
COLUMNS = ("set", "recipe", "seed", "modes", "high_quality", "reverse_kl")
PLAIN = "{set}_plain.py"
CURED = "{set}.py"
RECIPES = {  # name -> (config file, changes)
    "plain": (PLAIN, {}),
    "default": (CURED, {}),
    "cross_entropy": (CURED, {"loss": "non_saturating"}),
    "hinge": (CURED, {"loss": "hinge"}),
}


def measure(name: str, recipe: str, seeds: int) -> list[dict]:
    """Rows of results.csv for one recipe."""
    file, changes = RECIPES[recipe]
    folder = FOLDER.parents[1] / "configs"
    config = configs.load(str(folder / file.format(set=name)))
    for field, value in changes.items():
        configs.override(config, field, value)
    job = assemble(config)
    state = train_seeds(job, list(range(seeds)))
    rows = []
    for seed, points in enumerate(sample_seeds(job, state, SAMPLES)):
        result = mode_coverage(points, toy.centres(name), toy.STD[name])
        rows.append({"set": name, "recipe": recipe, "seed": seed, **result})
    return rows


def tell(rows: list[dict], seconds: float) -> None:
    """One line: means and standard deviations over the seeds."""
    values = {c: np.array([row[c] for row in rows], float) for c in COLUMNS[3:]}
    modes, quality = values["modes"], 100 * values["high_quality"]
    finite = values["reverse_kl"][np.isfinite(values["reverse_kl"])]
    kl = f"{finite.mean():.3f}" if len(finite) else "inf"
    print(
        f"{rows[0]['set']:5} {rows[0]['recipe']:14} modes {modes.mean():5.1f} +- {modes.std():3.1f} "
        f"(least {modes.min():2.0f})  high quality {quality.mean():5.1f} +- {quality.std():4.1f} % "
        f"(least {quality.min():5.1f})  reverse KL {kl}  {seconds:4.0f} s",
        flush=True,
    )


def main() -> None:
    """Run what the flags ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=("ring", "grid"), required=True)
    parser.add_argument("--recipe", choices=("all", *RECIPES), default="all")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    path = FOLDER / "results.csv"
    for recipe in RECIPES if args.recipe == "all" else [args.recipe]:
        start = time.perf_counter()
        rows = measure(args.set, recipe, args.seeds)
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if new:
                writer.writeheader()
            writer.writerows(rows)
        tell(rows, time.perf_counter() - start)


if __name__ == "__main__":
    main()
