"""BEGAN (Berthelot et al. 2017): a discriminator that is an autoencoder, and a generator built as its decoder."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.models.basic import Image, halvings
from gan_jax.models.kit import DiscriminatorBase, GeneratorBase, Kit, Label, float32
from gan_jax.models.layers import upsample
from gan_jax.types import Scores, UserError


class BEGANGenerator(GeneratorBase):
    """The decoder below, of `width` channels, fed z (arXiv:1703.10717, section 3.1 and figure 1).

    Published: no norm, z uniform in -1..1, 64 or 128 of each z and code. spec.kernel is not used: all are 3x3.
    """

    @nn.compact
    def __call__(
        self, z: Float[Array, "B latent"], label: Label = None, *, train: bool
    ) -> Image:
        """Map z [B, latent_dim] to pictures [B,H,W,C], float32; linear, so that only training keeps them in -1..1."""
        kit = self.kit(label, train)
        return _decode(kit, kit.enter(z), self.spec.width)


class BEGANDiscriminator(DiscriminatorBase):
    """Autoencoder: pictures to a code of spec.latent_dim numbers and back (arXiv:1703.10717, section 3.1).

    Encoder: a 3x3 convolution to n = `disc_width` channels, then two at every side, of n, 2n, 3n, ... channels
    (n if `constant_width`), and one of stride 2 of as many between two sides. ELU after each; a norm after all
    but the first if the spec has one (the paper has none); dropout at every side. The code is linear.
    """

    @nn.compact
    def __call__(self, x: Image, label: Label = None, *, train: bool) -> Scores:
        """Score pictures [B,H,W,C]: logits the energy [B], features the code [B, latent_dim].

        The energy is the mean of |x - D(x)| over all H*W*C elements (the paper's L with eta = 1), float32, low
        for real pictures. A label is told to the encoder as channels; they are no part of what is to be rebuilt.
        Raises UserError for what acts on a logit: projection, minibatch layers, `aux`.
        """
        spec, kit = self.spec, self.kit(label, train)
        if kit.condition.project or spec.minibatch != "none" or spec.aux:
            raise UserError(
                f"began answers an energy, not a logit, so it cannot take model.condition {spec.condition!r}, "
                f"model.minibatch {spec.minibatch!r} and {spec.aux} aux outputs: it takes the conditions none, "
                "concat, concat_gen and norm_gen, minibatch none and no aux"
            )
        n = spec.disc_width or spec.width
        h = nn.elu(kit.conv(n, True, 3, 1)(kit.enter(x)))
        for level in range(_sides(spec.image_shape)[1] + 1):
            if level:
                h = _layer(kit, h, h.shape[-1], 2)
            width = n if spec.constant_width else n * (level + 1)
            h = kit.dropout(_layer(kit, _layer(kit, h, width), width))
        code = kit.dense(spec.latent_dim, True)(h.reshape(h.shape[0], -1))
        error = jnp.abs(float32(x) - _decode(kit, code, n))
        return Scores(error.mean((1, 2, 3)), float32(code))


def _decode(kit: Kit, code: Float[Array, "B N"], width: int) -> Image:
    """Dense (linear), then two 3x3 convolutions at every side, nearest-neighbour doubling between, one to a picture.

    `width` channels throughout. The paper's skip connections of section 3.5 are left out.
    """
    side, doublings = _sides(kit.spec.image_shape)
    x = kit.dense(side * side * width, True)(code).reshape(-1, side, side, width)
    for level in range(doublings + 1):
        x = upsample(x) if level else x
        x = _layer(kit, _layer(kit, x, width), width)
    return float32(kit.conv(kit.spec.image_shape[-1], True, 3, 1)(x))


def _layer(
    kit: Kit, x: Float[Array, "B H W C"], width: int, stride: int = 1
) -> Float[Array, "B h w F"]:
    return nn.elu(kit.norm(kit.conv(width, kit.bias, 3, stride)(x)))


def _sides(image_shape: tuple[int, ...]) -> tuple[int, int]:
    """(Smallest side, doublings): the paper's 8 for 8, 16, 32, 64, 128, ...; else as dcgan: 28 (7, 2), 48 (3, 4)."""
    side, count = halvings(image_shape)
    return (8, count - 1) if side == 4 else (side, count)
