"""What is measured of a run: of its samples, and of its logged columns."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from gan_jax import data
from gan_jax.data import toy
from gan_jax.eval.classifier import Classifier, load_or_train
from gan_jax.eval.frechet import Gaussian, frechet, gaussian
from gan_jax.eval.modes import mode_coverage
from gan_jax.feeding import Fed, draw
from gan_jax.job import Job
from gan_jax.sampling import finished
from gan_jax.types import TrainState

Measures = dict[str, float]
SAMPLES = 2_000  # pictures of a run; points as in VEEGAN and PacGAN:
POINTS = 2_500
LATENTS = 0  # seed of what they are made of
PRESENT = 0.02  # of the samples: a class that is there
SURE = 0.9  # probability of the classifier's best class
EARLY = 500  # iterations that are called the first ones
LATE = 5  # the last 1/LATE of the rows is called the end
ROWS, WON = 5, 0.95  # so many rows in a row have this accuracy in the mean: D has won

MEANING = {
    "fd": "Frechet distance to all training pictures, in the features of a classifier of them",
    "digits": "classes of at least 2 % of the samples",
    "entropy": "entropy of the classes, nats; 2.303 is even",
    "confident": "share of samples that the classifier gives a class more than 0.9",
    "modes": "modes of the ring or grid with a sample within 3 std",
    "high_quality": "share of samples within 3 std of a mode",
    "real": "D(x) at the end",
    "fake": "D(G(z)) at the end",
    "real_most": "largest D(x) of a logged batch",
    "gap": "D(x) - D(G(z)) at the end",
    "accuracy": "D's accuracy at the end",
    "won": "first iteration at which D's accuracy was above 0.95 over 100 iterations; all if never",
    "early": "D's loss in the first 500 iterations",
    "loss_disc": "D's loss at the end",
    "loss_gen": "G's loss at the end",
    "grad_early": "norm of G's gradient in the first 500 iterations, median",
    "grad_gen": "norm of G's gradient at the end, median",
    "grad_disc": "norm of D's gradient at the end, median",
    "diverged": "1 where a number was not finite: measured as it was before",
}


class Trained(NamedTuple):
    """A member of a sweep after its last step: what it was trained with, its logged columns, its state.

    sampler: `gan_jax.sampling.make_sampler` of its networks.
    """

    job: Job
    config: ConfigDict
    curves: dict[str, Any]
    state: TrainState
    sampler: Callable[..., np.ndarray]

    @property
    def weights(self) -> dict[str, Any]:
        """Of the latest generator, as a sampler takes them."""
        gen = self.state.players.gen
        return {"params": gen.params, "vars": gen.vars}

    def pictures(self, fed: Fed) -> np.ndarray:
        """What the latest generator makes: uint8 [n, H, W, C], or points float32 [n, D]."""
        return self.sampler(self.weights, self.state.hyper, fed, finished)

    def fed(self, n: int) -> Fed:
        """The same n latents for every run of a network, with classes drawn evenly where G is told any."""
        return draw(self.job.recipe.model, jax.random.key(LATENTS), n)


@cache
def judged_by(source: str) -> tuple[Classifier, Gaussian]:
    """The classifier of a labelled source, and the Gaussian of its features of all the pictures."""
    dataset = data.load(data.DataSpec(source))
    classifier = load_or_train(dataset)
    return classifier, gaussian(classifier.features(dataset.images))


def distance(source: str, pictures: np.ndarray) -> float:
    """Frechet distance of pictures uint8 [n, H, W, C] to a source's, in its classifier's features."""
    classifier, real = judged_by(source)
    return frechet(gaussian(classifier.features(pictures)), real)


def of_classes(probability: np.ndarray) -> Measures:
    """What a classifier's probabilities [n, classes] of samples say: classes there, their entropy, how sure it is."""
    share = np.bincount(probability.argmax(1), minlength=probability.shape[1])
    share = share / len(probability)
    seen = share[share > 0]
    return {
        "digits": int((share >= PRESENT).sum()),
        "entropy": abs(float((seen * np.log(seen)).sum())),
        "confident": float((probability.max(1) > SURE).mean()),
    }


def of_samples(source: str, pictures: np.ndarray) -> Measures:
    """Distance and classes of pictures uint8 [n, H, W, C]."""
    classifier, _ = judged_by(source)
    probability = np.asarray(jax.nn.softmax(classifier.logits(pictures)))
    return {"fd": distance(source, pictures), **of_classes(probability)}


def end(x: np.ndarray) -> np.ndarray:
    """The rows at the end of a run, at least one."""
    return x[-max(1, len(x) // LATE) :]


def ended(step: np.ndarray, x: np.ndarray) -> float:
    """The mean at the end."""
    return end(x).mean()


def usual(step: np.ndarray, x: np.ndarray) -> float:
    """The median at the end."""
    return np.median(end(x))


def at_first(step: np.ndarray, x: np.ndarray) -> float:
    """The mean of the first iterations."""
    return x[step <= EARLY].mean()


def won(step: np.ndarray, accuracy: np.ndarray) -> float:
    """The first logged iteration whose last ROWS rows have a mean accuracy above WON; the last one if none has."""
    mean = np.convolve(accuracy, np.ones(ROWS) / ROWS, "valid")
    over = np.flatnonzero(mean > WON) if len(step) >= ROWS else ()
    return step[over[0] + ROWS - 1] if len(over) else step[-1]


# measure -> columns of metrics.jsonl, and what is made of them beside the iterations of their rows
CURVES: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "real": (("disc/real",), ended),
    "fake": (("disc/fake",), ended),
    "real_most": (("disc/real",), lambda step, x: x.max()),
    "gap": (("disc/real", "disc/fake"), lambda step, x, y: ended(step, x - y)),
    "accuracy": (("disc/accuracy",), ended),
    "won": (("disc/accuracy",), won),
    "early": (("loss/disc",), at_first),
    "loss_disc": (("loss/disc",), ended),
    "loss_gen": (("loss/gen",), ended),
    "grad_early": (("grad/gen",), lambda step, x: np.median(x[step <= EARLY])),
    "grad_gen": (("grad/gen",), usual),
    "grad_disc": (("grad/disc",), usual),
}


def of_curves(curves: dict[str, Any]) -> Measures:
    """What the logged columns of a run say; a measure whose columns are not logged is left out."""
    table = {name: np.asarray(column, float) for name, column in curves.items()}
    return {
        name: float(make(table["step"], *(table[column] for column in needed)))
        for name, (needed, make) in CURVES.items()
        if set(needed) <= set(table)
    }


def of_pictures(run: Trained) -> dict[str, Measures]:
    """The measures of a run that makes pictures."""
    seen = of_samples(run.config.data.source, run.pictures(run.fed(SAMPLES)))
    return {"": seen | of_curves(run.curves)}


def of_points(run: Trained) -> dict[str, Measures]:
    """The measures of a run on the ring or the grid."""
    name, points = run.config.data.source, run.pictures(run.fed(POINTS))
    found = mode_coverage(points, toy.centres(name), toy.STD[name])
    seen = {key: found[key] for key in ("modes", "high_quality")}
    return {"": seen | of_curves(run.curves)}
