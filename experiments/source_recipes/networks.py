"""The one-hidden-layer GAN's networks, whose pixels are in 0..1 while G ends in tanh: config.model.name names them by their module."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.models.kit import DiscriminatorBase, GeneratorBase, Label, float32
from gan_jax.types import Pair, Scores


class OneHiddenGenerator(GeneratorBase):
    """Dense `width`, ReLU, dense, tanh. A tanh of t is a pixel of t on 0..1: 2 t - 1 here, so in -3..1, black below -1."""

    @nn.compact
    def __call__(self, z: Any, label: Label = None, *, train: bool) -> Any:
        """Map z [B, latent_dim] to pictures [B, H, W, C], float32."""
        spec, kit = self.spec, self.kit(label, train)
        x = nn.relu(kit.dense(spec.width, True)(kit.enter(z)))
        x = float32(kit.dense(math.prod(spec.image_shape), True)(x))
        return 2 * jnp.tanh(x).reshape(-1, *spec.image_shape) - 1


class OneHiddenDiscriminator(DiscriminatorBase):
    """Pixels back to 0..1, dense `width`, ReLU, one logit."""

    @nn.compact
    def __call__(self, x: Any, label: Label = None, *, train: bool) -> Scores:
        """Score pictures [B, H, W, C]: logits [B], features [B, width]."""
        spec, kit = self.spec, self.kit(label, train)
        x = kit.enter((x.reshape(x.shape[0], -1) + 1) / 2)
        x = nn.relu(kit.dense(spec.disc_width or spec.width, True)(x))
        return kit.scores(kit.dropout(x))


ONE_HIDDEN_LAYER = Pair(OneHiddenGenerator, OneHiddenDiscriminator)
