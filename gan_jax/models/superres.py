"""SRGAN's networks: SRResNet, which makes pictures larger, and a VGG-like discriminator."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from gan_jax.models.basic import Image, Source
from gan_jax.models.kit import (
    DiscriminatorBase,
    GeneratorBase,
    Label,
    float32,
    leaky,
)
from gan_jax.models.layers import pixel_shuffle
from gan_jax.types import Scores, UserError


class SRResNet(GeneratorBase):
    """Residual blocks at the source's size, then pixel shuffles to that of the picture.

    Ledig et al. 2017 (arXiv:1609.04802), figure 4: 9x9 convolution, PReLU, `depth` blocks (3x3, norm, PReLU, 3x3, norm),
    3x3 and norm beside a skip from before the blocks, for each doubling a 3x3 convolution to 4w channels, shuffled, and
    PReLU, then a 9x9 convolution and tanh. Published are w = `width` = 64, 16 blocks and two doublings. PReLU has one
    slope a layer, 0.25 at first (He et al. 2015, arXiv:1502.01852).
    """

    @nn.compact
    def __call__(self, source: Source, label: Label = None, *, train: bool) -> Image:
        """Map pictures [B,h,w,c] to pictures [B,H,W,C] in -1..1, float32; H/h is a power of two."""
        spec, kit = self.spec, self.kit(label, train)
        doublings = _doublings(source.shape[1:3], spec.image_shape)
        x = start = _prelu(kit.conv(spec.width, True, 9, 1)(source))

        def normed(x: Array) -> Array:
            return kit.norm(kit.conv(spec.width, kit.bias, 3, 1)(x))

        for _ in range(spec.depth):
            x = x + normed(_prelu(normed(x)))
        x = start + normed(x)
        for _ in range(doublings):
            x = _prelu(pixel_shuffle(kit.conv(4 * spec.width, True, 3, 1)(x)))
        return jnp.tanh(float32(kit.conv(spec.image_shape[-1], True, 9, 1)(x)))


class VGGDiscriminator(DiscriminatorBase):
    """Pairs of 3x3 convolutions, the second of stride 2, then a dense layer and one logit.

    Ledig et al. 2017 (arXiv:1609.04802), figure 4: w, w, 2w, 2w, 4w, 4w, 8w, 8w and 16w units, with LeakyReLU 0.2 and a
    norm on all convolutions but the first; w = `disc_width`, 64 there. An odd side is not halved.
    """

    @nn.compact
    def __call__(self, x: Image, label: Label = None, *, train: bool) -> Scores:
        """Score pictures [B,H,W,C]: logits [B], features [B, 16w]."""
        spec, kit = self.spec, self.kit(label, train)
        first = spec.disc_width or spec.width
        for i in range(4):
            width = first if spec.constant_width else first * 2**i
            x = kit.conv(width, kit.bias or i == 0, 3, 1)(x)
            x = leaky(kit.norm(x) if i else x)
            x = leaky(kit.norm(kit.conv(width, kit.bias, 3, 2 - x.shape[1] % 2)(x)))
        x = leaky(kit.dense(16 * first, True)(x.reshape(x.shape[0], -1)))
        return kit.scores(kit.dropout(x))


def _prelu(x: Array) -> Array:
    return nn.PReLU(negative_slope_init=0.25)(x)


def _doublings(source: tuple[int, ...], image_shape: tuple[int, ...]) -> int:
    """How often a source's sides are doubled. Raises UserError unless that leads to the picture's."""
    times = max(image_shape[0] // source[0], 1)
    doublings = times.bit_length() - 1
    if tuple(side << doublings for side in source) != tuple(image_shape[:2]):
        small, large = ("x".join(map(str, x[:2])) for x in (source, image_shape))
        raise UserError(
            f"srgan doubles the side of its sources: {small} does not become {large}"
        )
    return doublings
