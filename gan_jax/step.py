"""The training step as one pure function, and the loop of many steps in one program.

    step(state, batch) -> (state, metrics)

One step is one iteration: `n_disc` discriminator updates on `n_disc` fresh batches, then `n_gen` generator
updates, or as the recipe's game has it (games.py). jit, donation, devices and populations are outside (parallel.py); nothing here has a side effect.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.games import GAMES, Deal
from gan_jax.tricks import scheduled
from gan_jax.turns import Turns, bind, optimizers
from gan_jax.types import (
    Batch,
    Hyper,
    Metrics,
    Pair,
    Player,
    Recipe,
    TrainState,
    lookup,
)

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
Moves = Callable[[TrainState, Batch], tuple[Pair, Any, Metrics]]
FIXED_NOISE = (
    2**32 - 1
)  # folded into the key for the pictures: no step ever has this number


def init(recipe: Recipe, nets: Pair, hyper: Hyper, seed: Any) -> TrainState:
    """The state before the first step. `hyper` and `seed` may be traced, so members of a sweep can be mapped."""
    key = jax.random.key(seed)
    gen_key, disc_key = jax.random.split(jax.random.fold_in(key, FIXED_NOISE - 1))
    hyper = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), hyper)
    objective = bind(recipe, nets)
    gen, disc = objective.init(gen_key, disc_key, hyper)
    tx = optimizers(recipe, hyper)
    state = TrainState(
        step=jnp.int32(0),
        key=key,
        players=Pair(
            Player(*gen, tx.gen.init(gen[0])), Player(*disc, tx.disc.init(disc[0]))
        ),
        ema={"params": gen[0], "vars": gen[1]},
        hyper=hyper,
        memory=objective.memory(Pair(gen[0], disc[0])),
        halted=jnp.bool_(False),
    )
    # copies: the average starts as an alias of the parameters, and an aliased buffer cannot be donated
    return jax.tree.map(jnp.copy, state)


def scaled(x: Any) -> Any:
    """Pictures uint8 as float32 in -1..1; what is float already stays."""
    x = jnp.asarray(x)
    return x.astype(jnp.float32) / 127.5 - 1.0 if x.dtype == jnp.uint8 else x


def prepare(batch: Batch, flip: bool, key: Any) -> Batch:
    """Pictures uint8 [n, B, H, W, C] -> float32 in -1..1, each mirrored with probability 1/2 if `flip`.

    A source picture is mirrored with its image.
    """

    def ready(x: Any) -> Any:
        x = scaled(x)
        if flip:
            mirror = jax.random.bernoulli(key, 0.5, x.shape[:2] + (1,) * 3)
            x = jnp.where(mirror, x[..., ::-1, :], x)
        return x

    source = None if batch.source is None else ready(batch.source)
    return batch._replace(image=ready(batch.image), source=source)


def all_finite(tree: Any) -> Any:
    """True when every floating-point element of the tree is finite."""
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.all(jnp.isfinite(x)) for x in floats]).all()


def average(ema: Any, new: Any, decay: Any, step: Any) -> Any:
    """Exponential moving average with the warm-up min(decay, (1+t)/(10+t)), t iterations done before."""
    decay = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, ema, new)


def make_step(recipe: Recipe, nets: Pair, axis: str | None = None) -> Step:
    """The pure step of a recipe: `make_moves`, and nothing but a halt where something is not finite."""
    moves = make_moves(recipe, nets, axis)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        players, memory, metrics = moves(state, batch)
        decay = scheduled(recipe.schedules, state.hyper, state.step)["ema_decay"]
        return settle(state, players, memory, metrics, decay), metrics

    return step


def dealt(
    recipe: Recipe, state: TrainState, batch: Batch, axis: str | None = None
) -> Deal:
    """What the step after `state` is played with: its batch made ready, its numbers, its keys."""
    key = jax.random.fold_in(state.key, state.step)
    if axis:
        key = jax.random.fold_in(key, jax.lax.axis_index(axis))
    flip_key, disc_key, gen_key = jax.random.split(key, 3)
    batch = prepare(batch, recipe.flip, flip_key)
    hyper = scheduled(recipe.schedules, state.hyper, state.step)
    return Deal(batch, hyper, state.step, Pair(gen_key, disc_key))


def make_moves(recipe: Recipe, nets: Pair, axis: str | None = None) -> Moves:
    """Both players' updates of one step: moves(state, batch) -> (players, memory, metrics).

    With `axis`, gradients and statistics are averaged over that mapped axis.

    batch: Batch of [n_disc, B, ...] (uint8 pictures or float points). metrics: float32 scalars "loss/disc",
    "loss/gen", "disc/real", "disc/fake", "disc/accuracy", "grad/disc", "grad/gen", "penalty/...", and
    "logits/real", "logits/fake" [B], all of the last update of each player.
    """
    turns = Turns(recipe, nets, axis)
    game = lookup("game", GAMES, recipe.game)

    def moves(state: TrainState, batch: Batch) -> tuple[Pair, Any, Metrics]:
        deal = dealt(recipe, state, batch, axis)
        played = game.play(turns, state.players, state.memory, deal)
        players, memory, metrics = played
        return players, memory, gathered(metrics, axis)

    return moves


def gathered(metrics: Metrics, axis: str | None) -> Metrics:
    """Under a mapped axis: scalars averaged, batches of logits joined in device order."""
    if axis is None:
        return metrics
    return {
        name: jax.lax.all_gather(x, axis, tiled=True)
        if x.ndim
        else jax.lax.pmean(x, axis)
        for name, x in metrics.items()
    }


def settle(
    state: TrainState,
    players: Pair,
    memory: dict[str, Any],
    metrics: Metrics,
    decay: Any,
) -> TrainState:
    """The state after the players moved, or the old one, halted, if anything is not finite."""
    gen = {"params": players.gen.params, "vars": players.gen.vars}
    ema = average(state.ema, gen, decay, state.step)
    good = all_finite([p.params for p in players] + [p.vars for p in players])
    good &= all_finite([memory, metrics])
    go = good & ~state.halted

    def choose(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(go, a, b), new, old)

    return TrainState(
        step=state.step + go.astype(jnp.int32),
        key=state.key,
        players=choose(players, state.players),
        ema=choose(ema, state.ema),
        hyper=state.hyper,
        memory=choose(memory, state.memory),
        halted=state.halted | ~good,
    )
