"""Small published tricks as pure functions, and schedules (step -> factor).

Each is switched on by a non-zero number in `config.trick`; the number itself is a leaf of `state.hyper`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.types import AnyArray


def linear_decay(step: Any, steps: Any) -> Float[Array, ""]:
    """1 at step 0, falling linearly to 0 at `steps` and after; always 1 when `steps` is 0."""
    steps = jnp.asarray(steps, jnp.float32)
    fraction = jnp.asarray(step, jnp.float32) / jnp.maximum(steps, 1.0)
    return jnp.where(steps > 0, jnp.clip(1.0 - fraction, 0.0, 1.0), 1.0)


def instance_noise(
    x: Float[AnyArray, "batch ..."], std: Any, key: Any
) -> Float[Array, "batch ..."]:
    """x + N(0, std^2) on every element of what the discriminator sees, real or fake.

    Sonderby et al. 2017 (arXiv:1610.04490), section 3.1; Arjovsky & Bottou 2017 (arXiv:1701.04862).
    """
    return x + std * jax.random.normal(key, x.shape, x.dtype)


TRICKS: dict[str, Callable[..., Any] | None] = {
    "instance_noise": instance_noise,  # the number is the standard deviation at step 0
    "label_smooth": None,  # the number is the loss's `smooth`: real labels become 1 - number
}
