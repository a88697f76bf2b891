"""What the benchmarks train: cases by name, each a recipe of configs/ on random examples of a fixed size.

Left out of the recipes, because the twins in PyTorch (twins.py) have none: schedules, mirrored pictures, augmentation
(ADA of r3gan32), labels (r3gan32 is conditional in its config); evaluation, pictures and checkpoints are no part of a
step. dcgan28 is 64 wide, its config 32. dcgan64 and dcgan128 are the numbers of config.base(), with no penalty.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import config as configs
from gan_jax import models
from gan_jax.games import Deal
from gan_jax.penalties import one_uniform_a_sample
from gan_jax.step import init, prepare
from gan_jax.turns import bind
from gan_jax.types import Batch, Hyper, Pair, Recipe, TrainState

BATCHES = {  # that are not 64
    "cpu": {
        "dcgan64": (64, 128),
        "dcgan128": (16,),
        **dict.fromkeys(("sngan32", "wgangp32", "r3gan32"), (8,)),
    },
    "gpu": {"dcgan64": (128, 1024)},
}
ROOT = Path(__file__).parents[1]
_PLAIN = {"schedule": "", "data.flip": False}
_UNTOLD = {"model.condition": "none", "augment.ada": False, "augment.p": 1.0}


class Case(NamedTuple):
    """A file of configs/ ("": config.base()), the shape of an example, and what is changed in the config."""

    file: str
    shape: tuple[int, ...]
    changes: dict[str, Any] = {}


class Setting(NamedTuple):
    """A validated config with its recipe, networks and numbers, for examples of `shape` ([H, W, C] or [D])."""

    config: Any
    recipe: Recipe
    nets: Pair
    hyper: Hyper
    shape: tuple[int, ...]


class Drawn(NamedTuple):
    """What a step draws: latents of each D update [n_disc, B, z] and of G's [B, z], places of gp [n_disc, B, 1, ...].

    `gen` is None where G's update takes D's last fakes, `alpha` where the recipe has no gp.
    """

    disc: Any
    gen: Any = None
    alpha: Any = None


def setting(
    name: str, batch: int = 0, width: int = 0, precision: str = "float32", **changes
) -> Setting:
    """A case with another batch or width (0: its own), precision, and `changes`, {"penalty.r1": 0.1}.

    D keeps its share of the width where its own is given. Raises KeyError for a name that is not in CASES.
    """
    case = CASES[name]
    config = (
        configs.load(str(ROOT / "configs" / case.file)) if case.file else configs.base()
    )
    own, model = {**_PLAIN, **case.changes, "precision": precision}, config.model
    for field, value in own.items():
        configs.override(config, field, value)
    config.batch_size = batch or config.batch_size
    model.disc_width = model.disc_width * (width or model.width) // model.width
    model.width = width or model.width
    for field, value in changes.items():
        configs.override(config, field, value)
    configs.validate(config)
    recipe = configs.recipe_of(config, case.shape)
    nets, hyper = models.build(recipe.model), configs.hyper_of(config)
    return Setting(config, recipe, nets, hyper, case.shape)


def first(setting: Setting, seed: int = 0) -> TrainState:
    """The state before the first step."""
    start = jax.jit(partial(init, setting.recipe, setting.nets))
    return start(setting.hyper, np.uint32(seed))


def examples(setting: Setting, steps: int, seed: int = 0) -> Batch:
    """Random examples of so many steps: pictures uint8, points float32 N(0, 1) [steps, n_disc, B, ...]."""
    recipe, rng = setting.recipe, np.random.default_rng(seed)
    shape = steps, recipe.n_disc, recipe.batch_size, *setting.shape
    if len(setting.shape) == 1:
        return Batch(rng.standard_normal(shape, np.float32))
    return Batch(rng.integers(0, 256, shape, np.uint8))


def drawn(setting: Setting, state: TrainState) -> Drawn:
    """What our step after `state` draws, as NumPy arrays: the keys are split as in step.py, games.py and adversarial.py."""
    same = setting.recipe, setting.nets, setting.shape
    return jax.tree.map(np.asarray, _draw(*same, state.key, state.step))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _draw(recipe: Recipe, nets: Pair, shape: Any, key: Any, step: Any) -> Drawn:
    objective = bind(recipe, nets)
    _, disc_key, gen_key = jax.random.split(jax.random.fold_in(key, step), 3)
    blank = Batch(jnp.zeros((recipe.n_disc, recipe.batch_size, *shape)))
    deal = Deal(blank, {}, step, Pair(gen_key, disc_key))

    def latents(context: Any) -> Any:
        noise_key = jax.random.split(context.key)[0]
        return objective.inputs(noise_key, context.batch)[0]

    def place(context: Any) -> Any:
        key = jax.random.split(context.key, 4)[2]
        key = jax.random.fold_in(key, recipe.penalties.index("gp"))
        return one_uniform_a_sample(context.batch.image, key)

    turns = [deal.disc(i, {}) for i in range(recipe.n_disc)]
    gp = "gp" in recipe.penalties
    return Drawn(
        disc=jnp.stack([latents(dream) for dream, _ in turns]),
        gen=None if recipe.share_noise else latents(deal.gen(0, {})[0]),
        alpha=jnp.stack([place(judge) for _, judge in turns]) if gp else None,
    )


def floats(batch: Batch) -> np.ndarray:
    """Examples as a step sees them: float32, pictures in -1..1."""
    return np.array(prepare(batch, False, None).image)


CASES: dict[str, Case] = {
    "ring": Case("ring_plain.py", (2,)),
    "dcgan28": Case("dcgan_fashion.py", (28, 28, 1), {"model.width": 64}),
    "dcgan64": Case("", (64, 64, 3)),
    "dcgan128": Case("", (128, 128, 3)),
    "sngan32": Case("sngan_cifar10.py", (32, 32, 3)),
    "wgangp32": Case("wgan_gp_cifar10.py", (32, 32, 3)),
    "r3gan32": Case("r3gan_cifar10.py", (32, 32, 3), _UNTOLD),
}
