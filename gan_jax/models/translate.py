"""Networks that turn pictures into pictures: pix2pix's U-Net, CycleGAN's ResNet, and the PatchGAN that judges both.

G is fed the source pictures [B,h,w,c] in -1..1. Kernels have the published sizes whatever `spec.kernel`.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from gan_jax.models.basic import Image, Source
from gan_jax.models.kit import (
    DiscriminatorBase,
    GeneratorBase,
    Kit,
    Label,
    float32,
    leaky,
)
from gan_jax.models.layers import Conv, enlarge
from gan_jax.types import ModelSpec, Scores, UserError

_CAP = 8  # the deepest layers are that many times as wide as the outermost
_DROPPED = 3  # of the decoder's layers, from the innermost one


class UNetGenerator(GeneratorBase):
    """Convolutions down to 1 x 1, transposed ones back up, each layer also fed its mirror image's output.

    Isola et al. 2017 (arXiv:1611.07004), section 6.1.1, 4x4 and stride 2 throughout: w, 2w, 4w, 8w, 8w, ... down, with
    LeakyReLU 0.2 and a norm on all but the first and the innermost; back up with ReLU and a norm, tanh at the end.
    Dropout `model.gen_dropout` (0.5 there) follows the first three norms of the way up, in training only: the paper
    keeps it, and the batch's statistics, when it samples. Published are w = `width` = 64 and 256 pixels; any power of
    two from 8 on.
    """

    @nn.compact
    def __call__(self, source: Source, label: Label = None, *, train: bool) -> Image:
        """Map pictures [B,h,w,c], enlarged where they are smaller, to pictures [B,H,W,C] in -1..1, float32."""
        spec, kit = self.spec, self.kit(label, train)
        side = _square(spec)
        if side & (side - 1) or side < 8:
            raise UserError(
                f"pix2pix halves pictures down to one pixel: their side is a power of two from 8 on, not {side}; set "
                "--config.data.resolution=32"
            )
        x, kept = enlarge(source, side), []
        last = side.bit_length() - 2
        for i in range(last + 1):
            outer = i in (0, last)
            x = kit.conv(_grown(spec.width, i), kit.bias or outer, 4)(
                leaky(x) if i else x
            )
            x = x if outer else kit.norm(x)
            kept.append(x)
        for i in reversed(range(last)):
            x = kit.norm(kit.up(_grown(spec.width, i), kit.bias, 4)(nn.relu(x)))
            x = kit.dropout(x) if last - i <= _DROPPED else x
            x = jnp.concatenate([x, kept[i]], axis=-1)
        return jnp.tanh(float32(kit.up(spec.image_shape[-1], True, 4)(nn.relu(x))))


class ResNetTranslator(GeneratorBase):
    """A 7x7 convolution, two halvings, `depth` residual blocks, two doublings, a 7x7 convolution, tanh.

    Johnson et al. 2016 (arXiv:1603.08155) as in Zhu et al. 2017 (arXiv:1703.10593), section 7.2: c7s1-w, d2w, d4w,
    residual blocks of 4w, u2w, uw, c7s1-c, with a norm (instance there) and ReLU after all but the last. Published
    are w = `width` = 64 with 6 blocks to 128 pixels, 9 from 256 on. Borders are zeros, where the paper reflects.
    """

    @nn.compact
    def __call__(self, source: Source, label: Label = None, *, train: bool) -> Image:
        """Map pictures [B,h,w,c], enlarged where they are smaller, to pictures [B,H,W,C] in -1..1, float32."""
        spec, kit = self.spec, self.kit(label, train)
        side, w = _square(spec), spec.width
        if side % 4 or side < 8:
            raise UserError(
                f"cyclegan halves pictures twice: their side is a multiple of 4 from 8 on, not {side}; set "
                "--config.data.resolution=32"
            )
        x = enlarge(source, side)
        for width, kernel, stride in ((w, 7, 1), (2 * w, 3, 2), (4 * w, 3, 2)):
            x = nn.relu(kit.norm(kit.conv(width, kit.bias, kernel, stride)(x)))
        for _ in range(spec.depth):
            x = x + _block(kit, x)
        for width in (2 * w, w):
            x = nn.relu(kit.norm(kit.up(width, kit.bias, 3)(x)))
        return jnp.tanh(float32(kit.conv(spec.image_shape[-1], True, 7, 1)(x)))


class PatchDiscriminator(DiscriminatorBase):
    """PatchGAN: one logit for each patch of a picture, from strided 4x4 convolutions without a dense layer.

    Isola et al. 2017 (arXiv:1611.07004), section 6.1.2: halvings w, 2w, 4w, then 8w of stride 1, then the logits, with
    LeakyReLU 0.2 and a norm on all but the first. Three halvings from 64 pixels on, where a logit sees 70 x 70 pixels;
    two at 32 (34 x 34), one below (16 x 16). w = `disc_width`, 64 there. Borders are padded to keep the size, so there
    are (side / 2^halvings)^2 patches: 32 x 32 at 256 pixels, the authors' code has 30 x 30.
    """

    @nn.compact
    def __call__(self, x: Image, label: Label = None, *, train: bool) -> Scores:
        """Score pictures [B,H,W,C]: logits [B * patches], picture by picture; features [B, last map]."""
        spec, kit = self.spec, self.kit(label, train)
        downs = max(1, min(3, _square(spec).bit_length() - 4))
        if x.shape[1] % 2**downs:
            raise UserError(
                f"the patches' discriminator halves pictures {downs} times, and {x.shape[1]} pixels are no multiple of "
                f"{2**downs}; set --config.data.resolution"
            )
        for i in range(downs + 1):
            width = spec.disc_width or spec.width
            width = width if spec.constant_width else _grown(width, i)
            x = kit.conv(width, kit.bias or i == 0, 4, 2 if i < downs else 1)(x)
            x = kit.dropout(leaky(kit.norm(x) if i else x))
        x = float32(x)  # losses exponentiate logits
        head = Conv(1, 4, 1, True, kit.init, impl=spec.impl, spectral=kit.spectral)
        return Scores(head(x).reshape(-1), x.reshape(x.shape[0], -1))


def _block(kit: Kit, x: Array) -> Array:
    """Convolve, norm, ReLU, convolve, norm: what a residual block adds."""
    width = x.shape[-1]
    y = nn.relu(kit.norm(kit.conv(width, kit.bias, 3, 1)(x)))
    return kit.norm(kit.conv(width, kit.bias, 3, 1)(y))


def _grown(width: int, doublings: int) -> int:
    return width * min(2**doublings, _CAP)


def _square(spec: ModelSpec) -> int:
    """The side of the pictures. Raises UserError where they are not square."""
    if len(spec.image_shape) != 3 or spec.image_shape[0] != spec.image_shape[1]:
        shape = "x".join(map(str, spec.image_shape))
        raise UserError(f"{spec.name} makes square pictures, these data are {shape}")
    return spec.image_shape[0]
