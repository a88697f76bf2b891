"""DCGAN's relatives in two well-known courses of code: "cmu" and "upsample"."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.models.basic import Image, halvings
from gan_jax.models.kit import (
    DiscriminatorBase,
    GeneratorBase,
    Label,
    float32,
    leaky,
)
from gan_jax.models.layers import upsample
from gan_jax.types import ModelSpec, Scores


class CMUGenerator(GeneratorBase):
    """Two dense layers, then transposed convolutions and a last 3x3 one (CMU 11-785, recitation 10, GANs).

    Norm and LeakyReLU 0.01 after all but the last. Published is w = `width` = 32, kernel 4: dense 32w = 1024,
    then at 28 pixels 7x7x4w, 2w, w, picture; at 32 (their CIFAR-10) 2x2x16w, 8w, 4w, 2w, w, picture.
    """

    @nn.compact
    def __call__(
        self, z: Float[Array, "B latent"], label: Label = None, *, train: bool
    ) -> Image:
        """Map z [B, latent_dim] to pictures [B,H,W,C] in -1..1, float32.

        The original's sigmoid, rescaled from 0..1 to -1..1, is tanh(x / 2).
        """
        spec, kit = self.spec, self.kit(label, train)
        start, doublings = _cmu_sides(spec.image_shape)
        widths = [spec.width * 2**i for i in reversed(range(doublings + 1))]
        x = kit.dense(32 * spec.width, kit.bias)(kit.enter(z))
        x = kit.dense(start * start * widths[0], kit.bias)(_slight(kit.norm(x)))
        x = _slight(kit.norm(x.reshape(-1, start, start, widths[0])))
        for width in widths[1:]:
            x = _slight(kit.norm(kit.up(width, kit.bias)(x)))
        x = float32(kit.conv(spec.image_shape[-1], True, 3, 1)(x))
        return jnp.tanh(x / 2)


class CMUDiscriminator(DiscriminatorBase):
    """Strided convolutions, a dense layer, one logit (CMU 11-785, recitation 10, GANs).

    Norm, on the first layer too, and LeakyReLU 0.01 after all but the logit. Published is w = `disc_width` = 32,
    kernel 4: 28 pixels 2w, 4w, dense 32w = 1024; 32 pixels 2w, 4w, 8w, 16w, dense 32w. Their WGAN-GP has no norm.
    """

    @nn.compact
    def __call__(self, x: Image, label: Label = None, *, train: bool) -> Scores:
        """Score pictures [B,H,W,C]: logits [B], features [B, 32 disc_width]."""
        spec, kit = self.spec, self.kit(label, train)
        x = kit.enter(x)
        for i in range(_cmu_sides(spec.image_shape)[1]):
            x = kit.conv(2 * _grown(spec, i), kit.bias)(x)
            x = kit.dropout(_slight(kit.norm(x)))
        x = kit.dense(32 * _grown(spec, 0), kit.bias)(x.reshape(x.shape[0], -1))
        return kit.scores(kit.dropout(_slight(kit.norm(x))))


class UpsampleGenerator(GeneratorBase):
    """Dense to s0 x s0, then nearest-neighbour doubling and a convolution, halving the width: the Keras recipe.

    ReLU after the dense layer, norm and ReLU after the convolutions, then one more to the picture and tanh. In
    place of transposed convolutions, as Odena et al. 2016, "Deconvolution and checkerboard artifacts". Published
    is 28 pixels, w = `width` = 64, kernel 3: dense 7x7x2w, convolutions 2w, w, picture.
    """

    @nn.compact
    def __call__(
        self, z: Float[Array, "B latent"], label: Label = None, *, train: bool
    ) -> Image:
        """Map z [B, latent_dim] to pictures [B,H,W,C] in -1..1, float32."""
        spec, kit = self.spec, self.kit(label, train)
        start, doublings = halvings(spec.image_shape)
        widths = [spec.width * 2**i for i in reversed(range(doublings))]
        x = nn.relu(kit.dense(start * start * widths[0], True)(kit.enter(z)))
        x = x.reshape(-1, start, start, widths[0])
        for width in widths:
            x = nn.relu(kit.norm(kit.conv(width, kit.bias, stride=1)(upsample(x))))
        return jnp.tanh(float32(kit.conv(spec.image_shape[-1], True, stride=1)(x)))


class UpsampleDiscriminator(DiscriminatorBase):
    """Strided convolutions down to 2 x 2, doubling the width, then one dense logit: the Keras recipe.

    Norm, on the first layer too, LeakyReLU 0.2, then dropout. An odd side is padded as TensorFlow's "SAME".
    Published is 28 pixels, w = `disc_width` = 32, kernel 3: 14x14xw, 7x7x2w, 4x4x4w, 2x2x8w; w throughout if
    `constant_width` (w = 128 in their text).
    """

    @nn.compact
    def __call__(self, x: Image, label: Label = None, *, train: bool) -> Scores:
        """Score pictures [B,H,W,C]: logits [B], features [B, 2*2*last width]."""
        spec, kit = self.spec, self.kit(label, train)
        x, i = kit.enter(x), 0
        while x.shape[1] > 2:
            if x.shape[1] % 2:
                odd = (1, 0) if spec.kernel % 2 else (0, 1)
                x = jnp.pad(x, ((0, 0), odd, odd, (0, 0)))
            x = kit.conv(_grown(spec, i), kit.bias)(x)
            x = kit.dropout(leaky(kit.norm(x)))
            i += 1
        return kit.scores(x.reshape(x.shape[0], -1))


def _slight(x: Array) -> Array:
    return nn.leaky_relu(x, 0.01)


def _grown(spec: ModelSpec, depth: int) -> int:
    """Width of the discriminator's layer `depth`: doubling, or the same if the spec says so."""
    return (spec.disc_width or spec.width) * (1 if spec.constant_width else 2**depth)


def _cmu_sides(image_shape: tuple[int, ...]) -> tuple[int, int]:
    """(First side, doublings): as dcgan, but from 2 and not from 4: 28 (7, 2), 32 (2, 4), 48 (3, 4)."""
    side, count = halvings(image_shape)
    return (2, count + 1) if side == 4 else (side, count)
