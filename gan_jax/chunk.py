"""The loop of many steps in one program, and where each step's batch comes from."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.step import Step
from gan_jax.types import Batch, Metrics, TrainState


def streamed(feed: Batch, i: Any) -> Batch:
    """Step i's batch of a feed that holds the chunk's pictures [K, n_disc, B, ...]."""
    return jax.tree.map(lambda x: x[i], feed)


def resident(feed: tuple[Batch, Any], i: Any) -> Batch:
    """Step i's batch of a feed that is (the whole set [N, ...], indices int32 [K, n_disc, B])."""
    table, indices = feed
    return jax.tree.map(lambda x: x[indices[i]], table)


def make_chunk(step: Step, take: Callable[[Any, Any], Batch]) -> Callable[..., Any]:
    """chunk(state, feed, n) -> (state, metrics of the last step that ran); n <= K is traced.

    One executable serves any n, so cadences and interruptions never change a byte. After a halt the
    remaining steps change nothing and the metrics stay those of the step that halted.
    """
    step = jax.jit(step, inline=True)  # traced once for the shapes and for the loop

    def chunk(state: TrainState, feed: Any, n: Any) -> tuple[TrainState, Metrics]:
        def body(i: Any, carry: Any) -> Any:
            state, metrics = carry
            after, new = step(state, take(feed, i))
            kept = jax.tree.map(
                lambda a, b: jnp.where(state.halted, a, b), metrics, new
            )
            return after, kept

        shapes = jax.eval_shape(lambda: step(state, take(feed, 0))[1])
        empty = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.fori_loop(0, n, body, (state, empty))

    return chunk


def make_look(
    observe: Callable[..., Metrics], take: Callable[[Any, Any], Batch]
) -> Callable[..., Metrics]:
    """look(state, feed, held_out, n) -> what is observed of a state that n steps of this feed have led to."""

    def look(state: TrainState, feed: Any, held_out: Any, n: Any) -> Metrics:
        return observe(state, take(feed, n - 1), held_out)

    return look
