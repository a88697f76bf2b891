"""A run stops on the step where something is not finite, and names the first array that is not."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config, models
from gan_jax.cli import main
from gan_jax.culprit import first_bad
from gan_jax.record import columns
from gan_jax.step import init
from gan_jax.types import Batch, Pair
from tests.recipes import saved_state

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def game():
    """A small ring recipe with its networks, first state and batch."""
    made = config.base()
    made.data.source, made.model.name, made.model.width = "ring", "mlp", 4
    made.batch_size, made.n_disc = 4, 2
    recipe = config.recipe_of(made, (2,))
    nets = models.build(recipe.model)
    state = init(recipe, nets, config.hyper_of(made), 0)
    return recipe, nets, state, Batch(np.ones((2, 4, 2), np.float32))


def with_disc(state, **parts):
    return replace(
        state,
        players=Pair(state.players.gen, replace(state.players.disc, **parts)),
    )


def test_nothing_is_named_when_all_is_finite(game):
    assert first_bad(*game) == ""


def test_an_example_comes_first(game):
    recipe, nets, state, batch = game
    batch.image[1, 2, 1] = np.nan
    said = first_bad(recipe, nets, state, batch)
    batch.image[1, 2, 1] = 1
    assert said == "data.image has 1 such elements of 16, the first nan at [1, 2, 1]"


def test_a_loss_comes_before_what_it_spoils(game):
    recipe, nets, state, batch = game
    huge = jax.tree.map(lambda x: jnp.full_like(x, 1e30), state.players.disc.params)
    said = first_bad(recipe, nets, with_disc(state, params=huge), batch)
    assert said.startswith(("disc/fake is ", "logits/fake has ", "disc/accuracy is "))


def test_a_parameter_whose_update_overflows(game):
    """The first update of Adam is -lr times the sign: with an infinite rate the gradients are finite, the rest not."""
    recipe, nets, state, batch = game
    numbers = dict(state.hyper, optim=dict(state.hyper["optim"]))
    numbers["optim"]["gen"] = dict(numbers["optim"]["gen"], lr=jnp.float32(np.inf))
    said = first_bad(recipe, nets, replace(state, hyper=numbers), batch)
    assert said.startswith("gen.params.")


def test_a_gradient(game):
    """Its running mean is not finite, and nothing before it: D's loss is."""
    recipe, nets, state, batch = game
    opt = jax.tree.map(
        lambda x: x.at[0].set(jnp.nan) if x.ndim == 2 else x, state.players.disc.opt
    )
    said = first_bad(replace(recipe, n_disc=1), nets, with_disc(state, opt=opt), batch)
    assert said.startswith("the gradient of disc.params.")
    assert "nan at [0, 0]" in said


@pytest.mark.parametrize(
    "player, begin, step, first",
    [("disc", 37, 37, "loss/gen"), ("gen", 41, 42, "disc/fake")],
)
def test_a_run_stops_on_its_step(player, begin, step, first, tmp_path, capsys):
    """The learning rate becomes 3e38 in iteration `begin`, in the middle of a chunk and between two rows.

    That D answers G, which moves after it, with an overflow; that G meets D in the next iteration.
    """
    rate = f"optim.{player}.lr"
    words = [
        f"--config={ROOT}/configs/ring_plain.py",
        "--config.batch_size=8",
        "--config.model.width=4",
        "--config.steps=200",
        "--config.log_every=100",
        "--config.monitor=false",
        "--config.sample_every=0",
        "--config.checkpoint_every=20",
        f"--config.{rate}=10",
        f"--config.schedule={rate}=step:{begin - 1}:{begin - 1}:1e-4:3e37",
        f"--workdir={tmp_path}",
    ]
    assert main(words) == 3
    said = capsys.readouterr().err
    assert f"diverged at step {step}: {first}" in said
    assert f"the last good step {step - 1} is saved" in said
    state = saved_state(tmp_path)
    assert state.step == step - 1 and not state.halted
    floats = [x for x in jax.tree.leaves(state.players) if x.dtype == np.float32]
    assert all(np.all(np.isfinite(x)) for x in floats)
    assert columns(tmp_path / "metrics.jsonl") == {}
    found = columns(tmp_path / "findings.jsonl")
    assert (found["step"], found["finding"]) == ([step], ["divergence"])
    assert found["first_bad"][0].startswith(first)
