"""A5. Real labels of 0.9 and 0.7, and fake labels of 0.1 and 0.3 beside them.

python launch.py sweep --config=experiments/a05_label_smoothing/plan.py:quick --backend=map --workdir=runs/a05
python -m experiments.ablation --only=a05 --workdir=runs/a05
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

ABLATION = Ablation(
    question="Does one-sided label smoothing cap D(x), and does it help?",
    claim="D(x) stays at 0.9 or below, and training is steadier; two-sided smoothing biases G",
    source="CMU 11-785, recitation 10; Goodfellow 2016 (arXiv:1701.00160), section 4.2",
    reference="none",
    measures=("real", "fd", "digits", "real_most", "fake", "accuracy"),
    claims=(
        Claim("labels of 0.9: D(x) stays below 0.9", "real", "real 0.9", -1, 0.9),
        Claim("they help", "fd", "real 0.9", -1, "none"),
        Claim("two-sided is worse", "fd", "real 0.9, fake 0.1", 1, "real 0.9"),
        Claim("so it is at 0.3", "fd", "real 0.7, fake 0.3", 1, "real 0.7"),
    ),
)


def settings(config):
    found = {"none": {}}
    for s in (0.1, 0.3):
        real = {"trick.label_smooth": s}
        found[f"real {1 - s}"] = real
        found[f"real {1 - s}, fake {s}"] = real | {"trick.label_smooth_fake": s}
    return found


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
