"""A4. The adversarial loss, feature matching, both, and a ramp from the one to both; matched as means or row by row.

    python launch.py sweep --config=experiments/a04_feature_matching/plan.py:quick --backend=map --workdir=runs/a04
    python -m experiments.ablation --only=a04 --workdir=runs/a04

Row by row is the source's code: each fake against the real picture of its row, summed over the batch. The paper that it
cites (Salimans et al. 2016) matches the batches' means.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

FORMS = {"means": "l2_of_means", "rows": "per_sample_sum"}
RAMP = "trick.feature_matching=linear:0:500:0:1"  # the adversarial term dominates first
ADVERSARIAL = "adversarial alone"

ABLATION = Ablation(
    question="Does feature matching fail alone and help beside the adversarial loss?",
    claim="alone it sends D's loss to 0 at once; 0.1 of it beside the adversarial loss works",
    source="shekkizh's DCGAN",
    reference=ADVERSARIAL,
    measures=("early", "fd", "digits", "accuracy", "confident"),
    claims=(
        Claim("rows alone: D's loss is near 0", "early", "rows alone", -1, 0.1),
        Claim("means alone: D's loss is near 0", "early", "means alone", -1, 0.1),
        Claim("both work where rows alone fail", "fd", "both, rows", -1, "rows alone"),
        Claim(
            "both work where means alone fail", "fd", "both, means", -1, "means alone"
        ),
        Claim("rows help the adversarial loss", "fd", "both, rows", -1, ADVERSARIAL),
        Claim("means help the adversarial loss", "fd", "both, means", -1, ADVERSARIAL),
    ),
)


def settings(config):
    found = {ADVERSARIAL: {}}
    for name, form in FORMS.items():
        matched = {"trick.feature_matching": 0.1, "trick.feature_matching_form": form}
        found |= {
            f"{name} alone": matched | {"trick.adversarial": 0.0},
            f"both, {name}": matched,
            f"both, {name}, ramp": matched | {"schedule": RAMP},
        }
    return found


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
