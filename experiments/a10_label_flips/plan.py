"""A10. A share of D's labels exchanged at random, and the roles of real and fake exchanged for good.

    python launch.py sweep --config=experiments/a10_label_flips/plan.py:quick --backend=map --workdir=runs/a10
    python -m experiments.ablation --only=a10 --workdir=runs/a10

Cross entropy treats both labels alike, so that the exchange for good is the same game with D's sign turned.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

ABLATION = Ablation(
    question="Do exchanged labels help?",
    claim="flip some labels for D; flip them for G (real = fake)",
    source='kmualim\'s post, from Chintala et al. 2016, "How to train a GAN"',
    reference="none",
    measures=("fd", "digits", "accuracy", "gap", "grad_gen"),
    claims=(
        Claim("5 % of flips help", "fd", "5 % flipped", -1, "none"),
        Claim("20 % of flips help", "fd", "20 % flipped", -1, "none"),
        Claim("exchanged roles help", "fd", "roles exchanged", -1, "none"),
    ),
)


def settings(config):
    return {
        "none": {},
        "5 % flipped": {"trick.label_flip": 0.05},
        "20 % flipped": {"trick.label_flip": 0.2},
        "roles exchanged": {"trick.role_swap": True},
    }


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
