"""Auxiliary tasks, conditions and regularisers inside a whole step: who is trained by what."""

import jax
import numpy as np
import pytest

from gan_jax.regularisers import REGULARISERS
from tests.game import CLASSES, SGD, moved, of, played
from tests.recipes import bits, close

TASKS = {
    "acgan": {"objective": "acgan", "model.condition": "concat_gen"},
    "infogan": {"objective": "infogan", "model.codes": 1, "model.codes_continuous": 2},
    "projection": {"model.condition": "projection"},
}
HEADS = {"acgan": CLASSES, "infogan": 12}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("still", ["gen", "disc"])
def test_a_task_trains_the_player_that_moves(task, still):
    numbers = {f"optim.{still}.lr": 0.0}
    states, metrics = played(2, **{**SGD, **TASKS[task], **numbers})
    other = {"gen": "disc", "disc": "gen"}[still]
    first, last = (getattr(s.players, still).params for s in (states[0], states[2]))
    assert bits(first) == bits(last) and not bool(states[2].halted)
    slopes = jax.tree.leaves(moved(states, other))
    assert all(np.any(x) for x in slopes), "every parameter takes part"
    heads = states[0].players.disc.params.get("aux")
    assert (heads["kernel"].shape[1] if heads else 0) == HEADS.get(task, 0)


@pytest.mark.parametrize("task", ["acgan", "infogan"])
def test_the_weight_of_a_task_trains_both_players(task):
    changes = {**SGD, **TASKS[task]}
    runs = [
        played(1, **changes, **{"loss_args.aux": w, "loss_args.aux_continuous": w})[0]
        for w in (0.0, 1.0)
    ]
    for player in ("gen", "disc"):
        assert of(runs[0][1], player) != of(runs[1][1], player)
    assert not np.any(moved(runs[0], "disc")["aux"]["kernel"])


WEIGHTS = {f"penalty.{name}": 1.0 for name in REGULARISERS}


@pytest.mark.parametrize("name", REGULARISERS)
@pytest.mark.parametrize("player", ["gen", "disc"])
def test_a_regulariser_reaches_the_player_it_is_for(name, player):
    """All are compiled in; the weight of every other is 0."""
    other = {"gen": "disc", "disc": "gen"}[player]
    still = {**SGD, f"optim.{other}.lr": 0.0}
    off = dict.fromkeys(WEIGHTS, 0.0)
    states, metrics = played(
        2, numbers={**off, f"penalty.{name}": 1.0}, **still, **WEIGHTS
    )
    without, _ = played(2, numbers=off, **still, **WEIGHTS)
    reached = of(states[2], player) != of(without[2], player)
    assert reached == (getattr(REGULARISERS[name], player) is not None)
    assert reached == (f"penalty/{name}_{player}" in metrics[0])
    first, last = (getattr(s.players, other).params for s in (states[0], states[2]))
    assert bits(first) == bits(last)


def test_regularisers_of_weight_0_are_the_plain_game():
    without, _ = played(2, numbers=dict.fromkeys(WEIGHTS, 0.0), **SGD, **WEIGHTS)
    plain, _ = played(2, **SGD)
    close(without[2].players, plain[2].players, atol=1e-6)
    assert float(without[2].memory["historical_averaging"].gen["count"]) == 2
