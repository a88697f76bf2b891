"""What every metric says of real, noisy, blurred and collapsed clothes.

    python -m experiments.metric_ranking.run --features=classifier

The real side is the 10,000 training pictures; each set is made of the 2,000 test pictures. Prints a table, a column a
set, and writes results_FEATURES.csv beside this file.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from gan_jax import data
from gan_jax.eval.features import FEATURES
from gan_jax.eval.judge import Judge
from gan_jax.eval.measures import METRICS, direction

HERE = Path(__file__).parent


def noisy(images, std):
    """Gaussian noise of this std in grey levels."""
    noise = np.random.default_rng(0).normal(0, std, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


def blurred(images, side):
    """Shrunk to side x side by the mean and enlarged again."""
    size = images.shape[2], images.shape[1]
    small = [Image.fromarray(x[..., 0]).resize((side, side), Image.BOX) for x in images]
    return np.stack([np.asarray(x.resize(size)) for x in small])[..., None]


def sets(images, train):
    """The sets that a person can rank, best first within each kind of fault."""
    few = {n: np.resize(images[:n], images.shape) for n in (200, 20)}
    return {
        "real": images,
        "noise 5": noisy(images, 5),
        "noise 20": noisy(images, 20),
        "noise 60": noisy(images, 60),
        "blur 14": blurred(images, 14),
        "blur 7": blurred(images, 7),
        "200 pictures": few[200],
        "20 pictures": few[20],
        "copies": train[: len(images)],
    }


def main():
    """Measure every set by every metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="classifier", choices=FEATURES)
    features = parser.parse_args().features
    spec = data.DataSpec()
    train = data.load(spec)
    judge = Judge(spec, train)
    words = [name for name, row in METRICS.items() if row.features]
    words.remove("is") if features in ("alexnet", "raw") else None
    asked = judge.requests(",".join([*words, "ms_ssim"]), features)
    images = data.load(spec._replace(split="test")).images
    rows: dict[str, dict] = {}
    for name, pictures in sets(images, train.images).items():
        for value in judge.measure(asked, pictures):
            better = {1: "higher", -1: "lower"}[direction(value.name)]
            row = rows.setdefault(value.name, {"metric": value.name, "better": better})
            row[name] = f"{value.value:.4g}"
        print(name, "measured", flush=True)
    table = list(rows.values())
    for row in [dict(zip(table[0], table[0], strict=True)), *table]:
        print("| " + " | ".join(row.values()) + " |")
    with open(HERE / f"results_{features}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
