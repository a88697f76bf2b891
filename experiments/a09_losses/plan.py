"""A9. Saturating, non-saturating, least squares, WGAN-GP, BEGAN, DRAGAN; the first two also after D has trained alone.

    python launch.py sweep --config=experiments/a09_losses/plan.py:quick --backend=map --workdir=runs/a09
    python -m experiments.ablation --only=a09 --workdir=runs/a09

With l the logit of a fake the gradient of G's loss by it is sigmoid(l) where the loss saturates, 1 - sigmoid(l) where it
does not: where D(G(z)) is 0.01 the first is 99 times as small.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

ALONE = {"trick.disc_pretrain": 300}
ALONE_SAYS = "after 300 of D alone"
LOSSES = {
    "non-saturating": {},
    "non-saturating, D without norm": {"model.disc_norm": "none"},
    "saturating": {"loss": "saturating"},
    f"non-saturating {ALONE_SAYS}": ALONE,
    f"saturating {ALONE_SAYS}": {"loss": "saturating", **ALONE},
    "least squares": {"loss": "least_squares"},
    "WGAN-GP": {"loss": "wasserstein", "penalty.gp": 10.0, "model.disc_norm": "none"},
    "BEGAN": {
        "loss": "began",
        "model.name": "began",
        "model.norm": "none",
        "model.init": "xavier_uniform",
        "model.latent_dist": "uniform",
    },
    "DRAGAN": {"penalty.dragan": 10.0, "model.disc_norm": "none"},
}

ABLATION = Ablation(
    question="Does the saturating loss die when D wins, and do later losses help?",
    claim="the saturating loss has no gradient where D wins; WGAN-GP, LSGAN, BEGAN and DRAGAN help",
    source="Madhu Sanjeevi's post (saturation); CMU 11-785, recitation 10 (later losses)",
    reference="non-saturating",
    measures=("fd", "digits", "grad_early", "grad_gen", "confident"),
    claims=(
        Claim(
            "G's gradient is smaller where the loss saturates before a D that was ahead",
            "grad_early",
            f"saturating {ALONE_SAYS}",
            -1,
            f"non-saturating {ALONE_SAYS}",
        ),
        Claim(
            "and what it makes is worse",
            "fd",
            f"saturating {ALONE_SAYS}",
            1,
            f"non-saturating {ALONE_SAYS}",
        ),
        Claim("it is worse without that, too", "fd", "saturating", 1, "non-saturating"),
        Claim("WGAN-GP helps", "fd", "WGAN-GP", -1, "non-saturating"),
        Claim("least squares help", "fd", "least squares", -1, "non-saturating"),
        Claim("BEGAN helps", "fd", "BEGAN", -1, "non-saturating"),
        Claim("DRAGAN helps", "fd", "DRAGAN", -1, "non-saturating"),
    ),
)


def settings(config):
    narrow = {"model.width": config.model.width // 2}  # its layers are many
    return LOSSES | {"BEGAN": LOSSES["BEGAN"] | narrow}


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
