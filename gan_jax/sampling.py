"""Pictures from a generator: during training, and from a saved run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Float, UInt8

from gan_jax import config, models
from gan_jax.feeding import Fed, classes_of, draw, of_class
from gan_jax.images import to_uint8
from gan_jax.latents import draw_latents
from gan_jax.models.kit import CONDITIONS
from gan_jax.objectives import OBJECTIVES
from gan_jax.saved import settings_of, state_of
from gan_jax.step import scaled
from gan_jax.tricks import pack
from gan_jax.types import AnyArray, Pair, Recipe, Scores, UserError, lookup

BATCH = 256  # pictures a call: bounds memory, one compiled shape


def networks_of(recipe: Recipe) -> tuple[str, ...]:
    """The names of the networks that the weights of G hold, the one that samples first; (): they are one network's."""
    row = lookup("objective", OBJECTIVES, recipe.objective)
    return getattr(row, "networks", ())


def of_network(weights: Any, networks: tuple[str, ...], back: bool) -> Any:
    """The weights {"params", "vars"} of one network: of the first name, or of the second where it goes `back`.

    Raises UserError where there is no way back.
    """
    if back and len(networks) < 2:
        raise UserError(
            "this generator goes one way only: there is a way back where objective=cycle was trained"
        )
    if not networks:
        return weights
    return {part: weights[part][networks[back]] for part in ("params", "vars")}


def make_sampler(
    nets: Pair, networks: tuple[str, ...] = ()
) -> Callable[..., np.ndarray]:
    """sampler(weights {"params", "vars"}, hyper, Fed, each, back) -> float32 [n, ...] by running statistics.

    All devices share each batch. each(part) is what is kept of every batch's output, by default itself. networks: as
    `networks_of`; back: by the second one.
    """

    @jax.jit
    def call(weights: Any, hyper: Any, fed: Any) -> Any:
        params, vars = weights["params"], weights["vars"]
        z, *label = fed
        return nets.gen.apply(params, vars, hyper, scaled(z), *label, train=False)[0]

    def sampler(
        weights: Any,
        hyper: Any,
        fed: Fed,
        each: Callable[[Any], Any] = np.asarray,
        back: bool = False,
    ) -> np.ndarray:
        weights = of_network(weights, networks, back)
        n, devices = len(fed.z), jax.local_devices()
        mesh = jax.make_mesh(
            (len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices
        )
        copied, split = (
            NamedSharding(mesh, PartitionSpec(*x)) for x in ((), ("data",))
        )
        weights, hyper = jax.device_put((weights, hyper), copied)
        size = -(-min(n, BATCH) // len(devices)) * len(devices)
        # waiting first: NumPy's view of an array that found no memory ends the process
        inputs = [
            np.asarray(x) for x in jax.block_until_ready(fed[:2]) if x is not None
        ]
        room = -(-n // size) * size
        padded = [np.resize(x, (room, *x.shape[1:])) for x in inputs]
        parts = []
        for i in range(0, room, size):
            part = jax.device_put([x[i : i + size] for x in padded], split)
            parts.append(each(np.asarray(call(weights, hyper, part))[: n - i]))
        return np.concatenate(parts)

    return sampler


def finished(out: np.ndarray) -> np.ndarray:
    """What a generator's output is shown as: pictures become uint8, points stay."""
    return to_uint8(out) if out.ndim == 4 else out


class Run:
    """A trained run, read from its folder. Made by `load`.

    config: the run's ConfigDict. step: the checkpoint's iteration. params: {"params", "vars"} of the
    generator, averaged or raw. recipe, hyper: what the networks need. networks: as `networks_of`.
    """

    def __init__(
        self, workdir: str | Path, which: str = "ema", step: int | str | None = None
    ):
        """Read config.json and a checkpoint; see `load`."""
        if which not in ("ema", "raw"):
            raise UserError(f"unknown weights {which!r}; choices: ema, raw")
        self.config, said = settings_of(workdir)
        self.workdir = Path(workdir)
        self.labels = tuple(said["label_names"])
        shape = tuple(said["shape"])
        facts = shape, len(self.labels), tuple(said["source_shape"])
        self.recipe = config.recipe_of(self.config, *facts)
        self.networks = networks_of(self.recipe)
        self._nets = models.build(self.recipe.model)
        state = state_of(workdir, self.config, self.recipe, step)
        self.step = int(state.step)
        self.hyper = state.hyper
        self.key = state.key
        gen = state.players.gen
        raw = {"params": gen.params, "vars": gen.vars}
        self.params = state.ema if which == "ema" else raw
        self._disc = state.players.disc
        self._sampler = make_sampler(self._nets, self.networks)

    def latents(self, n: int, seed: int = 0) -> Float[AnyArray, "n latent"]:
        """n latent vectors [n, latent_dim] that depend on the seed only. Raises UserError where G is given pictures."""
        if self.recipe.model.source_shape:
            raise UserError(
                f"{self.workdir} makes pictures of pictures and has no latents: give it some by run.translate(pictures)"
            )
        return draw_latents(self.recipe.model, jax.random.key(seed), n)

    def feed(self, z: Any, seed: int = 0, label: Any = None) -> Fed:
        """Latents (or source pictures) with their classes: `label` (an int or int [n]), or drawn from the seed where G is told any.

        Raises UserError for a label that the run has not, or not one for each latent.
        """
        spec = self.recipe.model
        classes = classes_of(spec)
        if label is None and spec.source_shape:
            return Fed(z)
        if label is None:
            return draw(spec, jax.random.key(seed), len(z))._replace(z=z)
        if not classes:
            raise UserError("this run was trained without labels: leave label out")
        wrong = [x for x in np.ravel(label) if not 0 <= x < classes]
        if wrong:
            names = f" ({', '.join(self.labels)})" if spec.condition != "none" else ""
            raise UserError(
                f"label {wrong[0]}: this run has classes 0 to {classes - 1}{names}"
            )
        if np.shape(label) not in ((), (len(z),)):
            raise UserError(
                f"{np.size(label)} labels for {len(z)} latents: give one for each, or one for all"
            )
        return of_class(spec, z, label)

    def generator(self, params: Any, z: Any, label: Any = None) -> np.ndarray:
        """Pictures float32 [n, H, W, C] in -1..1 (points [n, D]) of latents (or source pictures) z, with weights like
        `self.params`.

        label: classes of a conditional run, an int or int [n]; None: drawn as by seed 0.
        """
        return self._sampler(params, self.hyper, self.feed(z, 0, label))

    def sample(self, n: int, seed: int = 0, label: Any = None) -> np.ndarray:
        """n pictures uint8 [n, H, W, C], or points float32 [n, D], that depend on seed and label only."""
        fed = self.feed(self.latents(n, seed), seed, label)
        return self.pictures(fed)

    def translate(
        self, pictures: Any, back: bool = False
    ) -> UInt8[np.ndarray, "n H W C"]:
        """What the generator makes of source pictures [n, h, w, c], uint8 or float in -1..1. back: of images, by the
        network that goes back (objective cycle).

        Raises UserError for other shapes and kinds, for a run without source pictures, and where none goes back.
        """
        spec, given = self.recipe.model, np.asarray(pictures)
        if not spec.source_shape:
            raise UserError(
                f"{self.workdir} makes pictures of latents, not of pictures: run.sample(n)"
            )
        shape = spec.image_shape if back else spec.source_shape
        number = given.dtype == np.uint8 or jnp.issubdtype(given.dtype, jnp.floating)
        if given.shape[1:] != shape or not number or not len(given):
            raise UserError(
                f"this run translates pictures [n, {', '.join(map(str, shape))}], uint8 or float in -1..1, not "
                f"{given.dtype} {list(given.shape)}"
            )
        if given.dtype != np.uint8:
            given = given.astype(np.float32)
        return self.pictures(Fed(given), back=back)

    def pictures(
        self,
        fed: Fed,
        each: Callable[[Any], np.ndarray] = finished,
        back: bool = False,
    ) -> np.ndarray:
        """What the generator makes of `fed`, as `sample` gives it; each(batch) is kept of every batch's output. back:
        as in `translate`.
        """
        return self._sampler(self.params, self.hyper, fed, each, back)

    def discriminator(self, x: Any, label: Any = None) -> Scores:
        """Scores of pictures float32 [n, H, W, C] in -1..1 by the trained discriminator (packed as it was).

        label: int [n]. Of CycleGAN's two the one that judges images. With model.disc_source x is source and picture as
        channels of one, the source first, both of the picture's size.
        Raises UserError where the discriminator is told labels and none are given, and for a picture without source.
        """
        spec, disc = self.recipe.model, self._disc
        if self.networks:
            first = self.networks[0]
            disc = replace(disc, params=disc.params[first], vars=disc.vars[first])
        x = pack(jnp.asarray(x), self.recipe.packing)
        channels = sum(
            shape[-1] for shape in (spec.source_shape, spec.image_shape) if shape
        )
        shown = spec.source_shape and spec.disc_source and not self.networks
        if shown and x.shape[-1] != channels * self.recipe.packing:
            raise UserError(
                f"this discriminator is shown source and picture as {channels} channels of one, not {x.shape[-1]}"
            )
        told = [] if label is None else [jnp.asarray(label)]
        condition = lookup("", CONDITIONS, spec.condition)
        if any(condition.disc) and not told:
            raise UserError("this discriminator is told the class: give a label each")
        apply = self._nets.disc.apply
        return apply(disc.params, disc.vars, self.hyper, x, *told, train=False)[0]


def load(workdir: str | Path, which: str = "ema", step: int | str | None = None) -> Run:
    """Open a run folder: `which` is "ema" (averaged weights) or "raw"; `step` a checkpoint, "best", None the latest.

    Raises UserError when the folder holds no run, CheckpointError when no good checkpoint is there.
    """
    return Run(workdir, which, step)
