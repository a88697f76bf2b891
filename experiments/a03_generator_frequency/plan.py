"""A3. "Generator frequency" 1, 5 and 10: one G update for 2, 6 and 11 of D.

    python launch.py sweep --config=experiments/a03_generator_frequency/plan.py:quick --backend=map --workdir=runs/a03
    python -m experiments.ablation --only=a03 --workdir=runs/a03

The recitation trains for so many epochs, so that the D updates are equal and a higher frequency leaves fewer of G. The last
setting has as many G updates as frequency 1. Optimizers and initial weights are the recitation's, networks the unit's.
"""

from experiments.ablation.unit import Ablation, Claim, seeded, unit

ONE, FIVE, TEN = "frequency 1", "frequency 5", "frequency 10"
LONGER = "frequency 5, G updates of 1"

ABLATION = Ablation(
    question='Does "generator frequency" 5 work where 1 fails?',
    claim="5 makes good digits, 1 fails, 10 serves WGAN-GP",
    source="CMU 11-785, recitation 10, whose callback waits for one D update more than it says",
    reference=ONE,
    measures=("fd", "digits", "gap", "entropy", "accuracy"),
    claims=(
        Claim("5 is nearer to the digits than 1", "fd", FIVE, -1, ONE),
        Claim("5 makes more digits than 1", "digits", FIVE, 1, ONE),
        Claim(
            "5 is nearer than 1 at as many G updates, three times the work",
            "fd",
            LONGER,
            -1,
            ONE,
        ),
    ),
)


def settings(config):
    waits = {ONE: (1, 1), FIVE: (5, 3), TEN: (10, 5.5), LONGER: (5, 1)}
    return {
        name: {"n_disc": frequency, "steps": round(config.steps / fewer)}
        for name, (frequency, fewer) in waits.items()
    }


def get_config(form="full"):
    config = unit(form)
    config.log_every = 10  # the highest frequency has few iterations
    config.trick.one_more_disc = True
    config.trick.share_noise = False
    config.model.init = "xavier_uniform"
    for player in (config.optim.gen, config.optim.disc):
        player.lr *= 1.5  # 3e-4 in the full form
        player.b1 = 0.9
    return config


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
