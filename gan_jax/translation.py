"""Objectives of image-to-image translation: a game whose G is fed pictures, and from pairs (pix2pix, SRGAN).

G is fed the source pictures, float32 [B, h, w, c] in -1..1, in place of latents. Every term is a mean over all
elements of a batch of pictures in -1..1.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.adversarial import Adversarial, Made
from gan_jax.auxiliary import Auxiliary, Term, Terms, nothing
from gan_jax.judging import Context
from gan_jax.models.layers import enlarge
from gan_jax.types import AnyArray, Batch, ModelSpec, Pair, Recipe, UserError

Pictures = Float[AnyArray, "B H W C"]


def l1(x: Pictures, y: Pictures) -> Float[Array, ""]:
    """mean |x - y| over all elements."""
    return jnp.mean(jnp.abs(x - y))


def l2(x: Pictures, y: Pictures) -> Float[Array, ""]:
    """mean (x - y)^2 over all elements, without a half."""
    return jnp.mean((x - y) ** 2)


def stay_near(spec: ModelSpec) -> Terms:
    """G minimises loss_args.l1 mean |G(s) - y| + loss_args.l2 mean (G(s) - y)^2 beside its game.

    L1: Isola et al. 2017 (arXiv:1611.07004), eq. 3 and 4, weight 100. L2: the content loss of SRGAN-MSE, Ledig et
    al. 2017 (arXiv:1609.04802), eq. 3 and 4, weight 1 where the adversarial loss has 1e-3.
    """

    def gen(context: Context, of_fake: Any, made: Made) -> Term:
        weights, real = context.hyper["loss_args"], context.batch.image
        terms = {"l1": l1(made.image, real), "l2": l2(made.image, real)}
        total = sum(weights[name] * value for name, value in terms.items())
        return total, {f"loss/{name}": value for name, value in terms.items()}

    return Terms(nothing(spec).disc, gen)


class Mapped(Adversarial):
    """source -> G(source) against D, which is shown single pictures."""

    def __init__(
        self,
        auxiliary: Auxiliary,
        recipe: Recipe,
        nets: Pair,
        gather: Callable[[Any], Any],
    ):
        """Raise UserError where the examples have no source pictures."""
        if not recipe.model.source_shape:
            raise UserError(
                f"objective {recipe.objective!r} turns source pictures into others, and these data have none: choose a "
                "data.source with pairs or two domains, or another objective"
            )
        super().__init__(auxiliary, recipe, nets, gather)

    def blank(self, batch: Batch) -> Any:
        """A blank source."""
        return batch.source

    def inputs(self, key: Any, batch: Batch) -> Any:
        """The source pictures, and no others near them."""
        return batch.source, None


class Paired(Mapped):
    """G turns each source picture into its own image: pix2pix (Isola et al. 2017, arXiv:1611.07004), SRGAN.

    With model.disc_source D is shown source and picture as channels of one, the source first, enlarged to the picture's
    size by nearest neighbour; penalties, augmentation and noise act on both. The paper halves D's loss, which Adam
    does not feel but for its eps.
    """

    def __init__(self, recipe: Recipe, nets: Pair, gather: Callable[[Any], Any]):
        """Look everything up that the recipe names."""
        super().__init__(Auxiliary(stay_near), recipe, nets, gather)

    def judged(self, batch: Batch, *pictures: Any) -> list[Any]:
        """Pictures as D judges them: behind their source where D is shown it."""
        spec = self.recipe.model
        if not spec.disc_source:
            return super().judged(batch, *pictures)
        source = enlarge(batch.source, spec.image_shape[0])
        return [jnp.concatenate([source, x], axis=-1) for x in pictures]
