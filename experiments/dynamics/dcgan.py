"""The spectrum of a DCGAN as it trains, with R1 and without.

    python -m experiments.dynamics.dcgan --workdir=runs/dynamics

Trains configs/dcgan_fashion.py at width 8 twice, stops at each of STAGES, and finds the eigenvalues there, as
`python launch.py dynamics` does.
"""

import argparse
import sys
from pathlib import Path

from gan_jax.cli import main as launch

STAGES = (100, 500, 2000, 4000)
WEIGHTS = {"none": 0.0, "r1": 0.5}


def main() -> None:
    """Train and measure, stage by stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--stages", type=int, nargs="+", default=STAGES)
    args = parser.parse_args()
    for name, weight in WEIGHTS.items():
        folder = f"--workdir={args.workdir / name}"
        config = [
            "--config=configs/dcgan_fashion.py",
            "--config.model.width=8",
            f"--config.penalty.r1={weight}",
            "--config.sample_every=0",
            "--config.checkpoint_every=0",
        ]
        for stage in args.stages:
            for words in (
                [*config, f"--config.steps={stage}", folder],
                ["dynamics", folder, f"--step={stage}", "--n=8", "--batch=128"],
            ):
                if code := launch(words):
                    sys.exit(code)


if __name__ == "__main__":
    main()
