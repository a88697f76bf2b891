"""A13. The game xy by six rules of play at three learning rates: who spirals out, who orbits, who arrives.

    python launch.py sweep --config=experiments/a13_xy_game/plan.py:quick --backend=map --workdir=runs/a13
    python -m experiments.ablation --only=a13 --workdir=runs/a13

The same rules on a ring of Gaussians are experiments/rules_of_play.
"""

import numpy as np

from experiments.ablation.measure import Trained
from experiments.ablation.unit import Ablation, Claim, seeded, unit

SGD = {"name": "sgd"}
RULES = {  # name -> (game, what both optimizers are)
    "simultaneous": ("simultaneous", SGD),
    "alternating": ("alternating", SGD),
    "extra-gradient": ("extra_gradient", SGD),
    "optimistic": ("simultaneous", {"name": "optimistic_gd"}),
    "consensus": ("consensus", SGD),
    "negative momentum": ("alternating", {"name": "sgd", "momentum": -0.5}),
}
RATES = (0.1, 0.2, 0.5)
STEPS = {"full": 240, "long": 220, "quick": 200}


def read(run: Trained) -> dict[str, dict[str, float]]:
    """How much the distance from (0, 0) grows in an iteration, by the slope of its logarithm in the second half of a run."""
    step, x, y = (np.asarray(run.curves[n], float) for n in ("step", "xy/x", "xy/y"))
    late = step > step[-1] / 2
    slope, _ = np.polyfit(step[late], np.log(np.hypot(x, y)[late]), 1)
    growth, distance = 100 * np.expm1(slope), np.hypot(x[-1], y[-1])
    return {"": {"growth": float(growth), "distance": float(distance)}}


ABLATION = Ablation(
    question="Does gradient descent on xy orbit?",
    claim="gradient descent on xy enters a stable orbit",
    source="Madhu Sanjeevi's post; the closed forms are in docs/games.md",
    reference="alternating, 0.1",
    measures=("growth", "distance"),
    claims=(
        Claim(
            "alternating descent does not spiral out",
            "growth",
            "alternating, 0.1",
            -1,
            0.1,
        ),
        Claim("nor does it arrive", "growth", "alternating, 0.1", 1, -0.1),
        Claim(
            "simultaneous descent does not spiral out",
            "growth",
            "simultaneous, 0.1",
            -1,
            0.1,
        ),
        Claim("nor at 0.5", "growth", "simultaneous, 0.5", -1, 0.1),
    ),
    read=read,
    meaning={
        "growth": "how much the distance from (0, 0) grows in an iteration, percent, second half of a run",
        "distance": "from (0, 0) at the end, 1 at the beginning",
    },
)


def settings(config):
    found = {}
    for name, (game, optimizer) in RULES.items():
        for lr in RATES:
            both = {
                f"optim.{player}.{key}": value
                for player in ("gen", "disc")
                for key, value in {**optimizer, "lr": lr}.items()
            }
            found[f"{name}, {lr}"] = {"game": game, **both}
    return found


def get_config(form="full"):
    config = unit(form)
    config.steps = STEPS[form]
    config.objective = "experiments.a13_xy_game.game:GAME"
    config.data.source = "ring"  # not looked at
    config.model.name = "mlp"  # nor made
    config.batch_size = config.model.width = 1
    config.log_every = config.scan_steps = 2
    return config


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
