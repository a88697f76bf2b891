"""Toy games played by the project's own step: every point of the way, and the eigenvalues at a chosen one."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gan_jax import config as configs
from gan_jax import data
from gan_jax.dynamics import parameters
from gan_jax.job import Job, assemble, table_of
from gan_jax.step import Step, make_step
from gan_jax.types import Batch, Pair, TrainState

CONFIGS = Path(__file__).parents[2] / "configs"


class Toy(NamedTuple):
    """A game that is ready: what its config means, its step, its first state."""

    job: Job
    step: Step
    state: TrainState


def ready(name: str, changes: dict[str, Any]) -> Toy:
    """The game of configs/NAME.py with changes."""
    config = configs.load(str(CONFIGS / f"{name}.py"))
    for field, value in changes.items():
        configs.override(config, field, value)
    job = assemble(config)
    return Toy(job, make_step(job.recipe, job.nets), job.first(np.uint32(config.seed)))


def both(**numbers: Any) -> dict[str, Any]:
    """The same optimizer field of both players: both(lr=0.1) -> {"optim.gen.lr": 0.1, "optim.disc.lr": 0.1}."""
    players = "gen", "disc"
    return {f"optim.{p}.{name}": x for name, x in numbers.items() for p in players}


def placed(state: TrainState, w: Any) -> TrainState:
    """The state with all parameters set: w [n], G's first."""
    pair = Pair(state.players.gen.params, state.players.disc.params)
    params = ravel_pytree(pair)[1](jnp.asarray(w, jnp.float32))
    moved = (
        replace(player, params=p)
        for player, p in zip(state.players, params, strict=True)
    )
    return replace(state, players=Pair(*moved))


def batches(toy: Toy, steps: int) -> Batch:
    """What the first steps are fed: [steps, 1, B, ...]."""
    table, size = table_of(toy.job.dataset), toy.job.recipe.batch_size
    seed = toy.job.config.seed
    rows = data.indices(seed, 0, steps, 1, size, len(table.image))
    return jax.tree.map(lambda x: x[rows], table)


def walked(toy: Toy, steps: int) -> tuple[np.ndarray, TrainState]:
    """(w after 0, 1, ... steps: [steps + 1, n], the last state)."""

    @jax.jit
    def run(state: TrainState, fed: Batch) -> Any:
        def one(state: TrainState, batch: Batch) -> Any:
            after = toy.step(state, batch)[0]
            return after, parameters(after)

        return jax.lax.scan(one, state, fed)

    last, seen = run(toy.state, batches(toy, steps))
    return np.concatenate([[parameters(toy.state)], seen]), last
