"""A15. Walks along latents 25, 50 and 75, as far as the source goes and as far as it was trained.

    python launch.py sweep --config=experiments/a15_latent_walk/plan.py:quick --backend=map --workdir=runs/a15
    python -m experiments.ablation --only=a15 --workdir=runs/a15

The source sets one coordinate of z to sorted(10 * randn(20)): ten standard deviations, though it trained on -1..1.
"""

import jax
import numpy as np

from experiments.ablation.measure import Trained, judged_by, of_pictures
from experiments.ablation.unit import Ablation, Claim, seeded, unit
from gan_jax.feeding import Fed
from gan_jax.paths import walk

DIMS = (25, 50, 75)
SIGMAS = (1, 10)
COLUMNS = 20  # values of a walk
BASES = 16  # latents that are walked from
VALUES = np.sort(np.random.default_rng(0).standard_normal(COLUMNS))


def apart(x: np.ndarray) -> float:
    """Mean distance |x_i - x_j| of points [n, D] of opposite signs of VALUES, to that of points of the same sign."""
    between = np.linalg.norm(x[:, None] - x, axis=-1)
    sign = VALUES > 0
    other, own = sign[:, None] != sign, ~np.eye(len(x), dtype=bool)
    return between[other].mean() / between[~other & own].mean()


def walked(run: Trained, sigma: float) -> dict[str, float]:
    """The measures of all walks of a run with values of this standard deviation."""
    z = np.asarray(run.fed(BASES).z)
    rows = walk(z, DIMS, (sigma * VALUES).astype(np.float32))
    pictures = run.pictures(Fed(rows))
    flat = pictures.reshape(-1, COLUMNS, pictures[0].size) / 255.0
    steps = np.abs(np.diff(flat, axis=1)).mean(2).sum(1)
    straight = apart(VALUES[:, None])
    classifier, _ = judged_by(run.config.data.source)
    logits = classifier.logits(pictures)
    ends = logits.argmax(1).reshape(-1, COLUMNS)
    sure = np.asarray(jax.nn.softmax(logits)).max(1).reshape(-1, COLUMNS)
    return {
        "path": float(steps.mean()),
        "switch": float(np.mean([apart(x) for x in flat]) / straight),
        "changes": float((ends[:, 0] != ends[:, -1]).mean()),
        "sure": float(sure[:, [0, -1]].mean()),
    }


def read(run: Trained) -> dict[str, dict[str, float]]:
    """The measures of walks by their standard deviation, beside those of the run."""
    whole = of_pictures(run)[""]
    return {f"sigma {sigma}": walked(run, sigma) | whole for sigma in SIGMAS}


ABLATION = Ablation(
    question="Does the sign of one latent switch the picture?",
    claim="the sign of one coordinate switches content, seen at ten standard deviations",
    source="shekkizh's DCGAN",
    reference="uniform, sigma 1",
    measures=("switch", "path", "changes", "sure", "fd"),
    claims=(
        Claim(
            "at 10 the sign switches the picture", "switch", "uniform, sigma 10", 1, 1.0
        ),
        Claim("at 1, where it was trained, too", "switch", "uniform, sigma 1", 1, 1.0),
        Claim("with normal latents at 10, too", "switch", "normal, sigma 10", 1, 1.0),
        Claim("with normal latents at 1, too", "switch", "normal, sigma 1", 1, 1.0),
    ),
    read=read,
    meaning={
        "switch": "distance of pictures of opposite signs to that of pictures of one sign, 1 for a straight path",
        "path": "mean change of a pixel (0..1) along a walk, summed",
        "changes": "share of walks whose two ends are different digits to the classifier",
        "sure": "the classifier's probability of the ends' best class",
    },
)


def settings(config):
    return {name: {"model.latent_dist": name} for name in ("uniform", "normal")}


def get_config(form="full"):
    return unit(form)


def get_sweep(form="full"):
    return seeded(settings(get_config(form)))
