"""The ResNet of WGAN-GP and SNGAN, with the self-attention block of SAGAN for any network."""

from collections.abc import Iterable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.models.basic import Image
from gan_jax.models.kit import DiscriminatorBase, GeneratorBase, Kit, Label, float32
from gan_jax.models.layers import downsample, upsample
from gan_jax.types import ModelSpec, Scores, UserError

_CAP = 16  # the deepest blocks are at most that many times as wide as the narrowest


class _Plan(NamedTuple):
    """Blocks at one size of picture: G doubles `start` `ups` times; D halves `downs` times, then goes on flat."""

    start: int
    ups: int
    downs: int
    flats: int
    constant: bool = False  # blocks of one width; else it doubles with each halving


class ResNetGenerator(GeneratorBase):
    """Dense to s0 x s0, residual blocks that double it, then norm, ReLU, 3x3 convolution, tanh.

    Miyato et al. 2018 (arXiv:1802.05957), appendix B.4; 32 pixels as Gulrajani et al. 2017 (arXiv:1704.00028).
    `width` w is that of the last block. Up to 32 pixels every block has it (published: w = 256); above, each
    earlier block is twice as wide, 16w at most (published: w = 64; 64 pixels 4x4x16w, 8w, 4w, 2w, w). Kernels are
    3x3 whatever `spec.kernel`. Sizes: 8, 16, 28, 32, 48, 64, 96, 128.
    """

    @nn.compact
    def __call__(
        self, z: Float[Array, "B latent"], label: Label = None, *, train: bool
    ) -> Image:
        """Map z [B, latent_dim] to pictures [B,H,W,C] in -1..1, float32."""
        spec, kit = self.spec, self.kit(label, train)
        plan = _plan(spec)
        widths = [
            _grown(spec.width, i, plan.constant) for i in reversed(range(plan.ups + 1))
        ]
        # A bias for each position is not what the norm subtracts, so this one stays.
        x = kit.dense(plan.start * plan.start * widths[0], True)(kit.enter(z))
        x = x.reshape(-1, plan.start, plan.start, widths[0])
        for width in widths[1:]:
            x = attend(kit, _up_block(kit, x, width))
        x = kit.conv(spec.image_shape[-1], True, 3, 1)(nn.relu(kit.norm(x)))
        return jnp.tanh(float32(x))


class ResNetDiscriminator(DiscriminatorBase):
    """Residual blocks that halve the picture, then flat ones, ReLU, a sum over positions, one logit.

    Miyato et al. 2018 (arXiv:1802.05957), appendix B.4. `disc_width` w is that of the first block: up to 32 pixels
    of all four (published: w = 128), or anywhere with `constant_width`; above, each block is twice as wide as the
    one before, 16w at most (published: w = 64; 64 pixels w, 2w, 4w, 8w, 16w). A norm is in all blocks but the first,
    as in WGAN-GP (layer norm); SNGAN has none. Dropout is after all blocks but the first (Wei et al. 2018,
    arXiv:1803.01541).
    """

    @nn.compact
    def __call__(self, x: Image, label: Label = None, *, train: bool) -> Scores:
        """Score pictures [B,H,W,C]: logits [B], features [B, last width]."""
        spec, kit = self.spec, self.kit(label, train)
        plan = _plan(spec)
        constant = plan.constant or spec.constant_width
        x = kit.enter(x)
        for i in range(plan.downs + plan.flats):
            width = _grown(spec.disc_width or spec.width, i, constant)
            down = i < plan.downs
            x = _down_block(kit, x, width, i == 0, down)
            x = attend(kit, x) if down else x
            x = kit.dropout(x) if i else x
        return kit.scores(float32(nn.relu(x)).sum((1, 2)))


def _up_block(kit: Kit, x: Array, width: int) -> Array:
    """Norm, ReLU, double, convolve, norm, ReLU, convolve; beside a doubled 1x1 convolution of x.

    With a norm no layer has a bias: a constant channel is subtracted by the next norm, also along the shortcut.
    """
    y = kit.conv(width, kit.bias, 3, 1)(upsample(nn.relu(kit.norm(x))))
    y = kit.conv(width, kit.bias, 3, 1)(nn.relu(kit.norm(y)))
    # A 1x1 convolution and doubling are the same in either order; this one is four times cheaper.
    return y + upsample(kit.conv(width, kit.bias, 1, 1)(x))


def _down_block(kit: Kit, x: Array, width: int, first: bool, down: bool) -> Array:
    """ReLU, convolve, ReLU, convolve, halve; beside x, halved and through a 1x1 convolution where it must change.

    The first block takes the picture as it is: no norm, and no ReLU before the first convolution.
    """
    hidden = width if first else x.shape[-1]
    y = x if first else nn.relu(kit.norm(x))
    y = kit.conv(hidden, kit.bias or first, 3, 1)(y)
    y = kit.conv(width, True, 3, 1)(nn.relu(y if first else kit.norm(y)))
    if down:
        x, y = downsample(x), downsample(y)
    if down or x.shape[-1] != width:
        x = kit.conv(width, True, 1, 1)(x)
    return x + y


def attend(kit: Kit, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Self-attention if the side of x is `spec.attention`, else x as it is: call it within `nn.compact`.

    Zhang et al. 2019 (arXiv:1805.08318), section 3, with the sizes of the authors' code: queries and keys of C/8
    channels, values of C/2, keys and values max-pooled 2x2. It is x + gamma * attention with gamma 0 at first.
    """
    b, height, wide, c = x.shape
    if height != kit.spec.attention:
        return x
    small, half = max(c // 8, 1), max(c // 2, 1)
    query = kit.conv(small, False, 1, 1)(x).reshape(b, height * wide, small)
    key = _pooled(kit.conv(small, False, 1, 1)(x))
    value = _pooled(kit.conv(half, False, 1, 1)(x))
    similarity = float32(jnp.einsum("bqc,bkc->bqk", query, key))
    weights = nn.softmax(similarity).astype(value.dtype)
    seen = jnp.einsum("bqk,bkc->bqc", weights, value).reshape(b, height, wide, half)
    seen = kit.conv(c, False, 1, 1)(seen)
    return x + Gamma()().astype(x.dtype) * seen


class Gamma(nn.Module):
    """The weight of an attention block, a scalar that is 0 at first."""

    @nn.compact
    def __call__(self) -> Float[Array, ""]:
        """The scalar."""
        return self.param("gamma", nn.initializers.zeros, (), jnp.float32)


def _pooled(x: Array) -> Array:
    """Maximum of 2 x 2 pixels, positions in a row: [B,H,W,C] -> [B,H*W/4,C]."""
    b, height, wide, c = x.shape
    return x.reshape(b, height // 2, 2, wide // 2, 2, c).max((2, 4)).reshape(b, -1, c)


def check_attention(spec: ModelSpec, sides: Iterable[int]) -> None:
    """Raise UserError unless `spec.attention` is 0 or one of `sides`, those that G and D both have (even ones count)."""
    even = [side for side in sides if side % 2 == 0]
    if spec.attention and spec.attention not in even:
        shape = "x".join(map(str, spec.image_shape))
        raise UserError(
            f"model.attention is {spec.attention}, but {spec.name} at {shape} has no such picture in both networks; "
            f"sides that it has: {', '.join(map(str, even)) or 'none'}; 0: no attention"
        )


def _plan(spec: ModelSpec) -> _Plan:
    """The blocks for the spec's pictures. Raises UserError for another size, or an attention that nothing would have."""
    sides = spec.image_shape[:-1]
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] not in _PLANS:
        shape = "x".join(map(str, spec.image_shape))
        raise UserError(
            f"resnet cannot make {shape}: it needs square images of "
            f"{', '.join(map(str, _PLANS))} pixels; set --config.data.resolution"
        )
    side = sides[0]
    plan = _PLANS[side]
    check_attention(spec, [side >> i for i in range(1, min(plan.ups, plan.downs + 1))])
    return plan


def _grown(width: int, doublings: int, constant: bool) -> int:
    return width if constant else width * min(2**doublings, _CAP)


# side of the picture -> blocks. 32, 48, 64 and 128 are published; the others are made alike.
_PLANS = {
    8: _Plan(4, 1, 2, 2, constant=True),
    16: _Plan(4, 2, 2, 2, constant=True),
    28: _Plan(7, 2, 2, 2, constant=True),
    32: _Plan(4, 3, 2, 2, constant=True),
    48: _Plan(6, 3, 4, 1),
    64: _Plan(4, 4, 5, 0),
    96: _Plan(6, 4, 5, 1),
    128: _Plan(4, 5, 5, 1),
}
