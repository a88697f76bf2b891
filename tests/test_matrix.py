"""The whole matrix: every loss with every penalty, every network with every way to tell it the class.

Each kind of loss is run with all penalties at once, the other losses with three of them each, each network with labels;
the other pairs are traced (shapes, dtypes).
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config, models
from gan_jax.losses import LOSSES
from gan_jax.models import ENERGY_MODELS, MODELS, TRANSLATORS
from gan_jax.models.kit import CONDITIONS
from gan_jax.penalties import PENALTIES
from gan_jax.regularisers import REGULARISERS
from gan_jax.step import init, make_step
from gan_jax.types import Batch
from tests.recipes import bits

CLASSES = 3
FED_LATENTS = [name for name in MODELS if name not in TRANSLATORS]
SIDES = {"mlp": 8, "dcgan": 16, "began": 16}  # the others: 32
ALL = (*PENALTIES, *REGULARISERS)


def made(**changes):
    """(step, init, example batch) of a small recipe on pictures with three classes."""
    values = {"batch_size": 4, "model.width": 4, "model.latent_dim": 3, **changes}
    c = config.base()
    for name, value in values.items():
        config.override(c, name, value)
    config.validate(c)
    side = SIDES.get(c.model.name, 32)
    recipe = config.recipe_of(c, (side, side, 1), CLASSES)
    nets = models.build(recipe.model)
    start = partial(init, recipe, nets, config.hyper_of(c), 0)
    draws = np.random.default_rng(0)
    image = draws.integers(0, 256, (1, 4, side, side, 1)).astype(np.uint8)
    label = draws.integers(0, CLASSES, (1, 4)).astype(np.int32)
    return make_step(recipe, nets), start, Batch(image, label)


def network_of(loss):
    energy = LOSSES[loss].energy
    return {"loss": loss, "model.name": ENERGY_MODELS[0] if energy else "mlp"}


def normless(name):
    return {"model.norm": "none"} if name == "r3gan" else {}


def traced(**changes):
    """Shapes of the state before and after a step, and of its metrics."""
    step, start, batch = made(**changes)
    before = jax.eval_shape(start)
    after, metrics = jax.eval_shape(step, before, batch)
    same = jax.tree.map(
        lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), before, after
    )
    assert jax.tree.all(same)
    assert metrics["loss/gen"].shape == metrics["loss/disc"].shape == ()
    return metrics


# one of each kind; all of them are run with all penalties at once below
KINDS = ("non_saturating", "wasserstein", "rp", "ra", "began")
OTHERS = [name for name in LOSSES if name not in KINDS]


@pytest.mark.parametrize("penalty", ALL)
@pytest.mark.parametrize("loss", KINDS)
def test_every_kind_of_loss_takes_every_penalty_alone(loss, penalty):
    metrics = traced(**network_of(loss), **{f"penalty.{penalty}": 0.1})
    assert any(name.startswith(f"penalty/{penalty}") for name in metrics)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("name", FED_LATENTS)
def test_every_network_takes_every_condition(name, condition):
    changes = {"model.name": name, "model.condition": condition, **normless(name)}
    if name in ENERGY_MODELS:
        changes["loss"] = "began"
    if name in ENERGY_MODELS and CONDITIONS[condition].disc.project:
        with pytest.raises(ValueError, match="no logit for a projection"):
            made(**changes)
        return
    if name == "r3gan" and CONDITIONS[condition].gen.norm:
        with pytest.raises(ValueError, match="norm"):
            traced(**changes)
        return
    metrics = traced(**changes)
    assert metrics["logits/real"].shape == (4,)


@pytest.mark.parametrize("name", [n for n in FED_LATENTS if n not in ENERGY_MODELS])
def test_every_network_names_classes_and_finds_codes(name):
    common = {"model.name": name, **normless(name)}
    told = traced(**common, **{"objective": "acgan", "model.condition": "concat_gen"})
    codes = {"model.codes": 2, "model.code_classes": 4, "model.codes_continuous": 1}
    found = traced(**common, objective="infogan", **codes)
    assert "class/real" in told and {"info/categorical", "info/continuous"} <= set(
        found
    )


def moved(step, state, batch, still):
    """Which players a step changes when `still` has learning rate 0."""
    hyper = {**state.hyper, "optim": dict(state.hyper["optim"])}
    hyper["optim"][still] = {**hyper["optim"][still], "lr": jnp.float32(0.0)}
    after, metrics = step(replace(state, hyper=hyper), batch)
    assert not bool(after.halted)
    assert all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(metrics))
    before, now = state.players._asdict(), after.players._asdict()
    return {name for name in now if bits(now[name].params) != bits(before[name].params)}


def only_the_mover_moves(**changes):
    step, start, batch = made(**changes)
    step, state = jax.jit(step), start()  # its operations are compiled once for all
    assert moved(step, state, batch, "gen") == {"disc"}
    assert moved(step, state, batch, "disc") == {"gen"}
    return step, state, batch


@pytest.mark.parametrize("loss", KINDS)
def test_every_kind_of_loss_with_all_penalties_at_once(loss):
    """Any sum of penalties with any loss runs, is finite, and its gradient reaches only the player that moves."""
    weights = {f"penalty.{name}": 0.01 for name in ALL}
    only_the_mover_moves(**network_of(loss), **weights)


@pytest.mark.parametrize("place", range(len(OTHERS)))
def test_every_other_loss_with_three_penalties(place):
    """Three each, in turn: all penalties meet some of these losses."""
    three = [ALL[(3 * place + i) % len(ALL)] for i in range(3)]
    weights = {f"penalty.{name}": 0.01 for name in three}
    only_the_mover_moves(**network_of(OTHERS[place]), **weights)


def test_the_others_meet_every_penalty():
    assert 3 * len(OTHERS) >= len(ALL)


@pytest.mark.parametrize("name", FED_LATENTS)
def test_every_network_with_labels(name):
    """Gradients reach only the mover; in bfloat16 as well, with float32 parameters."""
    changes = {
        "model.name": name,
        "model.condition": "concat",
        "precision": "bfloat16",
        **normless(name),
    }
    if name in ENERGY_MODELS:
        changes["loss"] = "began"
    _, state, _ = only_the_mover_moves(**changes)
    floats = {x.dtype for x in jax.tree.leaves(state.players) if x.dtype != jnp.int32}
    assert floats == {jnp.dtype("float32")}
