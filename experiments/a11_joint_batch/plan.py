"""A11. Real and fake pictures in one batch of D, in two, and in two updates; with D's BatchNorm, which sees the difference.

python launch.py sweep --config=experiments/a11_joint_batch/plan.py:quick --backend=map --workdir=runs/a11
python -m experiments.ablation --only=a11 --workdir=runs/a11
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

APART = "apart, one update"

ABLATION = Ablation(
    question="Should real and fake pictures come to D in batches of their own?",
    claim="a batch holds real pictures or fakes only",
    source='kmualim\'s code, from Chintala et al. 2016, "How to train a GAN"',
    reference=APART,
    measures=("fd", "digits", "accuracy", "gap", "grad_gen"),
    claims=(
        Claim("one batch is worse than two", "fd", "one batch", 1, APART),
        Claim(
            "one batch is worse than two updates",
            "fd",
            "one batch",
            1,
            "apart, two updates",
        ),
    ),
)


def settings(config):
    return {
        APART: {},
        "apart, two updates": {"trick.disc_split": True},
        "one batch": {"trick.joint_batch": True},
    }


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
