"""Small recipes and batches that many tests share."""

import functools
import json
from functools import partial

import jax
import numpy as np

from gan_jax import config, models
from gan_jax.checkpoint import Checkpoints
from gan_jax.step import init, make_step


def tiny(**changes):
    """A config of a small MLP GAN on 4x4 pictures; changes as {"optim.gen.lr": 1.0}."""
    c = config.base()
    values = {
        "model.name": "mlp",
        "model.width": 16,
        "model.depth": 2,
        "model.latent_dim": 4,
        "model.init": "xavier_uniform",
        "batch_size": 8,
    }
    for name, value in {**values, **changes}.items():
        config.override(c, name, value)
    return config.validate(c)


def parts(c, shape=(4, 4, 1), source=()):
    """(recipe, nets, hyper) of a config for examples, and the pictures they are made of, of these shapes."""
    recipe = config.recipe_of(c, shape, source_shape=source)
    return recipe, models.build(recipe.model), config.hyper_of(c)


@functools.cache
def moves(recipe):
    """(first state of hyper and seed, step) of a recipe: the same functions each time, so jit compiles them once."""
    nets = models.build(recipe.model)
    return partial(init, recipe, nets), make_step(recipe, nets)


def start(c, shape=(4, 4, 1)):
    """(step function, first state) of a config."""
    recipe, _, hyper = parts(c, shape)
    first, step = moves(recipe)
    # `init` as it stands: its operations are compiled once for all recipes
    return step, first(hyper, c.seed)


def pictures(c, steps, shape=(4, 4, 1), seed=0):
    """uint8 [steps, n_disc, B, *shape]."""
    size = (steps, c.n_disc, c.batch_size, *shape)
    return np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)


def saved_state(workdir):
    """The newest checkpoint of a run folder."""
    record = json.loads((workdir / "config.json").read_text())
    c = config.base()
    c.update(record["config"])
    first = partial(init, *parts(c, tuple(record["data"]["shape"])))
    saved = Checkpoints(workdir / "checkpoints")
    return saved.restore(saved.latest(), jax.eval_shape(first, 0))


def bits(tree):
    """Every leaf as bytes, typed keys included."""

    def raw(x):
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            x = jax.random.key_data(x)
        return np.asarray(x).tobytes()

    return [raw(x) for x in jax.tree.leaves(tree)]


def close(a, b, **tolerance):
    """Assert that all floating leaves agree."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jax.numpy.issubdtype(x.dtype, np.floating):
            np.testing.assert_allclose(x, y, **tolerance)
