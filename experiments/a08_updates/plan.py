"""A8. Two G updates an iteration, 5 and 10 of D, and a D that trains alone at first.

    python launch.py sweep --config=experiments/a08_updates/plan.py:quick --backend=map --workdir=runs/a08
    python -m experiments.ablation --only=a08 --workdir=runs/a08

All have as many iterations; G rests in those in which D trains alone.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

EVEN = "1 D, 1 G"

ABLATION = Ablation(
    question="How many updates of each player, and should D begin earlier?",
    claim="two updates of G for one of D; no pre-training of D",
    source="shekkizh's DCGAN (1 D, 2 G); kmualim's post (no pre-training); CMU 11-785, recitation 10 (D more often)",
    reference=EVEN,
    measures=("fd", "digits", "accuracy", "gap", "grad_gen"),
    claims=(
        Claim("two G updates help", "fd", "1 D, 2 G", -1, EVEN),
        Claim("5 D updates help", "fd", "5 D, 1 G", -1, EVEN),
        Claim("100 iterations of D alone hurt", "fd", "D alone for 100", 1, EVEN),
        Claim("300 iterations of D alone hurt", "fd", "D alone for 300", 1, EVEN),
    ),
)


def settings(config):
    return {
        EVEN: {},
        "1 D, 2 G": {"n_gen": 2},
        "5 D, 1 G": {"n_disc": 5},
        "10 D, 1 G": {"n_disc": 10},
        **{f"D alone for {n}": {"trick.disc_pretrain": n} for n in (100, 300)},
    }


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
