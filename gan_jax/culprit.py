"""Which array of a step that diverged was the first that is not finite."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from gan_jax.leaves import named
from gan_jax.step import make_moves
from gan_jax.types import Batch, Pair, Player, Recipe, TrainState


def first_bad(recipe: Recipe, nets: Pair, state: TrainState, batch: Batch) -> str:
    """Replay the step after `state` on one device and describe the first array with a NaN or an infinity.

    batch: [n_disc, B, ...]. First is meant in the order of computing: examples, D's answers, penalties and loss, its
    gradients, its parameters, then the same of G. "" when all are finite, as when devices that add in another
    order had diverged and one alone does not.
    """
    moved = jax.device_get(jax.jit(make_moves(recipe, nets))(state, batch))
    for name, array in in_order(batch, *moved):
        if said := described(name, array):
            return said
    return ""


def in_order(
    batch: Batch, players: Pair, memory: Any, metrics: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """(name, array) of all that a step computes, in the order of computing."""
    yield from ((f"data.{name}", x) for name, x in named(batch))
    later = {"loss/disc", "loss/gen", "grad/disc", "grad/gen"}
    yield from ((name, x) for name, x in metrics.items() if name not in later)
    for who, player in (("disc", players.disc), ("gen", players.gen)):
        yield f"loss/{who}", metrics[f"loss/{who}"]
        yield from gradients(who, player)
        yield f"grad/{who}", metrics[f"grad/{who}"]
        yield from ((f"{who}.params.{name}", x) for name, x in named(player.params))
        yield from ((f"{who}.vars.{name}", x) for name, x in named(player.vars))
    yield from ((f"memory.{name}", x) for name, x in named(memory))


def gradients(who: str, player: Player) -> Iterator[tuple[str, Any]]:
    """What stands for each parameter's gradient: the optimizer's running means, which are not finite once it is not."""
    means = named(player.opt)
    for name, _ in named(player.params):
        for path, x in means:
            if path.endswith(f".{name}"):
                yield f"the gradient of {who}.params.{name}", x


def described(name: str, array: Any) -> str:
    """One phrase on an array that is not finite, "" for one that is."""
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return ""
    array = np.asarray(array, np.float64)
    bad = np.argwhere(~np.isfinite(array))
    if not len(bad):
        return ""
    value = array[tuple(bad[0])]
    if not array.ndim:
        return f"{name} is {value}"
    where = f"{value} at {bad[0].tolist()}"
    return f"{name} has {len(bad):,} such elements of {array.size:,}, the first {where}"
