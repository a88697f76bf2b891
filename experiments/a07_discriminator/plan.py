"""A7. D's dropout, the filters of both networks, D as wide at every depth, and D narrower than G.

    python launch.py sweep --config=experiments/a07_discriminator/plan.py:quick --backend=map --workdir=runs/a07
    python -m experiments.ablation --only=a07 --workdir=runs/a07

At 28 pixels D has two convolutions, of w and 2w channels; the constant one has 4w and 4w, the post's 128 for a w of 32.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

AS_IS = "4x4, no dropout"

ABLATION = Ablation(
    question="Which D: dropout, filters, depth, width?",
    claim="dropout of 0.3 to 0.6, filters of 5x5, a D of 128 channels at every depth, a D half of G",
    source="kmualim's post; the width shekkizh's",
    reference=AS_IS,
    measures=("fd", "accuracy", "digits", "gap", "grad_gen"),
    claims=(
        Claim("dropout 0.25 helps", "fd", "dropout 0.25", -1, AS_IS),
        Claim("dropout 0.4 helps", "fd", "dropout 0.4", -1, AS_IS),
        Claim("dropout 0.6 helps", "fd", "dropout 0.6", -1, AS_IS),
        Claim("5x5 is better than 3x3", "fd", "5x5", -1, "3x3"),
        Claim("a D of 4w at every depth helps", "fd", "D of 4w", -1, AS_IS),
        Claim("a D half as wide helps", "fd", "D of w/2", -1, AS_IS),
        Claim("a D a quarter as wide helps", "fd", "D of w/4", -1, AS_IS),
    ),
)


def settings(config):
    w = config.model.width
    return {
        AS_IS: {},
        **{f"dropout {rate}": {"model.dropout": rate} for rate in (0.25, 0.4, 0.6)},
        **{f"{side}x{side}": {"model.kernel": side} for side in (3, 5)},
        "D of 4w": {"model.disc_width": 4 * w, "model.constant_width": True},
        **{f"D of w/{n}": {"model.disc_width": w // n} for n in (2, 4)},
    }


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
