"""A16. A generator of all digits that is told the class in three ways, and one that is not.

    python launch.py sweep --config=experiments/a16_conditional/plan.py:quick --backend=map --workdir=runs/a16
    python -m experiments.ablation --only=a16 --workdir=runs/a16

Samples of a conditional generator have evenly drawn classes.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

ABLATION = Ablation(
    question="Is it easier to make mixed classes when they are told?",
    claim="conditional is easier than mixed classes without labels",
    source="shekkizh's post (homogeneous pictures are easier); CMU 11-785, recitation 10 (conditional WGAN-GP)",
    reference="not told",
    measures=("fd", "digits", "entropy", "confident", "accuracy"),
    claims=(
        Claim("the label as input is nearer", "fd", "concatenated", -1, "not told"),
        Claim("projection is nearer", "fd", "projection", -1, "not told"),
        Claim("ACGAN is nearer", "fd", "ACGAN", -1, "not told"),
        Claim(
            "the label as input is more even", "entropy", "concatenated", 1, "not told"
        ),
        Claim("projection is more even", "entropy", "projection", 1, "not told"),
        Claim("ACGAN is more even", "entropy", "ACGAN", 1, "not told"),
    ),
)


def settings(config):
    return {
        "not told": {},
        "concatenated": {"model.condition": "concat"},
        "projection": {"model.condition": "projection"},
        "ACGAN": {"objective": "acgan", "model.condition": "concat_gen"},
    }


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
