"""Normalisations by name, each with or without its own scale and shift.

Statistics are float32 whatever the dtype. No bias before a normalisation: the mean is subtracted again, so
its gradient is rounding noise, which Adam turns into steps of full size.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_jax.types import UserError

Init = Callable[..., Array]
Number = Any  # a float or a traced scalar
REFERENCE = 32  # examples of virtual batch normalisation's reference batch


class BatchNorm(nn.Module):
    """Batch normalisation over all but the last axis (Ioffe and Szegedy 2015, arXiv:1502.03167).

    The numbers of `nn.BatchNorm`: (x - mean) / sqrt(var + epsilon) * scale + bias, biased variance, running
    average = momentum * itself + (1 - momentum) * the batch's moments. Written as one multiply-add of x by
    per-channel numbers, with the means taken in two stages: XLA:CPU runs its backward pass 2 to 4 times faster
    than that of the textbook form. The moments are float32 whatever the dtype.
    """

    train: bool
    momentum: Number
    dtype: Any = jnp.float32
    affine: bool = True
    epsilon: float = 1e-5
    scale_init: Init = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Normalise."""
        width = x.shape[-1]
        mean = self.variable("batch_stats", "mean", jnp.zeros, (width,), jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, (width,), jnp.float32)
        m, v = mean.value, var.value
        if self.train:
            m, square = _moments(x)
            v = jnp.maximum(square - m * m, 0.0)
        if self.train and not self.is_initializing():
            mean.value = self.momentum * mean.value + (1 - self.momentum) * m
            var.value = self.momentum * var.value + (1 - self.momentum) * v
        return _scaled(self, x, m, v, self.epsilon, self.scale_init)


class VirtualBatchNorm(nn.Module):
    """Normalise each sample by the moments of a fixed reference batch and of itself (no other sample's).

    Salimans et al. 2016 (arXiv:1606.03498), section 3.5. The first REFERENCE rows of x are the reference batch
    (`with_reference` puts them there); a sample's own moments weigh 1 / (REFERENCE + 1).
    """

    dtype: Any = jnp.float32
    affine: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Normalise."""
        shape = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        axes = tuple(range(1, x.ndim - 1))
        wide = x.astype(jnp.float32)
        own = jnp.stack([wide.mean(axes), (wide * wide).mean(axes)])  # [2, B, C]
        fixed = own[:, :REFERENCE].mean(1, keepdims=True)
        share = jnp.where(jnp.arange(x.shape[0]) < REFERENCE, 0.0, 1 / (REFERENCE + 1))
        m, square = fixed + share[:, None] * (own - fixed)
        v = jnp.maximum(square - m * m, 0.0)
        return _scaled(self, x, m.reshape(shape), v.reshape(shape))


class InstanceNorm(nn.Module):
    """Normalise each channel of each sample by its own moments over all positions; the same when not training.

    Ulyanov et al. 2016 (arXiv:1607.08022), eq. 2, with a scale and a shift for each channel. Raises UserError for
    samples without positions, of which it would leave nothing.
    """

    dtype: Any = jnp.float32
    affine: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "B ..."]) -> Float[Array, "B ..."]:
        """Normalise."""
        if x.ndim < 3:
            raise UserError(
                "norm=instance takes moments over the positions of pictures, and follows a dense layer here, which has "
                "none: norm=layer or batch, or other networks"
            )
        axes = tuple(range(1, x.ndim - 1))
        wide = x.astype(jnp.float32)
        m = wide.mean(axes, keepdims=True)
        v = jnp.square(wide - m).mean(axes, keepdims=True)  # may be far below m^2
        return _scaled(self, x, m, v)


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean of x and of its square over all but the last axis, per channel, float32."""

    def mean(x: Array) -> Array:
        return x.mean(tuple(range(x.ndim - 2))).mean(0) if x.ndim > 2 else x.mean(0)

    x = x.astype(jnp.float32)
    return mean(x), mean(x * x)


def _scaled(
    module: Any,
    x: Array,
    mean: Array,
    var: Array,
    epsilon: float = 1e-5,
    scale_init: Init = nn.initializers.ones,
) -> Array:
    """(x - mean) / sqrt(var + epsilon), times scale plus bias if the module is affine: one multiply-add of x."""
    factor = jax.lax.rsqrt(var + epsilon)
    shift = -mean * factor
    if module.affine:
        width = (x.shape[-1],)
        scale = module.param("scale", scale_init, width, jnp.float32)
        bias = module.param("bias", nn.initializers.zeros, width, jnp.float32)
        factor, shift = factor * scale, bias - mean * (factor * scale)
    dtype = module.dtype
    return x.astype(dtype) * factor.astype(dtype) + shift.astype(dtype)


class ClassAffine(nn.Module):
    """Scale and shift each channel by numbers of the sample's class: the affine part of conditional BatchNorm.

    Dumoulin et al. 2017 (arXiv:1610.07629); as used by Miyato and Koyama 2018 (arXiv:1802.05637).
    """

    classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B ..."], label: Int[Array, " B"]
    ) -> Float[Array, "B ..."]:
        """Scale and shift."""
        table = (self.classes, x.shape[-1])
        scale = self.param("scale", nn.initializers.ones, table, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, table, jnp.float32)
        chosen = jax.nn.one_hot(label, self.classes)
        shape = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        scale, bias = (chosen @ scale).reshape(shape), (chosen @ bias).reshape(shape)
        return x * scale.astype(self.dtype) + bias.astype(self.dtype)


def _batch(momentum: Number, train: bool, dtype: Any, affine: bool) -> Any:
    return BatchNorm(train, momentum, dtype, affine)


def _batch_keras(momentum: Number, train: bool, dtype: Any, affine: bool) -> Any:
    return BatchNorm(train, momentum, dtype, affine, epsilon=1e-3)


def _near_one(*args: Any) -> Array:
    return 1 + nn.initializers.normal(0.02)(*args)


def _batch_drawn(momentum: Number, train: bool, dtype: Any, affine: bool) -> Any:
    return BatchNorm(train, momentum, dtype, affine, scale_init=_near_one)


def _layer(momentum: Number, train: bool, dtype: Any, affine: bool) -> Any:
    return nn.GroupNorm(
        num_groups=1, epsilon=1e-5, dtype=dtype, use_scale=affine, use_bias=affine
    )


def _group(momentum: Number, train: bool, dtype: Any, affine: bool) -> Any:
    def apply(x: Array) -> Array:
        groups = math.gcd(32, x.shape[-1])
        return nn.GroupNorm(
            groups, epsilon=1e-5, dtype=dtype, use_scale=affine, use_bias=affine
        )(x)

    return apply


def _instance(momentum: Number, train: bool, dtype: Any, affine: bool) -> Any:
    return InstanceNorm(dtype, affine)


def _virtual(momentum: Number, train: bool, dtype: Any, affine: bool) -> Any:
    return VirtualBatchNorm(dtype, affine)


def _none(momentum: Number, train: bool, dtype: Any, affine: bool) -> Any:
    return lambda x: x


# name -> (momentum, train, dtype, affine) -> layer. Scale and shift per channel if affine; epsilon 1e-5 if not said
# otherwise.
NORMS: dict[str, Callable[[Number, bool, Any, bool], Any]] = {
    # Ioffe and Szegedy 2015: moments over batch and positions. Running average = momentum * itself +
    # (1 - momentum) * the (biased) moments of the batch; used when not training.
    "batch": _batch,
    # The same with Keras' epsilon, 1e-3: it shrinks what a small initialisation leaves of the signal.
    "batch_keras": _batch_keras,
    # The same with the scale drawn from N(1, 0.02^2) at first (Radford et al. 2015's code, and many after it).
    "batch_drawn": _batch_drawn,
    # Moments over all positions and channels of one example (Ba et al. 2016, as WGAN-GP uses it).
    "layer": _layer,
    # Wu and He 2018: moments within gcd(32, channels) groups of channels of one example.
    "group": _group,
    # Salimans et al. 2016: moments of a fixed reference batch; the same when not training.
    "virtual": _virtual,
    # Ulyanov et al. 2016: moments of each channel of one example.
    "instance": _instance,
    "none": _none,
}
