"""A14. Minibatch discrimination, packing and minibatch deviation on the ring and the grid, where the plain GAN loses modes.

    python launch.py sweep --config=experiments/a14_minibatch/plan.py:quick --backend=map --workdir=runs/a14
    python -m experiments.ablation --only=a14 --workdir=runs/a14

The game is that of configs/ring_plain.py and grid_plain.py: no penalty, no average, Adam with b1 0.9.
"""

from pathlib import Path

from experiments.ablation.measure import of_points
from experiments.ablation.unit import Ablation, Claim, seeded
from gan_jax import config as configs
from gan_jax.types import lookup

RING = Path(__file__).parents[2] / "configs" / "ring_plain.py"
SIZES = {
    "full": (10_000, 128, 256),
    "long": (10_000, 64, 64),
    "quick": (2_000, 64, 64),
}
HELPS = {
    "plain": {},
    "minibatch discrimination": {"model.minibatch": "discrimination"},
    "minibatch deviation": {"model.minibatch": "stddev"},
    "packing 4": {"trick.packing": 4},
}

ABLATION = Ablation(
    question="Does a D that sees its batch keep all modes?",
    claim="minibatch discrimination cures mode collapse; packing and minibatch deviation, too",
    source="CMU 11-785, recitation 10; PacGAN (arXiv:1712.04086); Karras et al. 2018 (arXiv:1710.10196)",
    reference="ring, plain",
    measures=("modes", "high_quality", "accuracy", "grad_gen"),
    claims=tuple(
        Claim(
            f"{name} keeps more modes of the {data}",
            "modes",
            f"{data}, {name}",
            1,
            f"{data}, plain",
        )
        for data in ("ring", "grid")
        for name in HELPS
        if name != "plain"
    ),
    read=of_points,
)


def settings(config):
    return {
        f"{data}, {name}": {"data.source": data, **fields}
        for data in ("ring", "grid")
        for name, fields in HELPS.items()
    }


def get_config(form="full"):
    size = lookup("form", SIZES, form, own=False)
    config = configs.load(str(RING))
    config.steps, config.model.width, config.batch_size = size
    config.log_every = 20
    config.monitor = False
    config.sample_every = config.checkpoint_every = 0
    return config


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
