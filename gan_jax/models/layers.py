"""Layers: convolutions and dense, plain or spectrally normalised; dropout with a traced rate; resampling.

Parameters are float32 always; arithmetic is in `dtype`. What a network's spec decides is filled in by kit.py.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.models.conv import CONV
from gan_jax.types import AnyArray, UserError, lookup

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
    spectral: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w F"]:
        """Convolve."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        w = _kernel(self, shape, self.kernel_init)
        conv = lookup("impl", CONV, self.impl)
        return _add_bias(self, conv.down(x.astype(self.dtype), w, self.stride))


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
    spectral: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w F"]:
        """Convolve."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        w = _kernel(self, shape, self.kernel_init, turned=True)
        conv = lookup("impl", CONV, self.impl)
        return _add_bias(self, conv.up(x.astype(self.dtype), w, self.stride))


class Dense(nn.Module):
    """Affine map of the last axis: [..., C] -> [..., features]; kernel [C,features]."""

    features: int
    use_bias: bool = True
    kernel_init: Init = nn.initializers.normal(0.02)
    dtype: Any = jnp.float32
    spectral: bool = False
    told: bool = (
        False  # an embedding of what the network is told, not of what it is fed
    )

    @nn.compact
    def __call__(self, x: Float[Array, "*B C"]) -> Float[Array, "*B F"]:
        """Multiply and add."""
        w = _kernel(self, (x.shape[-1], self.features), self.kernel_init)
        return _add_bias(self, x.astype(self.dtype) @ w)


def _kernel(module: Any, shape: tuple[int, ...], init: Init, turned: bool = False):
    """The module's kernel in its dtype, divided by its spectral norm if the module asks for it."""

    def draw(*args: Any) -> Array:
        return init(*args).swapaxes(-2, -1) if turned else init(*args)

    w = module.param("kernel", draw, shape, jnp.float32)
    if module.spectral:
        w = w / _spectral_norm(module, w, out=-2 if turned else -1)
    return w.astype(module.dtype)


def _spectral_norm(module: Any, w: Array, out: int) -> Array:
    """Largest singular value of the kernel as a matrix [outputs, everything else], by one power iteration a call.

    Miyato et al. 2018 (arXiv:1802.05957), algorithm 1. The left vector u is kept in the collection "spectral"
    and moves only in training; no gradient flows through the vectors.
    """
    matrix = jnp.moveaxis(w, out, -1).reshape(-1, w.shape[out])

    def unit(x: Array) -> Array:
        return x * jax.lax.rsqrt(jnp.sum(x * x) + 1e-12)

    u = module.variable(
        "spectral",
        "u",
        lambda: jax.random.normal(module.make_rng("params"), matrix.shape[1:]),
    )
    fixed = jax.lax.stop_gradient(matrix)
    v = unit(fixed @ unit(u.value))  # an average of u (EMA) is no unit vector
    new = unit(v @ fixed)
    if module.is_mutable_collection("spectral") and not module.is_initializing():
        u.value = new
    return v @ matrix @ new


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


class MinibatchDiscrimination(nn.Module):
    """Append to each sample's features how close it is to the others of its batch: [B,F] -> [B,F+50].

    Salimans et al. 2016 (arXiv:1606.03498), section 3.2: 50 kernels of 5 dimensions each, o_b = sum over the
    other samples of exp(-L1 distance). In float32.
    """

    kernel_init: Init
    kernels: int = 50
    dims: int = 5

    @nn.compact
    def __call__(self, features: Float[Array, "B F"]) -> Float[Array, "B G"]:
        """Measure and append."""
        dense = Dense(self.kernels * self.dims, False, self.kernel_init)
        m = dense(features).reshape(-1, self.kernels, self.dims)
        distance = jnp.abs(m[:, None] - m[None]).sum(-1)
        closeness = jnp.exp(-distance).sum(1) - 1.0  # less the sample itself
        return jnp.concatenate([features, closeness], axis=1)


def minibatch_stddev(features: Float[Array, "B F"]) -> Float[Array, "B G"]:
    """Append the batch's standard deviation, averaged over all features, to each sample: [B,F] -> [B,F+1].

    Karras et al. 2018 (arXiv:1710.10196), section 3, over the whole batch and on the last features (the paper:
    on the last 4 x 4 picture). Batches of real and fake pictures must be judged apart for it to tell them.
    """
    variance = features.var(axis=0)
    spread = jnp.mean(jnp.sqrt(variance + 1e-8))
    column = jnp.broadcast_to(spread, (features.shape[0], 1))
    return jnp.concatenate([features, column], axis=1)


def upsample(x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 C"]:
    """Nearest neighbour, twice the side."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(
        b, 2 * h, 2 * w, c
    )


def enlarge(x: Float[AnyArray, "B H W C"], side: int) -> Float[Array, "B H2 W2 C"]:
    """Nearest neighbour to `side` pixels, x itself where it has them. Raises UserError unless they are a multiple of its own."""
    times, rest = divmod(side, x.shape[1])
    if rest:
        raise UserError(
            f"a source of {x.shape[1]} pixels cannot be laid beside a picture of {side}: its side must divide that"
        )
    return jnp.repeat(jnp.repeat(jnp.asarray(x), times, axis=1), times, axis=2)


def pixel_shuffle(x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 C4"]:
    """Twice the side from a quarter of the channels: four groups of C/4 channels become the 2 x 2 pixels of one.

    Shi et al. 2016 (arXiv:1609.05158), eq. 4, in the channel order of TensorFlow's depth_to_space.
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, 2 * h, 2 * w, c // 4)


def downsample(x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 C"]:
    """Mean of 2 x 2 pixels, half the side."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def symmetric_uniform(std: Number) -> Init:
    """Initialiser that draws uniformly on -sqrt(3) std .. sqrt(3) std: mean 0, standard deviation `std`."""

    def draw(key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return std * jax.random.uniform(key, shape, dtype, -(3**0.5), 3**0.5)

    return draw


# name -> std -> initialiser. Only the first three use std, which may be traced. Biases start at zero.
INITS = {
    "normal": nn.initializers.normal,
    # Cut at two std. As in TensorFlow, std is that before the cut; the numbers drawn have 0.88 of it.
    "truncated_normal": nn.initializers.truncated_normal,
    # On -sqrt(3) std .. sqrt(3) std, so that std is theirs: Keras' random_uniform of +-0.05 is 0.05 / sqrt(3).
    "uniform": symmetric_uniform,
    "xavier_uniform": lambda std: nn.initializers.xavier_uniform(),
    "xavier_normal": lambda std: nn.initializers.xavier_normal(),
    "he_normal": lambda std: nn.initializers.he_normal(),
    "orthogonal": lambda std: nn.initializers.orthogonal(),
}
