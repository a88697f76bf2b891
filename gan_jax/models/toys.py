"""Players of a few numbers, whose game has closed forms: Dirac-GAN and the Gaussian game. They make and judge points [B, D].

Named in a config as your own networks are: --config.model.name=gan_jax.models.toys:DIRAC.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.models.kit import DiscriminatorBase, GeneratorBase, Label
from gan_jax.types import Pair, Scores

Points = Float[Array, "B D"]
Latents = Float[Array, "B latent"]


class DiracGenerator(GeneratorBase):
    """One point theta [D], whatever z is, first at 1 (Mescheder et al. 2018, arXiv:1801.04406, definition 2.1)."""

    @nn.compact
    def __call__(self, z: Latents, label: Label = None, *, train: bool) -> Points:
        """Return theta, once a latent."""
        del label, train
        shape = self.spec.image_shape
        theta = self.param("theta", nn.initializers.ones, shape)
        return jnp.broadcast_to(theta, (z.shape[0], *shape))


class DiracDiscriminator(DiscriminatorBase):
    """A linear D without bias, D(x) = <psi, x>, psi first at 1 (the same definition)."""

    @nn.compact
    def __call__(self, x: Points, label: Label = None, *, train: bool) -> Scores:
        """Score points: logits [B], features the points."""
        del label, train
        psi = self.param("psi", nn.initializers.ones, self.spec.image_shape)
        return Scores(x @ psi, x)


class GaussianGenerator(GeneratorBase):
    """x = z A + b with A [latent_dim, D] first the identity, b [D] first 0: the Gaussian N(b, A^T A)."""

    @nn.compact
    def __call__(self, z: Latents, label: Label = None, *, train: bool) -> Points:
        """Map z to points."""
        del label, train
        (size,) = self.spec.image_shape
        a = self.param("a", lambda key, *shape: jnp.eye(*shape), z.shape[1], size)
        return z @ a + self.param("b", nn.initializers.zeros, (size,))


class GaussianDiscriminator(DiscriminatorBase):
    """D(x) = <w, x> + x^T W x, both first 0: it sees the mean and the second moments, and nothing else.

    With the Wasserstein loss it is the linear quadratic game of Nagarajan and Kolter 2017 (arXiv:1706.04156).
    """

    @nn.compact
    def __call__(self, x: Points, label: Label = None, *, train: bool) -> Scores:
        """Score points: logits [B], features the points."""
        del label, train
        size = x.shape[1]
        w = self.param("w", nn.initializers.zeros, (size,))
        square = self.param("W", nn.initializers.zeros, (size, size))
        return Scores(x @ w + jnp.sum((x @ square) * x, axis=1), x)


DIRAC = Pair(DiracGenerator, DiracDiscriminator)
GAUSSIAN = Pair(GaussianGenerator, GaussianDiscriminator)
