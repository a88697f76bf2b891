"""Through the latent space: curves between latents, walks, truncation, arithmetic. Pure functions of latents.

`run.pictures(run.feed(z))` shows what they return (`run = gan_jax.load(folder)`, `run.latents(n)` to begin with). Rows of
a picture are paths: latents [rows * columns, latent], row by row.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gan_jax.latents import noise_size
from gan_jax.types import AnyArray, ModelSpec, UserError, lookup

Latents = Float[AnyArray, "n latent"]
Rows = Float[Array, "steps latent"]

_ROOT = math.sqrt(2)
_INSIDE = 1 - 2**-24  # the last float32 before 1, whose Gaussian coordinate is finite


class Term(NamedTuple):
    """A term of latent arithmetic: the mean of the latents of these indices, added (sign 1) or taken away (-1)."""

    sign: int
    members: tuple[int, ...]


class Law(NamedTuple):
    """How a law's coordinates become standard normal ones, and the way back; both keep the order."""

    to: Callable[[Any], Any]
    of: Callable[[Any], Any]


def slerp(
    a: Float[AnyArray, "*batch latent"], b: Float[AnyArray, "*batch latent"], t: Any
) -> Float[AnyArray, "*batch latent"]:
    """Spherical interpolation from a (t=0) to b (t=1), norms interpolated linearly.

    Shoemake 1985; White 2016 (arXiv:1609.04468): a straight line between normal latents leaves the shell that
    the generator was trained on. Parallel or zero vectors fall back to the straight line.
    """
    norm_a = jnp.linalg.norm(a, axis=-1, keepdims=True)
    norm_b = jnp.linalg.norm(b, axis=-1, keepdims=True)
    floor = jnp.finfo(jnp.float32).tiny
    unit_a, unit_b = a / jnp.maximum(norm_a, floor), b / jnp.maximum(norm_b, floor)
    cosine = jnp.clip(jnp.sum(unit_a * unit_b, axis=-1, keepdims=True), -1.0, 1.0)
    angle = jnp.arccos(cosine)
    sine = jnp.sin(angle)
    flat = (sine < 1e-4) | (norm_a == 0) | (norm_b == 0)
    sine = jnp.where(flat, 1.0, sine)
    direction = (jnp.sin((1 - t) * angle) * unit_a + jnp.sin(t * angle) * unit_b) / sine
    curved = ((1 - t) * norm_a + t * norm_b) * direction
    return jnp.where(flat, lerp(a, b, t), curved)


def lerp(
    a: Float[AnyArray, "*batch latent"], b: Float[AnyArray, "*batch latent"], t: Any
) -> Float[AnyArray, "*batch latent"]:
    """The straight line from a (t=0) to b (t=1); half way, latents of one normal law are shorter by sqrt(2)."""
    return (1 - t) * a + t * b


def interpolation(
    z: Latents, columns: int, curves: Sequence[Callable[..., Any]] = (slerp,)
) -> Rows:
    """Rows of `columns` steps from z[0] to z[1], z[2] to z[3] ...: [(n // 2) * len(curves) * columns, latent].

    Each pair has a row for each of the curves, one under the other.
    """
    a, b = (jnp.asarray(x)[:, None] for x in (z[0 : len(z) // 2 * 2 : 2], z[1::2]))
    shape = (len(a), columns, z.shape[1])
    a, b = jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape)
    t = jnp.linspace(0.0, 1.0, columns)[:, None]
    rows = jnp.stack([curve(a, b, t) for curve in curves], axis=1)
    return rows.reshape(-1, z.shape[1])


def walk(z: Latents, dims: Sequence[int], values: Float[AnyArray, " columns"]) -> Rows:
    """Rows of copies of each z whose coordinate d takes the values, for each d of `dims` a block of n rows.

    [len(dims) * n * columns, latent]. Raises UserError when the latent space has no such dimension.
    """
    size = z.shape[1]
    for dim in dims:
        if not 0 <= dim < size:
            raise UserError(
                f"--walk={dim}: the latent space has dimensions 0 to {size - 1}"
            )
    rows = jnp.repeat(jnp.asarray(z), len(values), axis=0)
    column = jnp.tile(jnp.asarray(values), len(z))
    return jnp.concatenate([rows.at[:, dim].set(column) for dim in dims])


def random_walk(
    spec: ModelSpec, key: Any, z: Latents, stride: float | int, columns: int
) -> Rows:
    """Rows that begin at each z and wander under the prior: [n * columns, latent].

    A step is g' = cos(stride) g + sin(stride) e with fresh standard normal e, for normal latents in z itself, for
    uniform ones in their Gaussian coordinates (z = 2 Phi(g) - 1), so that every point has the prior's law. Points that
    are s steps apart have correlation cos(stride)^s there; stride pi/2 makes them independent. Codes stay. The key
    must not be the one that drew z. Raises UserError for latents of another law.
    """
    law = lookup("model.latent_dist of a random walk", LAWS, spec.latent_dist, False)
    size = noise_size(spec)
    z = jnp.asarray(z)
    steps = jax.random.normal(key, (columns - 1, len(z), size))

    def move(g: Any, e: Any) -> tuple[Any, Any]:
        g = math.cos(stride) * g + math.sin(stride) * e
        return g, g

    _, rest = jax.lax.scan(move, law.to(z[:, :size]), steps)
    noise = jnp.concatenate([z[None, :, :size], law.of(rest)])
    codes = jnp.broadcast_to(z[:, size:], (columns, len(z), z.shape[1] - size))
    return jnp.concatenate([noise, codes], 2).swapaxes(0, 1).reshape(-1, z.shape[1])


def truncated(
    spec: ModelSpec, z: Latents, limit: float | int
) -> Float[Array, "n latent"]:
    """Normal latents as if each coordinate had been redrawn until |z| <= limit; codes stay.

    The truncation trick of Brock et al. 2019 (arXiv:1809.11096), section 3.1. No coordinate is redrawn: each becomes
    the quantile of the truncated normal law that it was of the whole one, erf(z' / sqrt 2) = erf(z / sqrt 2)
    erf(limit / sqrt 2). The law is the same, and one seed gives the same samples, nearer to the middle, at every limit.
    Raises UserError for latents that are not normal: uniform ones have no tails.
    """
    if spec.latent_dist != "normal":
        raise UserError(
            f"--truncation needs normal latents, and those of this run are {spec.latent_dist}: leave it out"
        )
    size = noise_size(spec)
    noise = jnp.asarray(z)[:, :size]
    inner = _ROOT * jax.lax.erf_inv(
        jax.lax.erf(noise / _ROOT) * math.erf(limit / _ROOT)
    )
    bound = jnp.minimum(jnp.abs(noise), limit)  # erf has no digits left in the far tail
    return jnp.concatenate([jnp.clip(inner, -bound, bound), z[:, size:]], axis=1)


def arithmetic(z: Latents, terms: Sequence[Term]) -> Rows:
    """The mean of each term's latents, and last the sum of the means with their signs: [len(terms) + 1, latent].

    Radford et al. 2016 (arXiv:1511.06434), section 6.3.2, who take means of three. Raises UserError naming an index
    that z has not.
    """
    for index in (i for term in terms for i in term.members):
        if not 0 <= index < len(z):
            raise UserError(
                f"--arithmetic names sample {index}, and there are samples 0 to {len(z) - 1}: "
                f"take one of those, or raise --n"
            )
    z = jnp.asarray(z)
    means = jnp.stack([z[np.array(term.members)].mean(axis=0) for term in terms])
    signs = jnp.array([term.sign for term in terms], z.dtype)
    return jnp.concatenate([means, (signs @ means)[None]])


CURVES: dict[str, tuple[Callable[..., Any], ...]] = {
    "slerp": (slerp,),
    "lerp": (lerp,),
    "both": (slerp, lerp),
}
LAWS: dict[str, Law] = {
    "normal": Law(lambda z: z, lambda g: g),
    "uniform": Law(
        lambda z: _ROOT * jax.lax.erf_inv(jnp.clip(z, -_INSIDE, _INSIDE)),
        lambda g: jax.lax.erf(g / _ROOT),
    ),
}
