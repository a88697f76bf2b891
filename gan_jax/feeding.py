"""What a generator is fed: latents, with classes where it is told any, or source pictures."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.latents import draw_latents, with_class
from gan_jax.types import ModelSpec

MOST_COLUMNS = 16  # of a grid by class


class Fed(NamedTuple):
    """What a generator is fed: z [n, latent_dim], label int32 [n] or None, and the columns of its grid (0: square).

    In place of latents source pictures [n, h, w, c], float32 in -1..1 or uint8, where it turns pictures into others.
    """

    z: Any
    label: Any = None
    columns: int = 0


def classes_of(spec: ModelSpec) -> int:
    """How many classes a generator can be asked for: labels that it is told, or InfoGAN's first code; 0: none."""
    if spec.condition != "none":
        return spec.classes
    return spec.codes[1] if spec.codes[0] else 0


def of_class(spec: ModelSpec, z: Any, label: Any) -> Fed:
    """Latents [n, latent_dim] asked for the classes `label`, an int or int [n]."""
    label = jnp.broadcast_to(jnp.asarray(label, jnp.int32), (len(z),))
    if spec.condition != "none":
        return Fed(z, label)
    return Fed(with_class(spec, z, label), None)


def by_class(spec: ModelSpec, z: Any) -> Fed:
    """Each latent once for each class (at most 16): a grid with a row for a latent and a column for a class."""
    columns = min(classes_of(spec), MOST_COLUMNS)
    label = jnp.tile(jnp.arange(columns), len(z))
    return of_class(spec, jnp.repeat(z, columns, axis=0), label)._replace(
        columns=columns
    )


def draw(spec: ModelSpec, key: Any, n: int) -> Fed:
    """n latents, with classes drawn uniformly where the generator is told any."""
    z = draw_latents(spec, key, n)
    if spec.condition == "none":
        return Fed(z)
    label = jax.random.randint(jax.random.fold_in(key, 3), (n,), 0, spec.classes)
    return Fed(z, label)


def showcase(spec: ModelSpec, key: Any, n: int) -> Fed:
    """What the pictures during training show: n latents, or some latents by class."""
    columns = min(classes_of(spec), MOST_COLUMNS)
    if not columns:
        return Fed(draw_latents(spec, key, n))
    return by_class(spec, draw_latents(spec, key, max(1, n // columns)))
