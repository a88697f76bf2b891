"""Small published tricks as pure functions, and schedules (step -> factor).

Each is switched on by a number in `config.trick` that is not its neutral value; the number itself is a leaf of
`state.hyper`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gan_jax.types import AnyArray, Hyper, lookup

Batch = Float[AnyArray, "batch ..."]
Packed = Float[AnyArray, "packs ..."]
Features = Float[AnyArray, "batch features"]
Values = Float[AnyArray, " batch"]


def linear_decay(step: Any, steps: Any) -> Float[Array, ""]:
    """1 at step 0, falling linearly to 0 at `steps` and after; always 1 when `steps` is 0."""
    steps = jnp.asarray(steps, jnp.float32)
    fraction = jnp.asarray(step, jnp.float32) / jnp.maximum(steps, 1.0)
    return jnp.where(steps > 0, jnp.clip(1.0 - fraction, 0.0, 1.0), 1.0)


def scheduled(schedules: tuple[tuple[str, str], ...], hyper: Hyper, step: Any) -> Hyper:
    """`hyper` with each scheduled number multiplied by its factor at this step.

    schedules: (field, kind of SCHEDULES). The numbers of a schedule are hyper["schedule"][field]: the factor is
    `first` until step `begin`, `last` from step `end` on, and between them moves as the kind says.
    """
    for name, kind in schedules:
        numbers = hyper["schedule"][name]
        begin, end = numbers["begin"], numbers["end"]
        done = jnp.clip((step - begin) / jnp.maximum(end - begin, 1.0), 0.0, 1.0)
        done = jnp.where(step < end, done, 1.0)  # where begin is end too
        shape = lookup("schedule", SCHEDULES, kind)
        factor = shape(done, numbers["first"], numbers["last"])
        hyper = _multiplied(hyper, name.split("."), factor)
    return hyper


def _multiplied(tree: Mapping[str, Any], path: list[str], factor: Any) -> Any:
    head, *rest = path
    value = _multiplied(tree[head], rest, factor) if rest else tree[head] * factor
    return {**tree, head: value}


def instance_noise(x: Batch, std: Any, key: Any) -> Batch:
    """x + N(0, std^2) on every element of what the discriminator sees, real or fake.

    Sonderby et al. 2017 (arXiv:1610.04490), section 3.1; Arjovsky & Bottou 2017 (arXiv:1701.04862).
    """
    return x + std * jax.random.normal(key, x.shape, x.dtype)


def label_flip(
    real: Values, fake: Values, share: Any, key: Any
) -> tuple[Values, Values]:
    """Exchange what D says of the i-th real and the i-th fake sample with probability `share`.

    Noisy labels: the loss then takes the one for the other (Chintala et al. 2016, "How to train a GAN", 6).
    """
    swap = jax.random.bernoulli(key, share, real.shape)
    return jnp.where(swap, fake, real), jnp.where(swap, real, fake)


def top_k(values: Values, share: Any) -> Float[Array, " batch"]:
    """Weights that keep the best `share` of a batch (at least one sample) and sum to 1.

    Top-k training of Sinha et al. 2020 (arXiv:2002.06224), algorithm 1: the generator learns from the fakes that
    D finds most real only. `values`: high means real.
    """
    n = values.shape[0]
    rank = jnp.argsort(jnp.argsort(-values))
    count = jnp.clip(jnp.round(share * n), 1, n)
    return jnp.where(rank < count, 1.0 / count, 0.0)


def l2_of_means(real: Features, fake: Features) -> Float[Array, ""]:
    """|mean f(x) - mean f(G(z))|^2, a sum over features: Salimans et al. 2016 (arXiv:1606.03498), eq. in 3.1."""
    return jnp.sum((real.mean(0) - fake.mean(0)) ** 2)


def l1_of_means(real: Features, fake: Features) -> Float[Array, ""]:
    """mean over features of |mean f(x) - mean f(G(z))|, as PyTorch-StudioGAN has it."""
    return jnp.mean(jnp.abs(real.mean(0) - fake.mean(0)))


def per_sample_l2(real: Features, fake: Features) -> Float[Array, ""]:
    """mean over samples and features of (f(x_i) - f(G(z_i)))^2: the i-th fake against the i-th real sample.

    As early DCGAN code and TorchGAN have it; it pulls every fake to one arbitrary picture.
    """
    return jnp.mean((real - fake) ** 2)


def per_sample_sum(real: Features, fake: Features) -> Float[Array, ""]:
    """sum over samples of the mean over features of (f(x_i) - f(G(z_i)))^2: batch size times `per_sample_l2`.

    What an early DCGAN code computed as half the sum over the whole batch, divided by the picture's 64 x 64
    = 4096 pixels: half the number of its 4 x 4 x 512 features. It grows with the batch: a weight of 0.1 at 64
    samples is 6.4 of `per_sample_l2`.
    """
    return jnp.sum(jnp.mean((real - fake) ** 2, axis=1))


def stalled(metrics: Mapping[str, Any], bounds: Mapping[str, Any]) -> dict[str, Any]:
    """Which players rest in an update, {"gen": bool, "disc": bool}, from the bounds that are given.

    stall_disc_accuracy: D rests while its accuracy is above; stall_disc_loss, stall_gen_loss: a player rests
    while its loss is below.
    """
    never = jnp.bool_(False)
    rests = {"gen": never, "disc": never}
    for name, bound in bounds.items():
        player, metric, above = STALLS[name]
        if metric in metrics:
            value = metrics[metric]
            rests[player] |= value > bound if above else value < bound
    return rests


def pack(x: Batch, m: int) -> Packed:
    """Join each m samples along the last axis: [B, ..., C] -> [B/m, ..., m*C].

    PacGAN, Lin et al. 2018 (arXiv:1712.04086), section 3.
    """
    parts = x.reshape(x.shape[0] // m, m, *x.shape[1:])
    parts = jnp.moveaxis(parts, 1, -2)
    return parts.reshape(*parts.shape[:-2], m * x.shape[-1])


def unpack(x: Packed, m: int) -> Batch:
    """The inverse of `pack`."""
    parts = x.reshape(*x.shape[:-1], m, x.shape[-1] // m)
    parts = jnp.moveaxis(parts, -2, 1)
    return parts.reshape(x.shape[0] * m, *parts.shape[2:])


def keep(rest: Bool[Array, ""], new: Any, old: Any) -> Any:
    """`old` where a player rests, else `new`."""
    return jax.tree.map(lambda a, b: jnp.where(rest, b, a), new, old)


# kind -> (share of the way done, first, last) -> factor
SCHEDULES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "linear": lambda done, first, last: first + (last - first) * done,
    "cosine": lambda done, first, last: (
        last + (first - last) * 0.5 * (1 + jnp.cos(jnp.pi * done))
    ),
    "exponential": lambda done, first, last: first * (last / first) ** done,
    "step": lambda done, first, last: jnp.where(done < 1, first, last),
}

FEATURE_MATCHING: dict[str, Callable[[Any, Any], Any]] = {
    "l2_of_means": l2_of_means,
    "l1_of_means": l1_of_means,
    "per_sample_l2": per_sample_l2,
    "per_sample_sum": per_sample_sum,
}

# bound -> (who rests, metric, whether while the metric is above the bound)
STALLS = {
    "stall_disc_accuracy": ("disc", "disc/accuracy", True),
    "stall_disc_loss": ("disc", "loss/disc", False),
    "stall_gen_loss": ("gen", "loss/gen", False),
}
