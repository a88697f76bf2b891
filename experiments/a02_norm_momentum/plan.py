"""A2. The decay of BatchNorm's running moments, where they serve sampling alone and where they serve training.

    python launch.py sweep --config=experiments/a02_norm_momentum/plan.py:quick --backend=map --workdir=runs/a02
    python -m experiments.ablation --only=a02 --workdir=runs/a02

In the source's own code training always takes the batch's moments, so that the decay can only move what is sampled. The
text speaks of gradients: `running` normalises by the running moments in training too.
"""

from functools import cache

import jax
import numpy as np

from experiments.ablation.measure import SAMPLES, Trained, distance, of_pictures
from experiments.ablation.unit import Ablation, Claim, seeded, unit
from gan_jax.sampling import finished

DECAYS = (0.9, 0.99, 0.999)
NORMS = {"batch": "batch", "running": "experiments.a02_norm_momentum.norms:running"}
BATCH = 50  # samples whose own moments normalise them


@cache
def sampler(gen):
    """A generator that normalises by the moments of what it makes."""
    return jax.jit(lambda w, *fed: gen.apply(w["params"], w["vars"], *fed, train=True))


def read(run: Trained) -> dict[str, dict[str, float]]:
    """The measures of pictures, and the distance of those that are normalised by their own batch's moments."""
    make, z = sampler(run.job.nets.gen), np.asarray(run.fed(SAMPLES).z)
    parts = [
        finished(np.asarray(make(run.weights, run.state.hyper, part)[0]))
        for part in z.reshape(-1, BATCH, z.shape[1])
    ]
    own = {"fd_batch": distance(run.config.data.source, np.concatenate(parts))}
    return {"": of_pictures(run)[""] | own}


ABLATION = Ablation(
    question="Is 0.9 the best decay of BatchNorm's running moments?",
    claim="decay 0.9 is best, a slow decay hurts the gradient's flow",
    source="shekkizh's DCGAN, whose code never trains with the running moments",
    reference="batch, 0.9",
    measures=("fd", "fd_batch", "digits", "grad_gen", "grad_disc"),
    claims=(
        Claim(
            "sampled with running moments, 0.99 is worse than 0.9",
            "fd",
            "batch, 0.99",
            1,
            "batch, 0.9",
        ),
        Claim("and so is 0.999", "fd", "batch, 0.999", 1, "batch, 0.9"),
        Claim(
            "training is worse with 0.999, as batch moments sample it",
            "fd_batch",
            "batch, 0.999",
            1,
            "batch, 0.9",
        ),
        Claim(
            "trained with running moments, 0.99 is worse than 0.9",
            "fd",
            "running, 0.99",
            1,
            "running, 0.9",
        ),
        Claim("and so is 0.999", "fd", "running, 0.999", 1, "running, 0.9"),
    ),
    read=read,
    meaning={
        "fd_batch": f"`fd` of pictures normalised by the moments of their own batch of {BATCH}"
    },
)


def settings(config):
    return {
        f"{name}, {decay}": {"model.norm": norm, "model.norm_momentum": decay}
        for name, norm in NORMS.items()
        for decay in DECAYS
    }


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
