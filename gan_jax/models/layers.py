"""Layers: convolutions, dense, dropout with a traced rate, normalisations and initialisers, by name.

Parameters are float32 always; arithmetic is in `dtype`, statistics of the normalisations in float32. No bias
before a normalisation: the mean is subtracted again, so its gradient is rounding noise, which Adam turns
into steps of full size.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.models.conv import CONV
from gan_jax.types import ModelSpec, lookup

Init = Callable[..., Array]
Number = Any  # a float or a traced scalar


class Conv(nn.Module):
    """Strided convolution, "SAME": [B,H,W,C] -> [B,H/s,W/s,features]; kernel [k,k,C,features]."""

    features: int
    kernel: int = 4
    stride: int = 2
    use_bias: bool = True
    kernel_init: Init = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32
    impl: str = "fast"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w F"]:
        """Convolve."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        w = self.param("kernel", self.kernel_init, shape, jnp.float32)
        conv = lookup("impl", CONV, self.impl)
        x = conv.down(x.astype(self.dtype), w.astype(self.dtype), self.stride)
        return _add_bias(self, x)


class ConvTranspose(nn.Module):
    """Transposed convolution, "SAME": [B,H,W,C] -> [B,H*s,W*s,features]; kernel [k,k,features,C].

    The same numbers as `nn.ConvTranspose(transpose_kernel=True)`. The kernel is drawn as [k,k,C,features] and
    then turned, so that an initialiser counts k*k*C inputs (a pixel of the output sees 1/s^2 of them).
    """

    features: int
    kernel: int = 4
    stride: int = 2
    use_bias: bool = True
    kernel_init: Init = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32
    impl: str = "fast"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w F"]:
        """Convolve."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        w = self.param(
            "kernel",
            lambda *args: self.kernel_init(*args).swapaxes(2, 3),
            shape,
            jnp.float32,
        )
        conv = lookup("impl", CONV, self.impl)
        x = conv.up(x.astype(self.dtype), w.astype(self.dtype), self.stride)
        return _add_bias(self, x)


class Dense(nn.Module):
    """Affine map of the last axis: [B,C] -> [B,features]; kernel [C,features]."""

    features: int
    use_bias: bool = True
    kernel_init: Init = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B C"]) -> Float[Array, "B F"]:
        """Multiply and add."""
        shape = (x.shape[-1], self.features)
        w = self.param("kernel", self.kernel_init, shape, jnp.float32)
        return _add_bias(self, x.astype(self.dtype) @ w.astype(self.dtype))


def _add_bias(module: Any, x: Array) -> Array:
    if not module.use_bias:
        return x
    bias = module.param("bias", nn.initializers.zeros, (module.features,), jnp.float32)
    return x + bias.astype(x.dtype)


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014): zero with probability `rate`, else divide by 1 - rate.

    The rate may be traced, which `nn.Dropout` refuses. The key is the rng "dropout". Identity unless `train`.
    """

    rate: Number

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        """Drop."""
        if not train:
            return x
        keep = 1.0 - jnp.asarray(self.rate, jnp.float32)
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, x.shape)
        return x * jnp.where(mask, 1.0 / keep, 0.0).astype(x.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation over all but the last axis (Ioffe and Szegedy 2015, arXiv:1502.03167).

    The numbers of `nn.BatchNorm`: (x - mean) / sqrt(var + 1e-5) * scale + bias, biased variance, running
    average = momentum * itself + (1 - momentum) * the batch's moments. Written as one multiply-add of x by
    per-channel numbers, with the means taken in two stages: XLA:CPU runs its backward pass 2 to 4 times faster
    than that of the textbook form. The moments are float32 whatever the dtype.
    """

    train: bool
    momentum: Number
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Normalise."""
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, (width,), jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, (width,), jnp.float32)
        m, v = mean.value, var.value
        if self.train:
            m, v = _moments(x.astype(jnp.float32))
        if self.train and not self.is_initializing():
            mean.value = self.momentum * mean.value + (1 - self.momentum) * m
            var.value = self.momentum * var.value + (1 - self.momentum) * v
        factor = jax.lax.rsqrt(v + 1e-5) * scale
        shift = bias - m * factor
        return x.astype(self.dtype) * factor.astype(self.dtype) + shift.astype(
            self.dtype
        )


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance over all but the last axis, per channel."""

    def mean(x: Array) -> Array:
        return x.mean(tuple(range(x.ndim - 2))).mean(0) if x.ndim > 2 else x.mean(0)

    m = mean(x)
    return m, jnp.maximum(mean(x * x) - m * m, 0.0)


def _batch_norm(momentum: Number, train: bool, dtype: Any) -> Callable[[Array], Array]:
    return BatchNorm(train, momentum, dtype)


def _layer_norm(momentum: Number, train: bool, dtype: Any) -> Callable[[Array], Array]:
    return nn.GroupNorm(num_groups=1, epsilon=1e-5, dtype=dtype)


def _group_norm(momentum: Number, train: bool, dtype: Any) -> Callable[[Array], Array]:
    def apply(x: Array) -> Array:
        return nn.GroupNorm(math.gcd(32, x.shape[-1]), epsilon=1e-5, dtype=dtype)(x)

    return apply


def _no_norm(momentum: Number, train: bool, dtype: Any) -> Callable[[Array], Array]:
    return lambda x: x


class Kit:
    """The layers of one network with what its spec and numbers decide already filled in.

    Not a module: it only constructs layers, within the `nn.compact` method that calls it. `norm` is the name
    of this network's normalisation; `bias` says whether a layer before it needs a bias.
    """

    def __init__(
        self, spec: ModelSpec, hyper: Mapping[str, Any], norm: str, train: bool
    ):
        """Look the names of the spec up; a wrong one raises, listing the choices."""
        numbers = hyper["model"]
        self.dtype = lookup("precision", PRECISIONS, spec.precision)
        self.init = lookup("init", INITS, spec.init)(numbers["init_std"])
        self.norm_layer = lookup("norm", NORMS, norm)
        self.bias = norm == "none"
        self.momentum = numbers["norm_momentum"]
        self.rate = numbers["dropout"] if spec.dropout else None
        self.spec, self.train = spec, train

    def conv(self, features: int, bias: bool) -> Conv:
        """Return a convolution of stride 2."""
        return Conv(
            features,
            self.spec.kernel,
            use_bias=bias,
            kernel_init=self.init,
            dtype=self.dtype,
            impl=self.spec.impl,
        )

    def up(self, features: int, bias: bool) -> ConvTranspose:
        """Return a transposed convolution of stride 2."""
        return ConvTranspose(
            features,
            self.spec.kernel,
            use_bias=bias,
            kernel_init=self.init,
            dtype=self.dtype,
            impl=self.spec.impl,
        )

    def dense(self, features: int, bias: bool) -> Dense:
        """Return a dense layer."""
        return Dense(features, bias, self.init, self.dtype)

    def logits(self, features: Float[Array, "B F"]) -> Float[Array, " B"]:
        """Map features to one number each, in float32 whatever the precision: losses exponentiate it."""
        return Dense(1, kernel_init=self.init)(features)[:, 0]

    def norm(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Normalise."""
        return self.norm_layer(self.momentum, self.train, self.dtype)(x)

    def dropout(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Drop, if the spec asks for it."""
        return x if self.rate is None else Dropout(self.rate)(x, self.train)


PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

# name -> (momentum, train, dtype) -> layer. Epsilon 1e-5, scale and shift per channel.
NORMS = {
    # Ioffe and Szegedy 2015: moments over batch and positions. Running average = momentum * itself +
    # (1 - momentum) * the (biased) moments of the batch; used when not training.
    "batch": _batch_norm,
    # Moments over all positions and channels of one example (Ba et al. 2016, as WGAN-GP uses it).
    "layer": _layer_norm,
    # Wu and He 2018: moments within gcd(32, channels) groups of channels of one example.
    "group": _group_norm,
    "none": _no_norm,
}

# name -> std -> initialiser. Only the first two use std, which may be traced. Biases start at zero.
INITS = {
    "normal": nn.initializers.normal,
    # Cut at two std. As in TensorFlow, std is that before the cut; the numbers drawn have 0.88 of it.
    "truncated_normal": nn.initializers.truncated_normal,
    "xavier_uniform": lambda std: nn.initializers.xavier_uniform(),
    "xavier_normal": lambda std: nn.initializers.xavier_normal(),
    "he_normal": lambda std: nn.initializers.he_normal(),
    "orthogonal": lambda std: nn.initializers.orthogonal(),
}
