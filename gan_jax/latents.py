"""What a generator is fed: noise, and the codes of InfoGAN behind it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.types import AnyArray, ModelSpec, lookup

Latents = Float[AnyArray, "n latent"]


class Codes(NamedTuple):
    """The coded part of latents: one-hot [n, how many, classes], and uniform on -1..1 [n, continuous]."""

    categorical: Any
    continuous: Any


def noise_size(spec: ModelSpec) -> int:
    """How many of the latent dimensions are noise; they come first."""
    many, classes, continuous = spec.codes
    return spec.latent_dim - many * classes - continuous


def draw_latents(spec: ModelSpec, key: Any, n: int) -> Float[Array, "n latent"]:
    """Latent vectors [n, latent_dim]: noise, then categorical codes as one-hot blocks, then continuous codes."""
    draw = lookup("model.latent_dist", LATENTS, spec.latent_dist)
    noise = draw(key, (n, noise_size(spec)))
    many, classes, continuous = spec.codes
    if not many * classes + continuous:
        return noise
    first, second = jax.random.split(jax.random.fold_in(key, 1))
    choice = jax.random.randint(first, (n, many), 0, max(classes, 1))
    blocks = jax.nn.one_hot(choice, classes).reshape(n, many * classes)
    uniform = jax.random.uniform(second, (n, continuous), minval=-1.0)
    return jnp.concatenate([noise, blocks, uniform], axis=1)


def codes_of(spec: ModelSpec, z: Latents) -> Codes:
    """The codes within latents that `draw_latents` made."""
    many, classes, continuous = spec.codes
    start = noise_size(spec)
    blocks = z[:, start : start + many * classes]
    return Codes(blocks.reshape(len(z), many, classes), z[:, z.shape[1] - continuous :])


def with_class(spec: ModelSpec, z: Latents, label: Any) -> Float[Array, "n latent"]:
    """Latents whose first categorical code is `label` (an int or int [n])."""
    start, classes = noise_size(spec), spec.codes[1]
    block = jax.nn.one_hot(jnp.broadcast_to(label, (len(z),)), classes)
    return jnp.asarray(z).at[:, start : start + classes].set(block)


LATENTS: dict[str, Callable[..., Any]] = {
    "normal": lambda key, shape: jax.random.normal(key, shape),
    "uniform": lambda key, shape: jax.random.uniform(key, shape, minval=-1.0),
}
