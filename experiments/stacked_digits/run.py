"""Count the modes of stacked digits that trained runs reach.

    python -m experiments.stacked_digits.run runs/stacked_digits runs/another ...

Each run's averaged generator makes 26,000 pictures; a classifier trained on the single digits reads their three
channels. Prints the modes of 1,000, KL to the uniform distribution in nats, and the same of as many real pictures.
"""

import sys

import numpy as np

import gan_jax
from gan_jax import data
from gan_jax.eval.classifier import load_or_train
from gan_jax.eval.modes import stacked_floor, stacked_modes

SINGLE = {"stacked_digits": "digits", "stacked_mnist": "mnist_5k"}
N = 26_000


def read(judge, pictures):
    """Pictures uint8 [N, H, W, 3] -> the digit of each channel, [N, 3]."""
    channels = [judge.logits(pictures[..., i : i + 1]).argmax(1) for i in range(3)]
    return np.stack(channels, axis=1)


def main(workdirs):
    """Print a row for each run."""
    print(f"{'run':32} {'modes':>5} {'KL':>7}")
    for workdir in workdirs:
        run = gan_jax.load(workdir)
        source = run.config.data.source
        judge = load_or_train(data.load(data.DataSpec(source=SINGLE[source])))
        made = stacked_modes(read(judge, run.sample(N)))
        print(f"{workdir:32} {made['modes']:5} {made['kl']:7.3f}", flush=True)
    real = data.load(data.DataSpec(source=source)).images
    chosen = np.random.default_rng(0).choice(len(real), N, replace=False)
    made = stacked_modes(read(judge, np.asarray(real[np.sort(chosen)])))
    print(f"{'real pictures':32} {made['modes']:5} {made['kl']:7.3f}")
    print(f"{'perfect sampling, expected':32} {'':5} {stacked_floor(N):7.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
