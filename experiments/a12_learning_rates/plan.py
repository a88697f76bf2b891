"""A12. D's learning rate beside G's, and Adam's b1.

    python launch.py sweep --config=experiments/a12_learning_rates/plan.py:quick --backend=map --workdir=runs/a12
    python -m experiments.ablation --only=a12 --workdir=runs/a12

All settings differ in numbers only: one program.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

RATES = {"as G": 1, "4 times G": 4, "a quarter of G": 0.25}
EVEN = "D as G, b1 0.5"

ABLATION = Ablation(
    question="Two learning rates, and momentum 0.5 against 0.9?",
    claim="b1 of 0.5, not 0.9; a D that learns faster than G (TTUR)",
    source="kmualim's post and DCGAN (0.5), CMU 11-785, recitation 10 (0.9); Heusel et al. 2017 (arXiv:1706.08500)",
    reference=EVEN,
    measures=("fd", "digits", "accuracy", "gap", "grad_gen"),
    claims=(
        Claim("b1 0.9 is worse than 0.5", "fd", "D as G, b1 0.9", 1, EVEN),
        Claim("a faster D helps", "fd", "D 4 times G, b1 0.5", -1, EVEN),
        Claim("a slower D hurts", "fd", "D a quarter of G, b1 0.5", 1, EVEN),
    ),
)


def settings(config):
    lr = config.optim.gen.lr
    return {
        f"D {name}, b1 {b1}": {
            "optim.disc.lr": factor * lr,
            "optim.gen.b1": b1,
            "optim.disc.b1": b1,
        }
        for b1 in (0.5, 0.9, 0.0)
        for name, factor in RATES.items()
    }


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
