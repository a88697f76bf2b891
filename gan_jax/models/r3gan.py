"""R3GAN: a ResNet without normalisation, of grouped bottlenecks with fix-up initialisation."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from gan_jax.models.basic import Image, halvings
from gan_jax.models.conv import CONV
from gan_jax.models.kit import (
    DiscriminatorBase,
    GeneratorBase,
    Kit,
    Label,
    float32,
    leaky,
)
from gan_jax.models.layers import Conv, Dense, Init
from gan_jax.models.resnet import attend, check_attention
from gan_jax.types import ModelSpec, Scores, UserError, lookup

_BLOCKS = 2  # a stage
_EXPANSION = 2  # of the channels within a block
_GROUP = 16  # channels of a group of the 3x3 convolution
_CAP = 8  # the deepest stages are at most that many times as wide as the first


class R3GANGenerator(GeneratorBase):
    """A learned s0 x s0 picture scaled by a linear map of z, then stages of residual blocks, each twice the side.

    Huang et al. 2024 (arXiv:2501.05441), section 3.3, and the authors' code (config E). `width` w is that of the
    largest picture; each stage towards s0 is twice as wide, 8w at most. Published: w = 96 at 256 pixels; w = 768
    with `constant_width`, which here is of both networks, at 32. The start is 4x4, or what halving leaves (7x7 for
    28 pixels). `spec.init` has no say: kernels are N(0, gain^2 / inputs), the last of each block 0. Raises UserError
    for norms and spectral normalisation, which this network has none of.
    """

    @nn.compact
    def __call__(
        self, z: Float[Array, "B latent"], label: Label = None, *, train: bool
    ) -> Image:
        """Map z [B, latent_dim] to pictures [B,H,W,C], float32: linear as published, so not bounded by -1..1."""
        spec, kit = self.spec, self.kit(label, train)
        start, widths = _stages(spec, kit, spec.width)
        kit.init = _msr()
        unit = nn.initializers.normal(1.0)
        basis = self.param("basis", unit, (start, start, widths[-1]), jnp.float32)
        scale = Dense(widths[-1], False, _msr(), kit.dtype)(kit.enter(z))
        x = basis.astype(kit.dtype) * scale[:, None, None]
        for i, width in enumerate(reversed(widths)):
            x = _bilinear_up(_to_width(kit, x, width)) if i else x
            x = attend(kit, _blocks(kit, x, len(widths)))
        return float32(_pointwise(kit, spec.image_shape[-1], _msr())(x))


class R3GANDiscriminator(DiscriminatorBase):
    """The generator's stages the other way round, then a learned sum over positions and one logit.

    Huang et al. 2024 (arXiv:2501.05441), section 3.3. Widths as in the generator, of `disc_width`. Dropout, which
    is not of the paper, is after each stage.
    """

    @nn.compact
    def __call__(self, x: Image, label: Label = None, *, train: bool) -> Scores:
        """Score pictures [B,H,W,C]: logits [B], features [B, last width]."""
        spec, kit = self.spec, self.kit(label, train)
        start, widths = _stages(spec, kit, spec.disc_width or spec.width)
        kit.init = _msr()
        x = _pointwise(kit, widths[0], _msr())(kit.enter(x))
        for i, width in enumerate(widths):
            x = _to_width(kit, _bilinear_down(x), width) if i else x
            x = kit.dropout(attend(kit, _blocks(kit, x, len(widths))))
        draw = nn.initializers.normal(1 / start)
        basis = self.param("basis", draw, (start, start, widths[-1]), jnp.float32)
        return kit.scores(jnp.einsum("bhwc,hwc->bc", x, basis.astype(x.dtype)))


class GroupConv(nn.Module):
    """3x3 convolution within groups of channels, "SAME": [B,H,W,C] -> [B,H,W,C]; kernel [3,3,group,C], bias [C]."""

    group: int
    kernel_init: Init
    dtype: type
    impl: str = "fast"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        """Convolve."""
        c = x.shape[-1]
        w = self.param("kernel", self.kernel_init, (3, 3, self.group, c), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (c,), jnp.float32)
        conv = lookup("impl", CONV, self.impl)
        x = conv.grouped(x.astype(self.dtype), w.astype(self.dtype))
        return x + bias.astype(self.dtype)


def _blocks(kit: Kit, x: Array, stages: int) -> Array:
    """One stage's residual blocks: 1x1 to twice the channels, 3x3 within groups, 1x1 back; each is x at first.

    Biases and LeakyReLU 0.2 after the first two, whose kernels shrink with the number of blocks L as in fix-up
    (Zhang et al. 2019, arXiv:1901.09321): for 3 layers a block by L^(-1/4).
    """
    gain = math.sqrt(2 / (1 + 0.2**2)) * (stages * _BLOCKS) ** -0.25
    width = x.shape[-1]
    hidden = _EXPANSION * width
    group = math.gcd(_GROUP, hidden)
    for _ in range(_BLOCKS):
        y = leaky(_pointwise(kit, hidden, _msr(gain), True)(x))
        y = leaky(GroupConv(group, _msr(gain), kit.dtype, kit.spec.impl)(y))
        x = x + _pointwise(kit, width, nn.initializers.zeros)(y)
    return x


def _pointwise(kit: Kit, features: int, init: Init, bias: bool = False) -> Conv:
    return Conv(features, 1, 1, bias, init, kit.dtype, kit.spec.impl)


def _to_width(kit: Kit, x: Array, width: int) -> Array:
    return x if x.shape[-1] == width else _pointwise(kit, width, _msr())(x)


def _msr(gain: float = 1.0) -> Init:
    """Kernels of N(0, gain^2 / number of inputs)."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal")


def _bilinear_up(x: Array) -> Array:
    """Twice the side: zeros between pixels, then the filter [1, 3, 3, 1] / 4 along each axis, zeros outside.

    [1, 3, 3, 1] is the authors' [1, 2, 1] over doubled pixels; away from the edges it is bilinear interpolation.
    """
    for axis in (1, 2):
        pair = [0.75 * x + 0.25 * _shift(x, axis, by) for by in (1, -1)]
        shape = [n * (1 + (i == axis)) for i, n in enumerate(x.shape)]
        x = jnp.stack(pair, axis + 1).reshape(shape)
    return x


def _bilinear_down(x: Array) -> Array:
    """Half the side, by the filter [1, 3, 3, 1] / 8 along each axis: a quarter of the transpose of `_bilinear_up`."""
    for axis in (1, 2):
        halved = [n // (1 + (i == axis)) for i, n in enumerate(x.shape)]
        split = x.reshape(*halved[: axis + 1], 2, *halved[axis + 1 :])
        low, high = (lax.index_in_dim(split, i, axis + 1, False) for i in (0, 1))
        outer = _shift(high, axis, 1) + _shift(low, axis, -1)
        x = 0.375 * (low + high) + 0.125 * outer
    return x


def _shift(x: Array, axis: int, by: int) -> Array:
    """Move x `by` pixels along the axis, zeros coming in."""
    edges = [(by, -by, 0) if i == axis else (0, 0, 0) for i in range(x.ndim)]
    return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _stages(spec: ModelSpec, kit: Kit, width: int) -> tuple[int, list[int]]:
    """Side of the smallest stage, and the stages' widths from the largest picture on. Raises UserError, see above."""
    norms = {spec.norm, spec.disc_norm or spec.norm} - {"none"}
    if norms or kit.condition.norm:
        raise UserError(
            f"r3gan has no normalisation, so norm={spec.norm}, disc_norm={spec.disc_norm!r}, "
            f"condition={spec.condition} cannot be; set --config.model.norm=none --config.model.disc_norm='', "
            "and model.condition to one without norms (concat)"
        )
    if spec.gen_spectral or spec.disc_spectral:
        raise UserError(
            "r3gan starts with kernels of zeros, which have no spectral norm to divide by; set "
            "--config.model.gen_spectral=false --config.model.disc_spectral=false"
        )
    start, doublings = halvings(spec.image_shape)
    check_attention(spec, [start << i for i in range(doublings + 1)])
    grown = [
        1 if spec.constant_width else min(2**i, _CAP) for i in range(doublings + 1)
    ]
    return start, [width * factor for factor in grown]
