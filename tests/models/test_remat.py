"""What a pass computes again for its gradient: less is kept, and nothing else changes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from benchmarks.remat import kept
from gan_jax.capacity import nbytes
from gan_jax.models import REMAT, build
from gan_jax.step import init, make_step
from gan_jax.types import Batch
from tests.recipes import close, parts, pictures, tiny

SHAPE = (8, 8, 1)
NETWORKS = {
    "dcgan": {},
    "resnet": {"model.disc_norm": "none", "model.disc_spectral": True},
    "r3gan": {"model.norm": "none"},
}


@pytest.mark.parametrize("impl", ["fast", "plain"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("player", ["gen", "disc"])
def test_less_is_kept(name, player, impl):
    values = {"model.name": name, "model.width": 8, "model.impl": impl}
    recipe, _, hyper = parts(tiny(**values, **NETWORKS[name]), SHAPE)
    x = jnp.zeros((16, 4) if player == "gen" else (16, *SHAPE))
    found = []
    for remat in REMAT:
        nets = build(replace(recipe.model, remat=remat))
        found.append(kept(getattr(nets, player), hyper, x))
    everything, products, nothing = found
    assert nothing <= nbytes(x) < products < 0.95 * everything


@pytest.mark.parametrize("remat", [name for name in REMAT if name != "none"])
def test_a_step_is_the_same(remat):
    """Penalties too, whose gradients are of gradients."""
    values = {"model.name": "dcgan", "model.width": 4, "penalty.r1": 1.0}
    values |= {"optim.gen.name": "sgd", "optim.disc.name": "sgd"}
    ends = []
    for which in ("none", remat):
        c = tiny(**values, **{"model.remat": which})
        recipe, nets, hyper = parts(c, SHAPE)
        state = init(recipe, nets, hyper, 0)
        batch = Batch(pictures(c, 1, SHAPE)[0])
        ends.append(jax.jit(make_step(recipe, nets))(state, batch))
    close(*ends, rtol=1e-5, atol=1e-6)
