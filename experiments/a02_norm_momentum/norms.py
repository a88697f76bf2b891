"""BatchNorm that normalises by its running moments in training too: config.model.norm names it by its module."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class RunningNorm(nn.Module):
    """(x - m) / sqrt(v + 1e-5) * scale + bias, m and v the running moments, this batch's included.

    They are momentum * themselves + (1 - momentum) * the batch's, from mean 0 and variance 1, and constants to the
    gradient.
    """

    train: bool
    momentum: Any
    dtype: Any = jnp.float32
    affine: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Normalise over all but the last axis."""
        width = x.shape[-1]
        mean = self.variable("batch_stats", "mean", jnp.zeros, (width,), jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, (width,), jnp.float32)
        if self.train and not self.is_initializing():
            axes = tuple(range(x.ndim - 1))
            seen = jax.lax.stop_gradient(x.astype(jnp.float32))
            mean.value += (1 - self.momentum) * (seen.mean(axes) - mean.value)
            var.value += (1 - self.momentum) * (seen.var(axes) - var.value)
        x = (x - mean.value) * jax.lax.rsqrt(var.value + 1e-5)
        if self.affine:
            x = x * self.param("scale", nn.initializers.ones, (width,), jnp.float32)
            x = x + self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        return x.astype(self.dtype)


def running(momentum: Any, train: bool, dtype: Any, affine: bool) -> Any:
    """A row as those of gan_jax.models.norms.NORMS."""
    return RunningNorm(train, momentum, dtype, affine)
