"""Measure a generator: while it trains, from a run's checkpoints, or by its pictures in a folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from gan_jax import config as configs
from gan_jax import data
from gan_jax.best import TRAINING
from gan_jax.eval.features import FEATURES
from gan_jax.eval.judge import Judge, Value
from gan_jax.eval.measures import Request, default_n, names, some
from gan_jax.feeding import Fed, draw
from gan_jax.sampling import Run, finished, load
from gan_jax.saved import checkpoints_of
from gan_jax.types import ModelSpec, UserError, lookup

LATENTS = 0  # seed of the samples that are measured during training


@contextmanager
def counted(judge: Judge, asked: list[Request], n: int, made: bool) -> Iterator[None]:
    """A progress bar over the pictures that pass: n fakes (made here if `made`), and both sides through each network."""
    networks = {request.features for request in asked if request.features}
    total = n * made + (n + len(judge.dataset.images)) * len(networks)
    with tqdm(
        total=total, desc="evaluation", unit=" pictures", disable=None, leave=False
    ) as bar:
        before = judge.tick

        def tick(n: int) -> None:
            before(n)
            bar.update(n)

        judge.tick = tick
        try:
            yield
        finally:
            judge.tick = before


def row(step: int, value: Value, by: str, more: dict[str, Any]) -> dict[str, Any]:
    """A line of eval.jsonl; `more` is added to the protocol."""
    said = {"step": step, "metric": value.name, "value": value.value}
    if value.std is not None:
        said["std"] = value.std
    return said | {"protocol": value.protocol | more, "by": by}


class Drawn(NamedTuple):
    """What the measured generator is fed, which of the judge's examples these are (None: latents), for the protocol."""

    fed: Fed
    rows: np.ndarray | None
    said: dict[str, Any]


def drawn(judge: Judge, n: int, seed: int, latents: Callable[[], Fed]) -> Drawn:
    """Latents, or where G turns pictures into others at most n of the judge's source pictures, always the same.

    Raises UserError for another seed than LATENTS where there are none.
    """
    sources = judge.dataset.sources
    if sources is None:
        return Drawn(latents(), None, {"latents_seed": seed})
    if seed != LATENTS:
        raise UserError(
            f"--seed={seed} is of latents, and pictures are made of pictures here: leave it out"
        )
    rows = some(np.arange(len(sources)), n)
    return Drawn(Fed(sources[rows]), rows, {})


def measured(
    judge: Judge, asked: list[Request], given: Drawn, sample: Callable[..., np.ndarray]
) -> list[Value]:
    """The values of fakes. sample(Fed, each, back) generates them by batches, and keeps each(batch) of every one."""
    with counted(judge, asked, len(given.fed.z), True):

        def each(part: np.ndarray) -> np.ndarray:
            judge.tick(len(part))
            return finished(part)

        def back(pictures: np.ndarray) -> np.ndarray:
            return sample(Fed(pictures), finished, True)

        return judge.measure(asked, sample(given.fed, each), given.rows, back)


def asked_of(
    config: ConfigDict, dataset: data.Dataset
) -> tuple[Judge, list[Request], str]:
    """A config's judge, what it is asked, and the value that decides which checkpoint is best. Raises UserError."""
    settings, spec = config.eval, configs.data_spec(config)
    judge = Judge(spec, dataset, settings.split, settings.inception_weights)
    asked = judge.requests(settings.metrics, settings.features)
    metric = settings.best or names(asked)[0]
    lookup("value of eval.metrics", dict.fromkeys(names(asked)), metric)
    return judge, asked, metric


def check_evaluation(config: ConfigDict, dataset: data.Dataset) -> None:
    """Raise UserError for evaluations that do not suit the data, or whose weights are nowhere; measures nothing."""
    if not config.eval.every:
        return
    judge, asked, _ = asked_of(config, dataset)
    weights = config.eval.inception_weights
    for name in {request.features for request in asked if request.features}:
        if FEATURES[name].lacks(dataset, weights):
            judge.extractor(name)  # fetches it, or says how to


class Evaluator:
    """What a config says of evaluation, with its networks and the real side made before training begins."""

    def __init__(self, config: ConfigDict, dataset: data.Dataset):
        """Make all that is needed. Raises UserError for what is missing or does not suit the data."""
        self.judge, self.asked, self.metric = asked_of(config, dataset)
        self.n = enough(config.eval.n or default_n(dataset))
        with counted(self.judge, self.asked, 0, False):
            self.judge.prepare(self.asked)

    def rows(
        self, step: int, spec: ModelSpec, sample: Callable[..., np.ndarray]
    ) -> list[dict[str, Any]]:
        """Lines of eval.jsonl; sample(Fed, each, back) is the averaged generator's sampler with its weights."""
        latents = partial(draw, spec, jax.random.key(LATENTS), self.n)
        given = drawn(self.judge, self.n, LATENTS, latents)
        values = measured(self.judge, self.asked, given, sample)
        more = {"weights": "ema"} | given.said
        return [row(step, value, TRAINING, more) for value in values]


def enough(n: int) -> int:
    """n, which must be at least 2. Raises UserError."""
    if n < 2:
        raise UserError(f"{n} samples cannot be measured: take at least 2")
    return n


class Options(NamedTuple):
    """What is measured and how; see the flags of `eval`."""

    metrics: str = "auto"
    features: str = "auto"
    n: int = 0
    split: str = ""
    seed: int = LATENTS
    inception_weights: str = ""


def of_run(
    workdir: str | Path, step: int | str | None, weights: list[str], options: Options
) -> Iterator[dict[str, Any]]:
    """Lines of eval.jsonl of a run's checkpoint: a step, "best", "all", or None for the latest.

    Raises UserError or CheckpointError for what the user has to mend.
    """
    steps: list[Any] = [step]
    if step == "all":
        steps = list(checkpoints_of(workdir)[0].steps()) or [None]
    judge: Judge | None = None
    for wanted in steps:
        for which in weights:
            run = load(workdir, which, wanted)
            if judge is None:
                spec = configs.data_spec(run.config)
                given = options.inception_weights or run.config.eval.inception_weights
                judge = Judge(spec, data.load(spec), options.split, given)
                asked = judge.requests(options.metrics, options.features)
                n = enough(options.n or default_n(judge.train))
            given = drawn(
                judge, n, options.seed, partial(latents_of, run, n, options.seed)
            )
            more = {"weights": which} | given.said
            for value in measured(judge, asked, given, run.pictures):
                yield row(run.step, value, "eval", more)


def latents_of(run: Run, n: int, seed: int) -> Fed:
    """What a run's n samples of a seed are made of."""
    return run.feed(run.latents(n, seed), seed)


def source_of(text: str) -> str:
    """A data source from what stands after --real or --fake: a folder, an .npz or .zip file, or a source's name."""
    path = Path(text).expanduser()
    if path.is_dir():
        return f"folder:{path}"
    kind = {".npz": "npz", ".zip": "zip"}.get(path.suffix)
    return f"{kind}:{path}" if kind else text


def of_pair(
    real: str, fake: str, resolution: int, options: Options
) -> Iterator[dict[str, Any]]:
    """Lines as of eval.jsonl, with step 0, for pictures (or points) against others. Raises UserError."""
    spec, other = (
        data.DataSpec(source=source_of(text), resolution=resolution)
        for text in (real, fake)
    )
    real_ones = data.load(spec)._replace(sources=None, paired=False)
    judge = Judge(spec, real_ones, options.split, options.inception_weights)
    asked = judge.requests(options.metrics, options.features)
    images = data.load(other).images
    images = some(images, enough(options.n or len(images)))
    with counted(judge, asked, len(images), False):
        for value in judge.measure(asked, images):
            yield row(0, value, "eval", {"fake": fake})
