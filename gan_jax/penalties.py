"""Penalties on the discriminator: pure functions (critic, real, fake, key) -> scalar, unweighted.

`critic(x) -> Scores` is the discriminator with everything but its input fixed; `real` and `fake` are float
[B, ...] of one shape. A gradient's norm is over all elements of one sample (not over channels) and is taken in
float32 or better; the mean is over the batch. With BatchNorm in the critic a sample's gradient includes its
neighbours' share, as in every published code. Every penalty has a finite gradient where the critic is flat.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_jax.types import AnyArray, Scores

Critic = Callable[[Any], Scores]
Samples = Float[AnyArray, "batch ..."]
Penalty = Float[Array, ""]


def slope(critic: Critic, x: Samples) -> Samples:
    """d critic(x_i) / d x_i for each sample: one backward pass of the summed logits."""
    return jax.grad(lambda inputs: jnp.sum(critic(inputs).logits))(x)


def squared_gradient_norm(critic: Critic, x: Samples) -> Float[Array, " batch"]:
    """|d critic(x_i) / d x_i|^2 for each sample; `critic.slope(x)` where the critic has its own."""
    gradient = getattr(critic, "slope", partial(slope, critic))(x)
    gradient = gradient.astype(jnp.promote_types(gradient.dtype, jnp.float32))
    return jnp.sum(gradient**2, axis=tuple(range(1, x.ndim)))


def on_segment(real: Samples, fake: Samples, key: Any) -> Samples:
    """A point on the segment from fake to real, one uniform position a sample (not one a pixel)."""
    alpha = one_uniform_a_sample(real, key)
    return alpha * real + (1 - alpha) * fake


def around(real: Samples, key: Any) -> Samples:
    """x + alpha u std / 2: u uniform on 0..1 for each element, alpha for each sample, std over the whole batch."""
    of_alpha, of_u = jax.random.split(key)
    alpha = one_uniform_a_sample(real, of_alpha)
    u = jax.random.uniform(of_u, real.shape)
    return real + alpha * u * (0.5 * jnp.std(real))


def jitter(x: Samples, key: Any) -> Samples:
    """Change each sample of a batch as leaves a picture a picture: T of the consistency penalty; dtype kept.

    Pictures [B,H,W,C]: mirrored with probability 1/2, then shifted by whole pixels, at most an eighth of the
    side each way, edges reflected; one draw a sample. Points [B,D]: Gaussian noise of 5 % of the standard
    deviation over the whole batch.
    """
    if x.ndim != 4:
        noise = jax.random.normal(key, x.shape, x.dtype)
        return x + 0.05 * jnp.std(x) * noise
    of_mirror, of_rows, of_columns = jax.random.split(key, 3)
    n, height, width, _ = x.shape
    mirror = jax.random.bernoulli(of_mirror, 0.5, (n, 1))
    rows = shifted(height, n, of_rows)
    columns = shifted(width, n, of_columns)
    columns = jnp.where(mirror, width - 1 - columns, columns)
    x = jnp.take_along_axis(x, rows[:, :, None, None], axis=1)
    return jnp.take_along_axis(x, columns[:, None, :, None], axis=2)


def shifted(side: int, n: int, key: Any) -> Int[Array, "n side"]:
    """Where each of `n` samples' pixels come from along one side, each sample moved by at most side // 8."""
    most = side // 8
    move = jax.random.randint(key, (n, 1), -most, most + 1)
    last = side - 1
    return last - jnp.abs(last - jnp.abs(jnp.arange(side) + move))


def one_uniform_a_sample(x: Samples, key: Any) -> Samples:
    """Uniform numbers on 0..1 of shape [B, 1, ...]."""
    return jax.random.uniform(key, (x.shape[0],) + (1,) * (x.ndim - 1))


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


def one_sided_gp(critic: Critic, real: Samples, fake: Samples, key: Any) -> Penalty:
    """mean max(0, |grad D(x^)| - 1)^2 on the segments between real and fake: slopes below 1 are free.

    Petzka et al. 2018 (arXiv:1709.08894), there WGAN-LP; Gulrajani et al. 2017 (arXiv:1704.00028), section 4, last
    paragraph.
    """
    squared = squared_gradient_norm(critic, on_segment(real, fake, key))
    return jnp.mean(jax.nn.relu(norm(squared) - 1) ** 2)


def zero_gp(critic: Critic, real: Samples, fake: Samples, key: Any) -> Penalty:
    """mean |grad D(x^)|^2 on the segments between real and fake, without a half.

    Thanh-Tung et al. 2019 (arXiv:1902.03984).
    """
    return jnp.mean(squared_gradient_norm(critic, on_segment(real, fake, key)))


def dragan(critic: Critic, real: Samples, fake: Samples, key: Any) -> Penalty:
    """mean (|grad D(x + d)| - 1)^2 at points around the real data, as the authors' code draws them.

    Kodali et al. 2017 (arXiv:1705.07215); the paper's weight is 10. d is drawn by `around`.
    """
    del fake
    return jnp.mean((norm(squared_gradient_norm(critic, around(real, key))) - 1) ** 2)


def r1(critic: Critic, real: Samples, fake: Samples, key: Any) -> Penalty:
    """Half the mean squared gradient norm on real data; the paper's gamma is the weight.

    Mescheder et al. 2018 (arXiv:1801.04406), eq. 9.
    """
    del fake, key
    return 0.5 * jnp.mean(squared_gradient_norm(critic, real))


def r2(critic: Critic, real: Samples, fake: Samples, key: Any) -> Penalty:
    """Half the mean squared gradient norm on fakes; the paper's gamma is the weight.

    Mescheder et al. 2018 (arXiv:1801.04406), eq. 10.
    """
    del real, key
    return 0.5 * jnp.mean(squared_gradient_norm(critic, fake))


def consistency(critic: Critic, real: Samples, fake: Samples, key: Any) -> Penalty:
    """mean (D(T(x)) - D(x))^2 over reals plus the same over fakes, T = `jitter`; no half.

    Zhao et al. 2020 (arXiv:2002.04724), balanced consistency (bCR) with both its weights 1, of the logits.
    Its gradient goes through both D(T(x)) and D(x).
    """
    of_real, of_fake = jax.random.split(key)

    def change(x: Samples, key: Any) -> Penalty:
        return jnp.mean((critic(jitter(x, key)).logits - critic(x).logits) ** 2)

    return change(real, of_real) + change(fake, of_fake)


PENALTIES: dict[str, Callable[[Critic, Any, Any, Any], Any]] = {
    "gp": gp,
    "one_sided_gp": one_sided_gp,
    "zero_gp": zero_gp,
    "dragan": dragan,
    "r1": r1,
    "r2": r2,
    "consistency": consistency,
}
