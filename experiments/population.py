"""Train the same config with many seeds in one program: what the experiments share."""

from copy import deepcopy
from typing import Any

import jax
import numpy as np

from gan_jax.feeding import draw
from gan_jax.job import Job
from gan_jax.population import Population
from gan_jax.step import FIXED_NOISE
from gan_jax.types import TrainState


def train_seeds(job: Job, seeds: list[int]) -> TrainState:
    """The states of all seeds after `config.steps` steps, each leaf with a leading axis of members.

    One after the other inside one program: member i is the single run with seeds[i], to the bit.
    """
    configs = [deepcopy(job.config) for _ in seeds]
    for config, seed in zip(configs, seeds, strict=True):
        config.seed = seed
    population = Population(job, configs, "map")
    state, steps = population.init(), job.config.steps
    for step in range(0, steps, job.config.scan_steps):
        n = min(job.config.scan_steps, steps - step)
        state, _ = population.chunk(state, step, n)
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
