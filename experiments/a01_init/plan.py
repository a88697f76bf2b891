"""A1. Three initial weights, with and without BatchNorm, under the classic loss and under a modern one.

    python launch.py sweep --config=experiments/a01_init/plan.py:quick --backend=map --workdir=runs/a01
    python -m experiments.ablation --only=a01 --workdir=runs/a01

The modern loss is R3GAN's: relativistic pairing with R1 and R2.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

INITS = {
    "N(0, 0.02)": {"model.init": "normal", "model.init_std": 0.02},
    "N(0, 0.2)": {"model.init": "normal", "model.init_std": 0.2},
    "Xavier": {"model.init": "xavier_uniform"},
}
NORMS = {"batch norm": "batch", "no norm": "none"}
LOSSES = {
    "classic": {"loss": "non_saturating"},
    "modern": {"loss": "rp", "penalty.r1": 0.5, "penalty.r2": 0.5},
}
CLASSIC = "classic, batch norm"

ABLATION = Ablation(
    question="Does only N(0, 0.02) work as initial weights?",
    claim="Xavier fails, N(0, 0.2) fails, N(0, 0.02) works",
    source="shekkizh's DCGAN; against it d2l.ai's network without norms, which collapses with N(0, 0.02)",
    reference=f"{CLASSIC}, N(0, 0.02)",
    measures=("fd", "digits", "early", "grad_gen", "grad_disc"),
    claims=(
        Claim(
            "N(0, 0.2) is worse than N(0, 0.02)",
            "fd",
            f"{CLASSIC}, N(0, 0.2)",
            1,
            f"{CLASSIC}, N(0, 0.02)",
        ),
        Claim(
            "Xavier is worse than N(0, 0.02)",
            "fd",
            f"{CLASSIC}, Xavier",
            1,
            f"{CLASSIC}, N(0, 0.02)",
        ),
        Claim(
            "without a norm, too, Xavier is worse than N(0, 0.02)",
            "fd",
            "classic, no norm, Xavier",
            1,
            "classic, no norm, N(0, 0.02)",
        ),
        Claim(
            "under a modern loss without a norm, too",
            "fd",
            "modern, no norm, Xavier",
            1,
            "modern, no norm, N(0, 0.02)",
        ),
    ),
)


def settings(config):
    return {
        f"{loss}, {norm}, {init}": LOSSES[loss] | {"model.norm": NORMS[norm]} | fields
        for loss in LOSSES
        for norm in NORMS
        for init, fields in INITS.items()
    }


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
