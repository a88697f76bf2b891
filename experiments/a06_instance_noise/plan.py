"""A6. Noise on what D sees, falling to 0 at half of the iterations or constant.

python launch.py sweep --config=experiments/a06_instance_noise/plan.py:quick --backend=map --workdir=runs/a06
python -m experiments.ablation --only=a06 --workdir=runs/a06
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

ABLATION = Ablation(
    question="Does noise on real and fake pictures help?",
    claim="noise on D's inputs keeps D from winning, and helps",
    source="kmualim's post, whose code has none; Sonderby et al. 2017 (arXiv:1610.04490)",
    reference="none",
    measures=("fd", "won", "accuracy", "digits", "confident"),
    claims=(
        Claim("0.3 falling to 0: D wins later", "won", "0.3 falling", 1, "none"),
        Claim("0.3 falling to 0 helps", "fd", "0.3 falling", -1, "none"),
        Claim("0.1 falling to 0 helps", "fd", "0.1 falling", -1, "none"),
        Claim("0.3 throughout helps", "fd", "0.3 throughout", -1, "none"),
    ),
)


def settings(config):
    half = config.steps // 2
    names = ("trick.instance_noise", "trick.instance_noise_steps")
    noises = {
        "0.1 falling": (0.1, half),
        "0.3 falling": (0.3, half),
        "0.3 throughout": (0.3, 0),
    }
    fields = {
        name: dict(zip(names, values, strict=True)) for name, values in noises.items()
    }
    return {"none": {}, **fields}


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
