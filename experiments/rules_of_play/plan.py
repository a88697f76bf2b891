"""One plain ring GAN under each rule of play, two learning rates and five seeds each.

    python launch.py sweep --config=experiments/rules_of_play/plan.py --workdir=runs/rules
    python -m experiments.rules_of_play.table --workdir=runs/rules

The game is that of configs/ring_plain.py (no penalty, no average, non-saturating) with batch 128; what differs is how the
players move. Evaluated every 250 iterations: modes held of 8 by 2,500 samples.
"""

from gan_jax import config as configs

RATES = {"adam": (2e-4, 1e-3), "optimistic_adam": (2e-4, 1e-3)}
RATES |= {"sgd": (0.05, 0.2), "optimistic_gd": (0.05, 0.2)}
ADAM, SGD = {"name": "adam", "b1": 0.5}, {"name": "sgd", "momentum": 0.0}
RULES = {  # name -> (game, what both optimizers are)
    "alternating Adam": ("alternating", ADAM),
    "simultaneous Adam": ("simultaneous", ADAM),
    "negative momentum, Adam b1 -0.5": ("alternating", {"name": "adam", "b1": -0.5}),
    "optimistic Adam": ("simultaneous", {"name": "optimistic_adam", "b1": 0.5}),
    "extra-gradient Adam": ("extra_gradient", ADAM),
    "consensus Adam, weight 1": ("consensus", ADAM),
    "unrolled Adam, 5 steps": ("unrolled", ADAM),
    "alternating GD": ("alternating", SGD),
    "negative momentum, GD -0.5": ("alternating", {"name": "sgd", "momentum": -0.5}),
    "optimistic GD": ("simultaneous", {"name": "optimistic_gd"}),
    "extra-gradient GD": ("extra_gradient", SGD),
    "consensus GD, weight 1": ("consensus", SGD),
}
SEEDS = 5


def get_config():
    """The ring GAN that all play."""
    config = configs.load("configs/ring_plain.py")
    config.steps = 5000
    config.batch_size = 128
    config.eval.every = 250
    config.eval.metrics = "modes"
    config.eval.n = 2500
    config.log_every = 250
    config.sample_every = 2500
    config.checkpoint_every = 2500
    return config


def get_sweep():
    """A setting for each rule, learning rate and seed."""
    settings = []
    for game, optimizer in RULES.values():
        for lr in RATES[optimizer["name"]]:
            both = {**optimizer, "lr": lr}
            fields = {
                f"optim.{player}.{name}": value
                for player in ("gen", "disc")
                for name, value in both.items()
            }
            settings += [{"game": game, **fields, "seed": s} for s in range(SEEDS)]
    return settings
