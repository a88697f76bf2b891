"""Train the same config with many seeds in one program: what the experiments share."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import data
from gan_jax.chunk import make_chunk, resident
from gan_jax.job import Job
from gan_jax.sampling import draw
from gan_jax.step import FIXED_NOISE, init, make_step
from gan_jax.types import Batch, TrainState

CHUNK = 100  # steps in one dispatch


def train_seeds(job: Job, seeds: list[int]) -> TrainState:
    """The states of all seeds after `config.steps` steps, each leaf with a leading axis of members.

    Member i sees the data order and noise of a single run with seeds[i].
    """
    recipe, config = job.recipe, job.config
    begin = partial(init, recipe, job.nets, job.hyper)
    state = jax.jit(partial(jax.lax.map, begin))(jnp.array(seeds, jnp.uint32))
    chunk = make_chunk(make_step(recipe, job.nets), resident)
    table = jax.device_put(Batch(job.dataset.images, job.dataset.labels))

    def many(states: TrainState, table: Batch, rows: Any, n: Any) -> TrainState:
        """One member after the other: lazy penalties are skipped, which vmap could not, and bits are single runs'."""
        return jax.lax.map(lambda x: chunk(x[0], (table, x[1]), n)[0], (states, rows))

    run = jax.jit(many, donate_argnums=0)
    size = len(job.dataset.images)
    for step in range(0, config.steps, CHUNK):
        n = min(CHUNK, config.steps - step)
        rows = np.stack(
            [
                data.indices(seed, step, n, recipe.n_disc, recipe.batch_size, size)
                for seed in seeds
            ]
        )
        room = np.zeros((len(seeds), CHUNK - n, *rows.shape[2:]), np.int32)
        rows = np.concatenate([rows, room], axis=1)
        state = run(state, table, rows, n)
    return jax.block_until_ready(state)


def sample_seeds(job: Job, state: TrainState, n: int) -> np.ndarray:
    """n samples of each member's averaged generator, float32 [members, n, ...]."""

    @jax.jit
    @jax.vmap
    def make(member: TrainState) -> Any:
        fed = draw(job.recipe.model, jax.random.fold_in(member.key, FIXED_NOISE), n)
        inputs = [x for x in fed[:2] if x is not None]
        ema = member.ema
        return job.nets.gen.apply(
            ema["params"], ema["vars"], member.hyper, *inputs, train=False
        )[0]

    return np.asarray(make(state))
