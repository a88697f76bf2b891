"""The first GANs: multi-layer perceptron (Goodfellow et al. 2014) and DCGAN (Radford et al. 2015)."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.models.kit import (
    DiscriminatorBase,
    GeneratorBase,
    Label,
    float32,
    leaky,
)
from gan_jax.types import Scores, UserError

Image = Float[Array, "B H W C"]
Source = Float[Array, "B h w c"]
Example = Float[Array, "B H W C"] | Float[Array, "B D"]


class MLPGenerator(GeneratorBase):
    """`depth` hidden layers of `width` (dense, norm, ReLU), then a linear layer; tanh if it makes images."""

    @nn.compact
    def __call__(
        self, z: Float[Array, "B latent"], label: Label = None, *, train: bool
    ) -> Example:
        """Map z [B, latent_dim] to images [B,H,W,C] in -1..1 or points [B,D], float32."""
        spec, kit = self.spec, self.kit(label, train)
        x = kit.enter(z)
        for _ in range(spec.depth):
            x = nn.relu(kit.norm(kit.dense(spec.width, kit.bias)(x)))
        x = float32(kit.dense(math.prod(spec.image_shape), True)(x))
        x = x.reshape(x.shape[0], *spec.image_shape)
        return jnp.tanh(x) if len(spec.image_shape) == 3 else x


class MLPDiscriminator(DiscriminatorBase):
    """`depth` hidden layers of `disc_width` (dense, norm on all but the first, LeakyReLU 0.2), then one logit."""

    @nn.compact
    def __call__(self, x: Example, label: Label = None, *, train: bool) -> Scores:
        """Score x: logits [B], features [B, disc_width]."""
        spec, kit = self.spec, self.kit(label, train)
        x = kit.enter(x.reshape(x.shape[0], -1))
        for i in range(spec.depth):
            x = kit.dense(spec.disc_width or spec.width, kit.bias or i == 0)(x)
            x = leaky(kit.norm(x) if i else x)
            x = kit.dropout(x)
        return kit.scores(x)


class DCGANGenerator(GeneratorBase):
    """Dense to s0 x s0, then transposed convolutions that double it, halving the width (arXiv:1511.06434).

    Norm and ReLU after all but the last layer, which ends in tanh. 64 pixels: 4x4x8w, 4w, 2w, w, image.
    """

    @nn.compact
    def __call__(
        self, z: Float[Array, "B latent"], label: Label = None, *, train: bool
    ) -> Image:
        """Map z [B, latent_dim] to images [B,H,W,C] in -1..1, float32."""
        spec, kit = self.spec, self.kit(label, train)
        start, doublings = halvings(spec.image_shape)
        widths = [spec.width * 2**i for i in reversed(range(doublings))]
        x = kit.dense(start * start * widths[0], kit.bias)(kit.enter(z))
        x = nn.relu(kit.norm(x.reshape(-1, start, start, widths[0])))
        for width in widths[1:]:
            x = nn.relu(kit.norm(kit.up(width, kit.bias)(x)))
        return jnp.tanh(float32(kit.up(spec.image_shape[-1], True)(x)))


class DCGANDiscriminator(DiscriminatorBase):
    """Strided convolutions that halve the image, doubling the width, then one dense logit (arXiv:1511.06434).

    Norm on all but the first; LeakyReLU 0.2. 64 pixels: w, 2w, 4w, 8w, or w throughout if `constant_width`.
    """

    @nn.compact
    def __call__(self, x: Image, label: Label = None, *, train: bool) -> Scores:
        """Score images [B,H,W,C]: logits [B], features [B, s0*s0*last width]."""
        spec, kit = self.spec, self.kit(label, train)
        x = kit.enter(x)
        for i in range(halvings(spec.image_shape)[1]):
            doubled = 1 if spec.constant_width else 2**i
            width = (spec.disc_width or spec.width) * doubled
            x = kit.conv(width, kit.bias or i == 0)(x)
            x = leaky(kit.norm(x) if i else x)
            x = kit.dropout(x)
        return kit.scores(x.reshape(x.shape[0], -1))


def halvings(image_shape: tuple[int, ...]) -> tuple[int, int]:
    """Halve the side while it is even and more than 4: (what is left, how often): 64 (4, 4), 28 (7, 2).

    Raises ValueError for what is not a square image with an even side of at least 8.
    """
    sides: Any = image_shape[:-1]
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] < 8 or sides[0] % 2:
        shape = "x".join(map(str, image_shape))
        raise UserError(
            f"this network cannot make {shape}: it needs square images whose side is even and at least 8 "
            "(28, 32, 48, 64, 96, 128, ...)"
        )
    side, count = sides[0], 0
    while side % 2 == 0 and side > 4:
        side, count = side // 2, count + 1
    return side, count
