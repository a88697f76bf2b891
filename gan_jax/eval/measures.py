"""The table of metrics: what each needs, computes, and says of how it was done.

A row's `compute(sets, features)` takes a `gan_jax.eval.judge.Comparison`. Formulas are in their own modules
(`gan_jax.eval.metrics` lists them).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gan_jax.data.spec import Dataset
from gan_jax.data.stacked import NATIVE
from gan_jax.data.toy import CENTRES, STD
from gan_jax.eval import metrics, translated
from gan_jax.eval.classifier import Classifier
from gan_jax.eval.features import FEATURES
from gan_jax.eval.frechet import frechet, gaussian
from gan_jax.eval.prd import prd_of_features
from gan_jax.eval.ssim import diversity
from gan_jax.types import UserError, lookup

SEED = 2020  # of every draw in a metric
NEIGHBOURS = 50_000  # most examples of a side in metrics that compare all with all
SUBSET = 1000  # examples of a KID subset
LOWER, HIGHER = -1, 1
CANONICAL = {"fid": "fd", "fid_infinity": "fd_infinity"}  # names of one network only


class Metric(NamedTuple):
    """A row of METRICS.

    compute(Comparison, features) -> ({value: number or (mean, std)}, protocol). better: which way each value improves.
    features: whether pictures are compared by a network, which the value's name then names. fits(Dataset): whether
    it can be asked of such data. prepare(Judge): makes what is slow before the first comparison.
    """

    compute: Callable[..., tuple[dict[str, Any], dict[str, Any]]]
    better: dict[str, int]
    help: str
    features: bool = True
    fits: Callable[[Dataset], bool] = lambda dataset: True
    prepare: Callable[[Any], object] = lambda judge: None


class Request(NamedTuple):
    """A metric and the network that it is asked of, "" where it needs none."""

    metric: str
    features: str


def some(x: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows, drawn without replacement, always the same."""
    if len(x) <= most:
        return x
    return x[np.sort(np.random.default_rng(SEED).choice(len(x), most, replace=False))]


def suited(dataset: Dataset) -> list[str]:
    """The metrics that "auto" means."""
    if METRICS["modes"].fits(dataset):
        return ["modes"]
    if METRICS["stacked"].fits(dataset):
        return ["stacked"]
    if METRICS["l1"].fits(dataset):
        return ["l1", "psnr", "ssim"]
    if METRICS["target"].fits(dataset):
        return ["target", "cycle"]
    return ["fd", "kid", "pr", "dc"] if _pictures(dataset) else ["fd", "kid"]


def default_n(dataset: Dataset) -> int:
    """How many samples published protocols take: 2,500 points, 26,000 stacked digits; 10,000 pictures."""
    if METRICS["stacked"].fits(dataset):
        return 26_000
    return 10_000 if dataset.images.ndim == 4 else 2_500


def parse(word: str, default: str) -> Request:
    """One name of a metric, with or without its features. Raises UserError for an unknown one."""
    if word in CANONICAL:
        return Request(CANONICAL[word], "inception")
    base, _, tail = word.rpartition("_")
    if tail in FEATURES and base in METRICS and METRICS[base].features:
        return Request(base, tail)
    lookup("metric", {**CANONICAL, **METRICS}, word, own=False)
    return Request(word, default if METRICS[word].features else "")


def named(value: str, features: str) -> str:
    """A value's full name: `fid` and bare names are the canonical network's, others name theirs."""
    if features == "inception":
        return {old: new for new, old in CANONICAL.items()}.get(value, value)
    return f"{value}_{features}" if features else value


def names(asked: list[Request]) -> list[str]:
    """The full names of the values that requests give, in their order."""
    return [
        named(value, r.features) for r in asked for value in METRICS[r.metric].better
    ]


def direction(name: str) -> int:
    """Which way a value of this full name improves: 1 up, -1 down. Raises UserError for one that no metric gives."""
    table = {}
    for row in METRICS.values():
        for value, better in row.better.items():
            ends = FEATURES if row.features else [""]
            table |= {named(value, end): better for end in ends}
    return lookup("value", table, name, own=False)


def _fd(sets: Any, features: str) -> Any:
    ours = gaussian(sets.outputs(features).features)
    return {"fd": frechet(ours, sets.judge.reference(features).moments)}, {"ddof": 1}


def _fd_infinity(sets: Any, features: str) -> Any:
    value = metrics.fid_infinity(*sets.both(features), points=15, seed=SEED)
    return {"fd_infinity": value}, {"ddof": 1, "points": 15, "seed": SEED}


def _kid(sets: Any, features: str) -> Any:
    fake, real = sets.both(features)
    size = min(SUBSET, len(fake), len(real))
    said = {"subsets": 100, "subset_size": size, "seed": SEED}
    return {"kid": metrics.kid(fake, real, **said)}, said


def _is(sets: Any, features: str) -> Any:
    logits = sets.outputs(features).logits
    if logits is None:
        raise UserError(
            f"an inception score needs classes, and features={features} has none; choose inception or classifier"
        )
    said = {"splits": 10, "shuffle": False, "classes": logits.shape[1]}
    return {"is": metrics.inception_score(logits, splits=10)}, said


def _pr(sets: Any, features: str) -> Any:
    found = metrics.precision_recall(*sets.both(features, NEIGHBOURS), k=3)
    names = ("precision", "recall", "f1")
    return dict(zip(names, found, strict=True)), {"k": 3, "most": NEIGHBOURS}


def _dc(sets: Any, features: str) -> Any:
    found = metrics.density_coverage(*sets.both(features, NEIGHBOURS), k=5)
    names = ("density", "coverage")
    return dict(zip(names, found, strict=True)), {"k": 5, "most": NEIGHBOURS}


def _prd(sets: Any, features: str) -> Any:
    said = {"clusters": 20, "runs": 10, "seed": SEED}
    found = prd_of_features(*sets.both(features, NEIGHBOURS), **said)
    names = ("prd_recall_f8", "prd_precision_f1_8")
    return dict(zip(names, found, strict=True)), {**said, "most": NEIGHBOURS}


def _swd(sets: Any, features: str) -> Any:
    said = {"directions": 1000, "seed": SEED}
    return {"swd": metrics.sliced_wasserstein(*sets.both(features), **said)}, said


def _memorisation(sets: Any, features: str) -> Any:
    splits = (sets.judge.spec.split, "test")
    train, held_out = (sets.judge.reference(features, x).features for x in splits)
    sides = [sets.outputs(features).features, train, held_out]
    found = metrics.memorisation(*(some(x, NEIGHBOURS) for x in sides))
    said = {"n_train": len(train), "n_held_out": len(held_out), "most": NEIGHBOURS}
    return {f"memorisation_{name}": value for name, value in found.items()}, said


def _ms_ssim(sets: Any, features: str) -> Any:
    del features
    said = {"batches": 5, "batch": 64, "seed": SEED}
    sides = {"fake": sets.fake, "real": sets.judge.dataset.images}
    found = {f"ms_ssim_{name}": diversity(x, **said) for name, x in sides.items()}
    return found, said


def _modes(sets: Any, features: str) -> Any:
    del features
    name = sets.judge.train.name
    found = metrics.mode_coverage(sets.fake, CENTRES[name], STD[name])
    return found, {"of": len(CENTRES[name]), "std": STD[name], "within": "3 std"}


def _stacked(sets: Any, features: str) -> Any:
    del features
    judge = sets.judge
    found = metrics.stacked_modes(read_digits(judge.reader, sets.fake))
    said = {"of": 1000, "kl_floor": metrics.stacked_floor(len(sets.fake))}
    return {f"stacked_{name}": value for name, value in found.items()}, said


def read_digits(reader: Classifier, images: np.ndarray) -> np.ndarray:
    """The digit that a classifier of single digits sees in each channel: uint8 [N, H, W, 3] -> int [N, 3]."""
    channels = [reader.logits(images[..., i : i + 1]).argmax(1) for i in range(3)]
    return np.stack(channels, axis=1)


def _pictures(dataset: Dataset) -> bool:
    return dataset.images.ndim == 4


METRICS: dict[str, Metric] = {
    "fd": Metric(
        _fd, {"fd": LOWER}, "Frechet distance; fid is the canonical network's"
    ),
    "fd_infinity": Metric(
        _fd_infinity,
        {"fd_infinity": LOWER},
        "the same, extrapolated to infinitely many samples",
    ),
    "kid": Metric(_kid, {"kid": LOWER}, "unbiased squared MMD, 100 subsets"),
    "is": Metric(_is, {"is": HIGHER}, "inception score, 10 splits"),
    "pr": Metric(
        _pr,
        {"precision": HIGHER, "recall": HIGHER, "f1": HIGHER},
        "precision and recall, 3 neighbours",
    ),
    "dc": Metric(
        _dc,
        {"density": HIGHER, "coverage": HIGHER},
        "density and coverage, 5 neighbours",
    ),
    "prd": Metric(
        _prd,
        {"prd_recall_f8": HIGHER, "prd_precision_f1_8": HIGHER},
        "precision and recall of distributions, 20 clusters",
    ),
    "swd": Metric(
        _swd, {"swd": LOWER}, "squared sliced Wasserstein distance, 1,000 directions"
    ),
    "memorisation": Metric(
        _memorisation,
        {
            "memorisation_fake_to_train": LOWER,
            "memorisation_held_out_to_train": LOWER,
            "memorisation_copying": LOWER,
        },
        "whether samples are nearer to the training pictures than held-out ones are",
        fits=_pictures,
    ),
    "ms_ssim": Metric(
        _ms_ssim,
        {"ms_ssim_fake": LOWER, "ms_ssim_real": LOWER},
        "similarity of pairs of samples; compare with the real value",
        features=False,
        fits=_pictures,
    ),
    "modes": Metric(
        _modes,
        {"modes": HIGHER, "high_quality": HIGHER, "reverse_kl": LOWER},
        "modes of ring and grid",
        features=False,
        fits=lambda dataset: dataset.name in CENTRES,
    ),
    "stacked": Metric(
        _stacked,
        {"stacked_modes": HIGHER, "stacked_kl": LOWER},
        "modes of stacked digits",
        features=False,
        fits=lambda dataset: dataset.name in NATIVE,
    ),
    **{
        name: Metric(
            partial(translated.of_pairs, name),
            {name: LOWER if name == "l1" else HIGHER},
            f"{said} between each translation and its own true picture",
            features=False,
            fits=lambda dataset: dataset.paired,
        )
        for name, said in translated.SAID.items()
    },
    "target": Metric(
        translated.target,
        {"target": HIGHER},
        "share of translations that a classifier takes for the other domain",
        features=False,
        fits=translated.two_domains,
        prepare=lambda judge: judge.told_apart,
    ),
    "cycle": Metric(
        translated.cycle,
        {"cycle": LOWER},
        "mean |x - y| of pictures and themselves, translated there and back",
        features=False,
        fits=translated.two_domains,
    ),
}
