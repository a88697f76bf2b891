"""What the first layer of a network says, for whoever asks: its name, and how many of its activations are off.

Who asks puts an empty collection FIRST among a network's vars. Each pass then adds what it saw,

    {layer: {"passes": 1, "zero": share of activations, "dead": share of channels}}

with the layer named by its path. Without the collection nothing is looked at, and nothing costs anything.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.models.norms import (
    BatchNorm,
    ClassAffine,
    InstanceNorm,
    VirtualBatchNorm,
)

FIRST = "first"
_NORMS = BatchNorm, VirtualBatchNorm, InstanceNorm, ClassAffine
_NORMS += nn.BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm, nn.RMSNorm


class First:
    """An interceptor of Flax that keeps what goes into the first nonlinearity: the first layer's output, or its norm's.

    A layer is a module with a kernel; one that embeds what the network is told (`told`) is none. ReLU and its kin are 0
    or below where what goes into them is.
    """

    def __init__(self) -> None:
        """Nothing is seen yet."""
        self.layer, self.value, self.past = "", None, False

    def __call__(
        self, call: Callable[..., Any], args: Any, kwargs: Any, context: Any
    ) -> Any:
        """Call a module's method, and look at what it gives."""
        out, module = call(*args, **kwargs), context.module
        if self.past or context.method_name != "__call__":
            return out
        if module.has_variable("params", "kernel"):
            if self.layer:
                self.past = True
            elif not getattr(module, "told", False):
                self.layer, self.value = ".".join(module.path), out
        elif self.layer and isinstance(module, _NORMS):
            self.value = out
        return out

    def added(self, before: dict[str, Any]) -> dict[str, Any]:
        """The collection after this pass."""
        if not self.layer:
            return before
        off = self.value <= 0
        channels = off.reshape(-1, off.shape[-1])
        now = {
            "passes": jnp.float32(1),
            "zero": jnp.mean(off, dtype=jnp.float32),
            "dead": jnp.mean(channels.all(0), dtype=jnp.float32),
        }
        if self.layer not in before:
            return {self.layer: now}
        return {self.layer: jax.tree.map(jnp.add, before[self.layer], now)}


def watched(
    call: Callable[[], tuple[Any, Any]], before: dict[str, Any]
) -> tuple[Any, Any]:
    """(out, variables that changed) of a pass, FIRST among them."""
    first = First()
    with nn.intercept_methods(first):
        out, updated = call()
    return out, {**updated, FIRST: first.added(before)}
