"""The game xy as an objective: G holds x and minimises xy, D holds y and minimises -xy; config.objective names it.

Both begin at a point of the unit circle that the seed draws. No pictures, no networks: the examples are not looked at.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.objectives import Row
from gan_jax.types import Pair


class XY:
    """What `gan_jax.objectives` asks of an objective."""

    def __init__(self, recipe: Any, nets: Any, gather: Any):
        """Nothing to look up."""

    def init(self, gen_key: Any, disc_key: Any, hyper: Any) -> Pair:
        """Both players' numbers."""
        angle = 2 * jnp.pi * jax.random.uniform(gen_key)
        return Pair(({"x": jnp.cos(angle)}, {}), ({"y": jnp.sin(angle)}, {}))

    def memory(self, params: Pair) -> dict[str, Any]:
        """None."""
        return {}

    def inputs(self, key: Any, batch: Any) -> None:
        """None."""

    def generate(self, params: Any, vars: Any, *_: Any) -> Any:
        """What G plays: x."""
        return params["x"], vars

    def disc_loss(
        self, params: Any, vars: Any, context: Any, made: Any, detach: Any
    ) -> Any:
        """The loss -xy, and where both players are."""
        value = -made * params["y"]
        at = {"loss/disc": value, "xy/x": made, "xy/y": params["y"]}
        return value, (vars, at, context.memory)

    def gen_loss(self, made: Any, params: Any, disc: Any, context: Any) -> Any:
        """The loss xy."""
        value = made * disc.params["y"]
        return value, ({"loss/gen": value}, context.memory)


GAME = Row(XY)
