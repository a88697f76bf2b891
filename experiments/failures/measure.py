"""Ground truth: what a generator's samples are, and what D knows, by fresh examples and noise that training never saw.

Nothing here is a monitor of a run, and the doctor reads none of it. A row of truth has:
    finite      whether samples and logits are all finite
    error       points: share of samples that are not strictly within 3 std of a mode; pictures: Frechet distance to the test
                split in the features of a classifier of the set's labels, over that of the training set's mean picture
    hist        share of the samples at each mode (nearest centre) or class (the classifier's)
    spread      exp(entropy of hist) over the number of modes or classes: 1 all alike, 1/K one alone
    still       mean std of the samples' coordinates, over that of the data: 0 for a constant generator
    reach       the 90th percentile of |x|, over the largest |x| of the data
    copies      pictures: median distance to the nearest training picture, over that of the test pictures: 0 for copies
    auc         chance that D's logit of a test example is above that of a sample (ties half): 1 if D tells all apart
    overfit     the same of a training example and one of the test split: 0.5 if D generalises, 1 if it knows them by heart
    push        sum of |dL_G / d logit| over a batch of samples: what D's answers still tell G (1 hinge, 0 a dead loss)
    disc_std    std of D's logits over test examples and samples: 0 for a constant D
    first_gen, first_disc   norm of the first layer's kernel
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.failures.sets import WHOLE
from gan_jax.data import DataSpec, toy
from gan_jax.eval.classifier import load_or_train
from gan_jax.eval.frechet import frechet, gaussian
from gan_jax.eval.modes import mode_coverage
from gan_jax.feeding import draw
from gan_jax.images import to_uint8
from gan_jax.job import Job
from gan_jax.losses import LOSSES

JUDGED = 500  # examples of each side that D is shown, and pictures that are made
POINTS = 2500  # samples that modes are counted in
NOISE = 7  # seed of the samples; training draws from other keys
SEED = 2020  # of the examples that D is shown

Row = dict[str, Any]
Examine = Callable[[np.ndarray], Row]


class Sides(NamedTuple):
    """Examples as D takes them, float32 [JUDGED, ...]: of training, and of the test split (points: other training ones)."""

    train: np.ndarray
    test: np.ndarray


def spread(hist: np.ndarray) -> float:
    """exp(entropy) of shares [K], over K."""
    seen = hist[hist > 0]
    return float(np.exp(-(seen * np.log(seen)).sum()) / len(hist))


def auc(above: np.ndarray, below: np.ndarray) -> float:
    """The chance that a number of `above` is larger than one of `below`, ties counted half."""
    order = np.sort(below)
    left, right = (np.searchsorted(order, above, side) for side in ("left", "right"))
    return float((left + right).mean() / (2 * len(below)))


def of_points(name: str) -> Examine:
    """Numbers of samples [N, 2] of the ring or the grid."""
    centres, std = toy.centres(name), toy.STD[name]

    def examine(samples: np.ndarray) -> Row:
        found = mode_coverage(samples, centres, std)
        distances = np.linalg.norm(samples[:, None] - centres, axis=-1)
        counts = np.bincount(distances.argmin(1), minlength=len(centres))
        return shares(counts) | {"error": 1 - found["high_quality"]}

    return examine


def of_pictures(job: Job) -> Examine:
    """Numbers of pictures float32 [N, 28, 28, 1] in -1..1."""
    whole = WHOLE[job.dataset.name]
    classifier = load_or_train(whole(DataSpec()))
    test = classifier.features(whole(DataSpec(split="test")).images)
    train, moments = classifier.features(job.dataset.images), gaussian(test)
    out, usual = classifier.params["out"], nearness(test, train)
    blank = np.broadcast_to(classifier.features(mean_picture(job))[0], train.shape)
    scale = frechet(gaussian(blank), moments)

    def examine(samples: np.ndarray) -> Row:
        features = classifier.features(to_uint8(samples))
        classes = (features @ out["w"] + out["b"]).argmax(1)
        counts = np.bincount(classes, minlength=len(job.dataset.label_names))
        error = frechet(gaussian(features), moments) / scale
        copies = nearness(features, train) / usual
        return shares(counts) | {"error": error, "copies": copies}

    return examine


def mean_picture(job: Job) -> np.ndarray:
    """Of the whole training set, uint8 [1, H, W, C]."""
    whole = WHOLE[job.dataset.name](DataSpec()).images
    return whole.mean(0, keepdims=True).round().astype(np.uint8)


def nearness(x: np.ndarray, train: np.ndarray) -> float:
    """Median Euclidean distance of rows [N, D] to the nearest row of `train` [M, D]."""
    squares = (x**2).sum(1)[:, None] + (train**2).sum(1) - 2 * x @ train.T
    return float(np.median(np.sqrt(np.maximum(squares.min(1), 0.0))))


def shares(counts: np.ndarray) -> Row:
    """hist and spread of counts [K]."""
    hist = counts / counts.sum()
    return {"hist": hist.round(4).tolist(), "spread": spread(hist)}


def sides_of(job: Job) -> Sides:
    """Examples of both sides, always the same."""
    random = np.random.default_rng(SEED)
    train = job.dataset.images
    first = random.choice(len(train), JUDGED, replace=len(train) < JUDGED)
    if train.ndim == 2:
        return Sides(*(train[rows] for rows in (first, (first + 1) % len(train))))
    test = WHOLE[job.dataset.name](DataSpec(split="test")).images
    second = random.choice(len(test), JUDGED, replace=False)
    pair = train[first], test[second]
    return Sides(*(x.astype(np.float32) / 127.5 - 1 for x in pair))


def first_layer(params: Any) -> Any:
    """The first layer's kernel of an MLP or of either player of DCGAN."""
    return params["Conv_0" if "Conv_0" in params else "Dense_0"]["kernel"]


class Examiner:
    """Measures members of one job."""

    def __init__(self, job: Job):
        """Make all that is the same for every member and step."""
        self.job, self.sides = job, sides_of(job)
        points = job.dataset.images.ndim == 2
        self.n = POINTS if points else JUDGED
        self.of_samples = of_points(job.dataset.name) if points else of_pictures(job)
        data = job.dataset.images if points else self.sides.train
        self.std, self.most = data.std(0).mean(), np.abs(data).max()
        self.fed = draw(job.recipe.model, jax.random.key(NOISE), self.n)
        self.disc = jax.jit(partial(judged, job))

    def row(self, step: int, samples: np.ndarray, players: Any, hyper: Any) -> Row:
        """Truth of one member at a step: samples float32 [n, ...] as the generator makes them, raw players, numbers."""
        fakes = jnp.asarray(samples[:JUDGED])
        said = jax.device_get(self.disc(players.disc, hyper, fakes, self.sides))
        logits, push = said
        every = np.concatenate([samples.ravel(), *logits, np.ravel(push)])
        norms = {
            f"first_{name}": float(np.linalg.norm(first_layer(player.params)))
            for name, player in zip(("gen", "disc"), players, strict=True)
        }
        row = {"step": step, "finite": bool(np.isfinite(every).all()), **norms}
        if not row["finite"]:
            return row
        train, test, fake = logits
        return row | {
            "still": float(samples.std(0).mean() / self.std),
            "reach": float(np.percentile(np.abs(samples), 90) / self.most),
            "auc": auc(test, fake),
            "overfit": auc(train, test),
            "push": float(push),
            "disc_std": float(np.concatenate([test, fake]).std()),
            **self.of_samples(samples),
        }


def judged(job: Job, disc: Any, hyper: Any, fakes: Any, sides: Sides) -> Any:
    """D's logits [n] of training and test examples and of samples, as it is in training, and G's push; see the file's text."""
    key = jax.random.key(NOISE)

    def logits(x: Any) -> Any:
        apply = job.nets.disc.apply
        return apply(disc.params, disc.vars, hyper, x, key=key, train=True)[0].logits

    train, test, fake = (logits(x) for x in (*sides, fakes))
    push = jax.grad(lambda fake: LOSSES[job.recipe.loss].gen(test, fake))(fake)
    return (train, test, fake), jnp.abs(push).sum()
