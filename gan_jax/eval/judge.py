"""A Judge holds the real side of a comparison; `Judge.measure(requests, fake)` gives Values with their protocol."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gan_jax import data
from gan_jax.data.spec import DataError, Dataset, DataSpec, in_memory
from gan_jax.data.stacked import NATIVE
from gan_jax.eval import features as networks
from gan_jax.eval.classifier import Classifier, load_or_train
from gan_jax.eval.features import Extractor, Outputs
from gan_jax.eval.measures import METRICS, Request, named, parse, some, suited
from gan_jax.eval.reference import Reference, reference
from gan_jax.types import UserError

Tick = Callable[[int], object]
Back = Callable[[np.ndarray], np.ndarray]


class Value(NamedTuple):
    """A number that was measured; `protocol` says all that changes it. std: over subsets or splits, or None."""

    name: str
    value: float
    std: float | None
    protocol: dict[str, Any]


class Judge:
    """The real examples, in the forms that metrics take; each form is made once.

    train: all training examples, which classifiers learn from. dataset: what is compared with, of the split.
    baselines: (metric, rows) -> what a protocol says of who does not learn, made once.
    """

    def __init__(
        self,
        spec: DataSpec,
        train: Dataset,
        split: str = "",
        weights: str = "",
        tick: Tick = id,
    ):
        """`train` is what `spec` names; `split` another one of it, "" the same, or "test" where pictures are made of
        pictures, and compared with their own. weights: the Inception file's path, ""
        wherever it may be. tick(n): called after n more pictures went through a network.
        """
        self.spec, self.train = spec, train
        self.weights, self.tick = weights, tick
        translated = train.sources is not None
        self.split = split or ("test" if translated else spec.split)
        again = self.split == spec.split
        self.dataset = train if again else data.load(spec._replace(split=self.split))
        self._extractors: dict[str, Extractor] = {}
        self._references: dict[tuple[str, str], Reference] = {}
        self.baselines: dict[tuple[str, bytes], dict[str, Any]] = {}

    @cached_property
    def held_out(self) -> Dataset:
        """Real examples that nothing was trained on. Raises UserError where there are none."""
        try:
            return data.load(self.spec._replace(split="test"))
        except DataError as error:
            raise UserError(
                f"memorisation compares with pictures that were held out, and {self.train.name} has none: {error}"
            ) from error

    @cached_property
    def reader(self) -> Classifier:
        """What reads one digit of a stacked picture."""
        name, side = NATIVE[self.train.name], self.train.images.shape[1]
        return load_or_train(data.load(DataSpec(source=name, resolution=side)))

    @cached_property
    def told_apart(self) -> tuple[Classifier, float]:
        """What tells the two domains of the training pictures apart, and the share of `dataset` that it gets right.

        Of the domains 0 is the sources and 1 the images.
        """
        both = np.concatenate([self.train.sources, self.train.images])
        labels = np.repeat([0, 1], len(self.train.images))
        made = in_memory(both, labels, ("sources", "images"), self.train.name)
        classifier = load_or_train(made, self.spec.cache_dir)
        sides = self.dataset.sources, self.dataset.images
        right = [
            classifier.accuracy(x, np.full(len(x), i)) for i, x in enumerate(sides)
        ]
        return classifier, float(np.mean(right))

    def extractor(self, name: str) -> Extractor:
        """The network of a row of FEATURES."""
        if name not in self._extractors:
            made = networks.make(name, self.train, self.weights, self.spec.cache_dir)
            self._extractors[name] = made
        return self._extractors[name]

    def reference(self, name: str, split: str = "") -> Reference:
        """The real examples' features and moments; of another split than the judge's own if it is named."""
        split = split or self.split
        if (name, split) not in self._references:
            sets = {self.split: self.dataset, self.spec.split: self.train}
            dataset = sets[split] if split in sets else self.held_out
            made = self.extractor(name), self.spec.cache_dir, self.tick
            self._references[name, split] = reference(dataset, split, *made)
        return self._references[name, split]

    def requests(self, text: str, features: str = "auto") -> list[Request]:
        """What "fid,kid_alexnet,pr" asks for: fid of Inception, kid of AlexNet, pr of `features`.

        "auto" as text: what suits the data. Raises UserError for an unknown name, or one that does not suit.
        """
        words = suited(self.train) if text == "auto" else text.split(",")
        default = networks.choose(features, self.train, self.weights)
        asked = [parse(word.strip(), default) for word in words]
        for request in asked:
            row = METRICS[request.metric]
            if not row.fits(self.train):
                fit = [
                    name for name, other in METRICS.items() if other.fits(self.train)
                ]
                raise UserError(
                    f"metric {request.metric!r} is not for {self.train.name}; choices here: {', '.join(fit)}"
                )
        return list(dict.fromkeys(asked))

    def prepare(self, asked: list[Request]) -> None:
        """Make every network and reference that the requests need, so that what is missing is said before work."""
        for request in asked:
            METRICS[request.metric].prepare(self)
            if request.features:
                self.reference(request.features)

    def measure(
        self,
        asked: list[Request],
        fake: np.ndarray,
        rows: np.ndarray | None = None,
        back: Back | None = None,
    ) -> list[Value]:
        """All values of uint8 pictures [N, H, W, C] or points float32 [N, D], in the order asked for.

        rows: int [N], of which examples of `dataset` the fakes are the translations; back(fakes): these translated back.
        """
        if fake.shape[1:] != self.dataset.images.shape[1:]:
            raise UserError(
                f"the fake examples have the shape {list(fake.shape[1:])} and the real ones "
                f"{list(self.dataset.images.shape[1:])}; give both one size by --resolution"
            )
        comparison, values = Comparison(self, fake, rows, back), []
        for request in asked:
            row = METRICS[request.metric]
            numbers, protocol = row.compute(comparison, request.features)
            said = comparison.protocol(request.features) | protocol
            for name, number in numbers.items():
                mean, std = number if isinstance(number, tuple) else (number, None)
                full = named(name, request.features)
                values.append(Value(full, mean, std, said))
        return values


class Comparison:
    """One set of fakes before a Judge. rows, back: as in `Judge.measure`."""

    def __init__(
        self,
        judge: Judge,
        fake: np.ndarray,
        rows: np.ndarray | None = None,
        back: Back | None = None,
    ):
        """Nothing is computed yet."""
        self.judge, self.fake, self.rows, self.back = judge, fake, rows, back
        self._outputs: dict[str, Outputs] = {}

    def outputs(self, name: str) -> Outputs:
        """What a network says of the fakes."""
        if name not in self._outputs:
            blocks = networks.in_blocks(self.fake)
            made = networks.extract(self.judge.extractor(name), blocks, self.judge.tick)
            self._outputs[name] = made
        return self._outputs[name]

    def both(self, name: str, most: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Features of the fakes and of the real examples, at most `most` of each where that is given."""
        pair = self.outputs(name).features, self.judge.reference(name).features
        return tuple(some(x, most) if most else x for x in pair)

    def own(self) -> tuple[np.ndarray, np.ndarray]:
        """The source pictures of the fakes, and what `dataset` has beside them."""
        dataset = self.judge.dataset
        return dataset.sources[self.rows], dataset.images[self.rows]

    def protocol(self, name: str) -> dict[str, Any]:
        """What is said of every value."""
        judge = self.judge
        said = {"n_fake": len(self.fake), "real": judge.dataset.name}
        said |= {"n_real": len(judge.dataset.images), "split": judge.split}
        said |= {"data": judge.dataset.digest}
        if name:
            extractor = judge.extractor(name)
            said |= {"features": name, "network": extractor.network}
            said |= {"resize": extractor.resize}
        return said
