"""What pictures of a run show: a grid of samples, points over real ones, or held-out examples and their translations."""

import math
from collections.abc import Callable
from functools import cached_property, partial

import jax
import numpy as np
from jaxtyping import UInt8

from gan_jax import config as configs
from gan_jax import data, images
from gan_jax.data.spec import NoSplit
from gan_jax.feeding import Fed, showcase
from gan_jax.job import Job
from gan_jax.sampling import finished, networks_of
from gan_jax.step import FIXED_NOISE
from gan_jax.types import AnyArray, Recipe

EXAMPLES = 16  # held-out ones that the pictures during training show
GRID = 64  # pictures of the fixed-noise grid
POINTS = 2000  # points of the same for toy data

Pictures = UInt8[AnyArray, "n _h _w _c"]
Sheet = UInt8[np.ndarray, "height width channels"]
Sample = Callable[..., np.ndarray]  # sample(Fed, each, back), as `Run.pictures`


def held_out(spec: data.DataSpec) -> data.Dataset:
    """The test split, or what the spec names where there is none."""
    try:
        return data.load(spec._replace(split="test"))
    except NoSplit:
        return data.load(spec)


def chosen(dataset: data.Dataset, key: jax.Array, n: int) -> data.Dataset:
    """n examples drawn by the key without replacement, or all where there are fewer, without labels."""
    rows = np.asarray(jax.random.permutation(key, len(dataset.images))[:n])
    kept = {name: getattr(dataset, name)[rows] for name in ("images", "sources")}
    return dataset._replace(labels=None, **kept)


class Views:
    """How the runs of a job are shown: each by its seed, the same examples or latents in every picture."""

    def __init__(self, job: Job):
        """Nothing is read yet."""
        self.job = job
        self._of: dict[int, Callable[[Sample], Sheet]] = {}

    @cached_property
    def examples(self) -> data.Dataset:
        """Held-out ones where G turns pictures into others, else those that it is trained on."""
        if not self.job.recipe.model.source_shape:
            return self.job.dataset
        return held_out(configs.data_spec(self.job.config))

    def of(self, seed: int) -> Callable[[Sample], Sheet]:
        """What draws the picture of a sampler."""
        if seed not in self._of:
            key = jax.random.fold_in(jax.random.key(np.uint32(seed)), FIXED_NOISE)
            self._of[seed] = view(self.job.recipe, self.examples, key)
        return self._of[seed]


def view(
    recipe: Recipe, examples: data.Dataset, key: jax.Array
) -> Callable[[Sample], Sheet]:
    """A function of a sampler that shows what it makes of the same input each time, drawn by the key."""
    spec = recipe.model
    if spec.source_shape:
        few = chosen(examples, key, EXAMPLES)
        return partial(show_translated, networks_of(recipe), few)
    shown = showcase(spec, key, GRID if len(spec.image_shape) == 3 else POINTS)
    return partial(show_samples, shown, examples.images[:POINTS])


def show_samples(shown: Fed, real: np.ndarray, sample: Sample) -> Sheet:
    """Samples as one picture: a grid, or points over some of the real ones."""
    out = sample(shown, finished)
    if out.ndim == 4:
        return images.grid(out, shown.columns)
    return images.scatter(out, real)


def show_translated(
    networks: tuple[str, ...], examples: data.Dataset, sample: Sample
) -> Sheet:
    """Examples and their translations as one picture."""
    strips = beside(*translated(sample, networks, examples))
    return images.grid(strips, across(strips))


def translated(
    sample: Sample, networks: tuple[str, ...], examples: data.Dataset
) -> list[Pictures]:
    """The columns of a sheet: source, output and the true picture where there are pairs.

    With networks that go back: a, there(a), back(there(a)), b, back(b), there(back(b)).
    """
    source, image = examples.sources, examples.images
    if networks:
        return [*around(sample, source), *around(sample, image, back=True)]
    out = sample(Fed(source), finished)
    return [source, out, image] if examples.paired else [source, out]


def around(sample: Sample, pictures: Pictures, back: bool = False) -> list[Pictures]:
    """Pictures, their translations, and these translated back. back: beginning with images."""
    made = sample(Fed(pictures), finished, back)
    return [pictures, made, sample(Fed(made), finished, not back)]


def beside(*columns: Pictures) -> UInt8[np.ndarray, "n h w c"]:
    """One strip for each example, its pictures side by side, small ones enlarged, grey ones in colour beside others."""
    height, width, channels = (
        max(x.shape[axis] for x in columns) for axis in (1, 2, 3)
    )
    even = []
    for x in columns:
        rows, places = (
            np.arange(new) * old // new
            for new, old in zip((height, width), x.shape[1:3], strict=True)
        )
        even.append(images.with_channels(x[:, rows][:, :, places], channels))
    rows = zip(*even, strict=True)
    return np.stack([images.grid(np.stack(row), len(columns)) for row in rows])


def across(strips: UInt8[np.ndarray, "n h w c"]) -> int:
    """How many strips make the rows of a sheet as near to a square as whole ones can."""
    n, height, width, _ = strips.shape
    ratio = width / height

    def skewed(columns: int) -> float:
        return abs(math.log(columns * ratio / math.ceil(n / columns)))

    return min(range(1, n + 1), key=skewed)
