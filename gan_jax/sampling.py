"""Pictures from a generator: during training, from a saved run, along paths through the latent space."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gan_jax import checkpoint, config, models
from gan_jax.images import to_uint8
from gan_jax.objectives import LATENTS
from gan_jax.step import init
from gan_jax.types import AnyArray, Pair, Recipe, Scores, UserError, lookup

BATCH = 250  # pictures a call: bounds memory, one compiled shape


def draw_latents(recipe: Recipe, key: Any, n: int) -> Float[AnyArray, "n latent"]:
    """Latent vectors float32 [n, latent_dim] from the recipe's distribution."""
    draw = lookup("model.latent_dist", LATENTS, recipe.model.latent_dist)
    return draw(key, (n, recipe.model.latent_dim))


def make_sampler(nets: Pair) -> Callable[..., np.ndarray]:
    """sampler(weights {"params", "vars"}, hyper, z [n, latent_dim]) -> float32 [n, ...] by running statistics."""

    @jax.jit
    def call(weights: Any, hyper: Any, z: Any) -> Any:
        params, vars = weights["params"], weights["vars"]
        return nets.gen.apply(params, vars, hyper, z, train=False)[0]

    def sampler(weights: Any, hyper: Any, z: Any) -> np.ndarray:
        n = len(z)
        size = min(n, BATCH)
        padded = np.resize(np.asarray(z), (-(-n // size) * size, *z.shape[1:]))
        parts = [
            np.asarray(call(weights, hyper, padded[i : i + size]))
            for i in range(0, len(padded), size)
        ]
        return np.concatenate(parts)[:n]

    return sampler


def slerp(
    a: Float[AnyArray, "*batch latent"], b: Float[AnyArray, "*batch latent"], t: Any
) -> Float[AnyArray, "*batch latent"]:
    """Spherical interpolation from a (t=0) to b (t=1), norms interpolated linearly.

    Shoemake 1985; White 2016 (arXiv:1609.04468): a straight line between normal latents leaves the shell that
    the generator was trained on. Parallel or zero vectors fall back to the straight line.
    """
    norm_a = jnp.linalg.norm(a, axis=-1, keepdims=True)
    norm_b = jnp.linalg.norm(b, axis=-1, keepdims=True)
    floor = jnp.finfo(jnp.float32).tiny
    unit_a, unit_b = a / jnp.maximum(norm_a, floor), b / jnp.maximum(norm_b, floor)
    cosine = jnp.clip(jnp.sum(unit_a * unit_b, axis=-1, keepdims=True), -1.0, 1.0)
    angle = jnp.arccos(cosine)
    sine = jnp.sin(angle)
    flat = (sine < 1e-4) | (norm_a == 0) | (norm_b == 0)
    sine = jnp.where(flat, 1.0, sine)
    direction = (jnp.sin((1 - t) * angle) * unit_a + jnp.sin(t * angle) * unit_b) / sine
    curved = ((1 - t) * norm_a + t * norm_b) * direction
    return jnp.where(flat, (1 - t) * a + t * b, curved)


def interpolation(
    z: Float[AnyArray, "n latent"], columns: int
) -> Float[Array, "steps latent"]:
    """Rows of `columns` slerp steps from each z to the next: [(n // 2) * columns, latent], row by row."""
    pairs = [
        slerp(z[i], z[i + 1], t)
        for i in range(0, len(z) - 1, 2)
        for t in np.linspace(0.0, 1.0, columns)
    ]
    return jnp.stack(pairs)


def walk(
    z: Float[AnyArray, "n latent"], dim: int, reach: float | int, columns: int
) -> Float[Array, "steps latent"]:
    """Rows of copies of each z with coordinate `dim` set to `columns` values from -reach to reach.

    Raises UserError when the latent space has no such dimension.
    """
    size = z.shape[1]
    if not 0 <= dim < size:
        raise UserError(
            f"--walk={dim}: the latent space has dimensions 0 to {size - 1}"
        )
    rows = jnp.repeat(z, columns, axis=0)
    values = jnp.tile(jnp.linspace(-reach, reach, columns), len(z))
    return rows.at[:, dim].set(values)


def finished(out: np.ndarray) -> np.ndarray:
    """What a generator's output is shown as: pictures become uint8, points stay."""
    return to_uint8(out) if out.ndim == 4 else out


class Run:
    """A trained run, read from its folder. Made by `load`.

    config: the run's ConfigDict. step: the checkpoint's iteration. params: {"params", "vars"} of the
    generator, averaged or raw. recipe, hyper: what the networks need.
    """

    def __init__(
        self, workdir: str | Path, which: str = "ema", step: int | None = None
    ):
        """Read config.json and a checkpoint; see `load`."""
        if which not in ("ema", "raw"):
            raise UserError(f"unknown weights {which!r}; choices: ema, raw")
        folder = Path(workdir)
        path = folder / "config.json"
        if not path.is_file():
            raise UserError(
                f"{folder} holds no run (no config.json); train one there first: "
                f"python launch.py --config=FILE --workdir={folder}"
            )
        record = json.loads(path.read_text())
        self.config = config.base()
        self.config.update(record["config"])
        self.workdir = folder
        self.labels = tuple(record["data"]["label_names"])
        self.recipe = config.recipe_of(self.config, tuple(record["data"]["shape"]))
        self._nets = models.build(self.recipe.model)
        target = jax.eval_shape(
            partial(init, self.recipe, self._nets, config.hyper_of(self.config)), 0
        )
        saved = checkpoint.Checkpoints(folder / "checkpoints")
        state = jax.device_put(saved.restore(step, target))
        self.step = int(state.step)
        self.hyper = state.hyper
        self.key = state.key
        gen = state.players.gen
        raw = {"params": gen.params, "vars": gen.vars}
        self.params = state.ema if which == "ema" else raw
        self._disc = state.players.disc
        self._sampler = make_sampler(self._nets)

    def latents(self, n: int, seed: int = 0) -> Float[AnyArray, "n latent"]:
        """n latent vectors [n, latent_dim] that depend on the seed only."""
        return draw_latents(self.recipe, jax.random.key(seed), n)

    def generator(self, params: Any, z: Any) -> np.ndarray:
        """Pictures float32 [n, H, W, C] in -1..1 (points [n, D]) of latents z, with weights like `self.params`."""
        return self._sampler(params, self.hyper, z)

    def sample(self, n: int, seed: int = 0, label: int | None = None) -> np.ndarray:
        """n pictures uint8 [n, H, W, C], or points float32 [n, D], that depend on the seed only."""
        if label is not None:
            raise UserError("this run was trained without labels: leave label out")
        return finished(self.generator(self.params, self.latents(n, seed)))

    def discriminator(self, x: Any) -> Scores:
        """Scores of pictures float32 [n, H, W, C] in -1..1 by the trained discriminator."""
        disc, x = self._disc, jnp.asarray(x)
        apply = self._nets.disc.apply
        return apply(disc.params, disc.vars, self.hyper, x, train=False)[0]


def load(workdir: str | Path, which: str = "ema", step: int | None = None) -> Run:
    """Open a run folder: `which` is "ema" (averaged weights) or "raw"; `step` a checkpoint, None the latest.

    Raises UserError when the folder holds no run, CheckpointError when no good checkpoint is there.
    """
    return Run(workdir, which, step)
