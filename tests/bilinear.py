"""The xy game as an objective: G holds x and minimises c x y, D holds y and minimises -c x y; c is the batch's mean.

Played by the project's own step, so that the rules of play can be held against their closed forms.
"""

import jax.numpy as jnp
import numpy as np

from gan_jax.dynamics import step_eigenvalues
from gan_jax.objectives import Row
from gan_jax.types import Batch, Pair


class Bilinear:
    def __init__(self, recipe, nets, gather):
        pass

    def init(self, gen_key, disc_key, hyper):
        return Pair(({"x": jnp.float32(1.0)}, {}), ({"y": jnp.float32(0.5)}, {}))

    def memory(self, params):
        return {}

    def inputs(self, key, batch):
        return None

    def generate(self, params, vars, context, inputs, key):
        return params["x"], vars

    def disc_loss(self, params, vars, context, made, detach):
        value = -jnp.mean(context.batch.image) * made * params["y"]
        return value, (vars, {"loss/disc": value}, context.memory)

    def gen_loss(self, made, params, disc, context):
        value = jnp.mean(context.batch.image) * made * disc.params["y"]
        return value, ({"loss/gen": value}, context.memory)


BILINEAR = Row(Bilinear)
ONES = Batch(jnp.ones((1, 4, 1)))
SGD = {
    "objective": "tests.bilinear:BILINEAR",
    "batch_size": 4,
    "optim.gen.name": "sgd",
    "optim.disc.name": "sgd",
}


def xy(state):
    """(x, y) of a state."""
    return jnp.stack([state.players.gen.params["x"], state.players.disc.params["y"]])


def spectral_radius(step, state):
    """The largest |eigenvalue| of a step's derivative in all that the players are: parameters and optimizers' memory."""
    values = step_eigenvalues(lambda state, batch: step(state), state, ONES)
    return float(np.abs(values).max())
