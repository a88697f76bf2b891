"""How good the main job's DCGAN is, over seeds.

    for s in 0 1 2 3 4; do python launch.py --config=configs/dcgan_fashion.py --config.seed=$s --workdir=runs/fashion_$s; done
    python -m experiments.fashion_baseline.run runs/fashion_0 runs/fashion_1 runs/fashion_2 runs/fashion_3 runs/fashion_4

Prints mean and 95 % confidence interval (Student's t over the runs) of every value, and writes results.csv.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from scipy import stats

from gan_jax.evaluation import Options, of_run

HERE = Path(__file__).parent
METRICS = {
    "train": "fd_classifier,kid_classifier,is_classifier,pr_classifier,dc_classifier,memorisation_classifier,ms_ssim",
    "test": "fd_classifier,kid_classifier,pr_classifier,dc_classifier",
}


def main(workdirs):
    """Measure each run's latest averaged generator by 10,000 samples against both splits."""
    found: dict[tuple[str, str], list[float]] = {}
    for workdir in workdirs:
        for split, metrics in METRICS.items():
            for row in of_run(workdir, None, ["ema"], Options(metrics, split=split)):
                found.setdefault((row["metric"], split), []).append(row["value"])
        print(workdir, "measured", flush=True)
    n = len(workdirs)
    t = stats.t.ppf(0.975, n - 1) / np.sqrt(n)
    with open(HERE / "results.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["metric", "split", "mean", "half_interval", *range(n)])
        print("| value | against | mean | 95 % interval |\n|---|---|---|---|")
        for (metric, split), values in found.items():
            mean, half = np.mean(values), t * np.std(values, ddof=1)
            writer.writerow([metric, split, mean, half, *values])
            print(f"| {metric} | {split} | {mean:.4g} | +- {half:.2g} |")


if __name__ == "__main__":
    main(sys.argv[1:])
