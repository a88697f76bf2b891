"""Gradient penalties: pure functions (critic, real, fake, key) -> scalar, unweighted.

`critic(x) -> Scores` is the discriminator with everything but its input fixed; `real` and `fake` are float
[B, ...]. The norm is over all elements of one sample (not over channels); the mean is over the batch. With
BatchNorm in the critic a sample's gradient includes its neighbours' share, as in every published code.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.types import AnyArray, Scores

Critic = Callable[[Any], Scores]
Samples = Float[AnyArray, "batch ..."]
Penalty = Float[Array, ""]


def squared_gradient_norm(critic: Critic, x: Samples) -> Float[Array, " batch"]:
    """|d critic(x_i) / d x_i|^2 for each sample: one backward pass of the summed logits."""
    gradient = jax.grad(lambda inputs: jnp.sum(critic(inputs).logits))(x)
    return jnp.sum(gradient.astype(jnp.float32) ** 2, axis=tuple(range(1, x.ndim)))


def on_segment(real: Samples, fake: Samples, key: Any) -> Samples:
    """A point on the segment from fake to real, one uniform position a sample (not one a pixel)."""
    shape = (real.shape[0],) + (1,) * (real.ndim - 1)
    alpha = jax.random.uniform(key, shape)
    return alpha * real + (1 - alpha) * fake


def norm(squared: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """Square root whose gradient at 0 is 0 (a flat critic would give NaN)."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def gp(critic: Critic, real: Samples, fake: Samples, key: Any) -> Penalty:
    """mean (|grad D(x^)| - 1)^2 on the segments between real and fake.

    Gulrajani et al. 2017 (arXiv:1704.00028), eq. 3; the paper's weight is 10.
    """
    squared = squared_gradient_norm(critic, on_segment(real, fake, key))
    return jnp.mean((norm(squared) - 1) ** 2)


def r1(critic: Critic, real: Samples, fake: Samples, key: Any) -> Penalty:
    """Half the mean squared gradient norm on real data; the paper's gamma is the weight.

    Mescheder et al. 2018 (arXiv:1801.04406), eq. 9.
    """
    del fake, key
    return 0.5 * jnp.mean(squared_gradient_norm(critic, real))


PENALTIES: dict[str, Callable[[Critic, Any, Any, Any], Any]] = {
    "gp": gp,
    "r1": r1,
}
