"""Who minimises what. An objective binds a recipe and two networks into the functions that a step needs:

    init(gen_key, disc_key, hyper)                 -> Pair of (params, vars)
    memory(Pair of params)                         -> dict, what the losses remember between updates
    inputs(key, batch)                             -> what the generator is fed (a pytree of floats)
    generate(params, vars, context, inputs, key)   -> (made, vars)
    disc_loss(params, vars, context, made, detach) -> (scalar, (vars, metrics, memory))
    gen_loss(made, params, disc, context)          -> (scalar, (metrics, memory))

`made` may be any pytree of floats, so a step never needs to know what is generated. In both losses the other
player is a constant. `detach(real_logits, fake_logits)` lets a step train on one side of the loss only.

An objective may also have compared(batch, made) -> [(fakes, real examples)], for the monitors of diversity.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from gan_jax.adversarial import Adversarial
from gan_jax.auxiliary import AUXILIARY
from gan_jax.cycle import DIRECTIONS, Cycle
from gan_jax.translation import Paired
from gan_jax.types import Pair, Recipe


class Row(NamedTuple):
    """A row of OBJECTIVES.

    bind(recipe, nets, gather) -> objective. aux(spec) -> numbers that D answers beside its logit. networks: the
    several networks that a player's params, vars and averages hold under these names, of which the first one of G
    makes the pictures that are shown; () where they are one network's.
    """

    bind: Callable[[Recipe, Pair, Callable[[Any], Any]], Any]
    aux: Callable[[Any], int] = lambda spec: 0
    networks: tuple[str, ...] = ()


OBJECTIVES: dict[str, Row] = {
    **{
        name: Row(partial(Adversarial, row), row.aux) for name, row in AUXILIARY.items()
    },
    "image_to_image": Row(Paired),
    "cycle": Row(Cycle, networks=DIRECTIONS),
}
