"""The Inception-v3 of December 2015 in Flax: the network that FID and IS are defined by.

Szegedy et al. (arXiv:1512.00567) in the form of TensorFlow's graph `classify_image_graph_def.pb`, which Heusel et al.
(arXiv:1706.08500) measure with. It differs from later Inception-v3s: average pools do not count the padding, the
last block has a maximum where the others have a mean, there are 1008 classes and no auxiliary head.

Layers are named as in the PyTorch conversions: {"Mixed_5b": {"branch1x1": {"kernel", "scale", "bias", "mean", "var"}}}.
Layout NHWC and HWIO, inference only, every product at precision "highest".
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Image = Float[Array, "n h w c"]
Maps = Float[Array, "n _ _ _"]  # of the same pictures, in another shape

EPSILON = 1e-3  # of every BatchNorm
_HIGHEST = lax.Precision.HIGHEST
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def _conv(x: Array, w: Array, stride: int, pad: tuple[int, int]) -> Array:
    """Convolution with `pad` zeros at both ends of the two axes."""
    if w.shape[:2] == (1, 1):
        return jnp.matmul(x, w[0, 0], precision=_HIGHEST)
    if pad == (0, 0) and jax.default_backend() == "cpu":
        return _on_cpu(x, w, stride)
    return _xla(x, w, stride, [(p, p) for p in pad])


def _xla(x: Array, w: Array, stride: int, pads: Sequence[tuple[int, int]]) -> Array:
    return lax.conv_general_dilated(
        x, w, (stride, stride), pads, dimension_numbers=_LAYOUT, precision=_HIGHEST
    )


def _on_cpu(x: Array, w: Array, stride: int) -> Array:
    """A 3 x 3 convolution without padding, in the form that XLA runs 1.1 to 3 times as fast on a CPU."""
    if stride == 1:  # without any padding it takes a slow way: add an end, and cut it
        return _xla(x, w, 1, [(0, 1), (0, 1)])[:, :-1, :-1]
    if x.shape[-1] == 3:  # too few channels to be fast: four pixels become one
        kernel = _squares(w.transpose(3, 0, 1, 2)).transpose(1, 2, 3, 0)
        return _on_cpu(_squares(x), kernel, 1)
    patches = [tap for row in _taps(x, 1, 2) for tap in _taps(row, 2, 2)]
    kernel = w.reshape(-1, w.shape[-1])
    return jnp.matmul(jnp.concatenate(patches, -1), kernel, precision=_HIGHEST)


def _squares(x: Array) -> Array:
    """[n, h, w, c] to [n, h/2, w/2, 4c], with a zero at the end of an odd side."""
    x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
    n, height, width, c = x.shape
    x = x.reshape(n, height // 2, 2, width // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, height // 2, width // 2, 4 * c)


def _taps(x: Array, axis: int, stride: int) -> list[Array]:
    """The first, second and third element of every window of 3 along one axis."""
    last = x.shape[axis] - 2
    return [lax.slice_in_dim(x, i, last + i, stride, axis) for i in range(3)]


def _pad(x: Array, value: float) -> Array:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=value)


def max_pool(x: Image, stride: int) -> Maps:
    """Maximum of 3 x 3 windows that lie in the picture."""
    for axis in (1, 2):
        a, b, c = _taps(x, axis, stride)
        x = jnp.maximum(jnp.maximum(a, b), c)
    return x


def mean_pool(x: Image) -> Image:
    """Mean of 3 x 3 windows at stride 1 over the pixels that are in the picture; the shape stays."""
    total, count = _pad(x, 0.0), _pad(jnp.ones((1, *x.shape[1:3], 1)), 0.0)
    for axis in (1, 2):
        total, count = (sum(_taps(z, axis, 1)) for z in (total, count))
    return total / count


def max_pool_same(x: Image) -> Image:
    """Maximum of 3 x 3 windows at stride 1; the shape stays."""
    return max_pool(_pad(x, -jnp.inf), 1)


class ConvUnit(nn.Module):
    """Convolution without bias, BatchNorm by its stored statistics, ReLU."""

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    pad: tuple[int, int] = (0, 0)

    @nn.compact
    def __call__(self, x: Image) -> Maps:
        """Map [n, h, w, c] to [n, h', w', features]."""
        shape = (*self.kernel, x.shape[-1], self.features)
        w = self.param("kernel", nn.initializers.lecun_normal(), shape)
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        scale, var = (
            self.param(name, ones, self.features) for name in ("scale", "var")
        )
        bias, mean = (
            self.param(name, zeros, self.features) for name in ("bias", "mean")
        )
        gain = scale / jnp.sqrt(var + EPSILON)
        y = _conv(x, w, self.stride, self.pad)
        return nn.relu(y * gain + (bias - mean * gain))


def same(name: str, features: int, high: int, wide: int) -> ConvUnit:
    """A unit whose output is as large as its input."""
    return ConvUnit(features, (high, wide), 1, (high // 2, wide // 2), name=name)


def half(name: str, features: int) -> ConvUnit:
    """A 3 x 3 unit of stride 2 without padding."""
    return ConvUnit(features, (3, 3), 2, name=name)


def join(*branches: Maps) -> Maps:
    """Concatenate the channels."""
    return jnp.concatenate(branches, axis=-1)


class BlockA(nn.Module):
    """35 x 35: 1x1, 5x5, double 3x3, pool."""

    pooled: int

    @nn.compact
    def __call__(self, x: Image) -> Maps:
        """Map [n, 35, 35, c] to 224 + pooled channels."""
        five = same("branch5x5_1", 48, 1, 1)(x)
        three = same("branch3x3dbl_1", 64, 1, 1)(x)
        three = same("branch3x3dbl_2", 96, 3, 3)(three)
        return join(
            same("branch1x1", 64, 1, 1)(x),
            same("branch5x5_2", 64, 5, 5)(five),
            same("branch3x3dbl_3", 96, 3, 3)(three),
            same("branch_pool", self.pooled, 1, 1)(mean_pool(x)),
        )


class BlockB(nn.Module):
    """35 x 35 to 17 x 17."""

    @nn.compact
    def __call__(self, x: Image) -> Maps:
        """Map [n, 35, 35, 288] to [n, 17, 17, 768]."""
        double = same("branch3x3dbl_1", 64, 1, 1)(x)
        double = same("branch3x3dbl_2", 96, 3, 3)(double)
        return join(
            half("branch3x3", 384)(x),
            half("branch3x3dbl_3", 96)(double),
            max_pool(x, 2),
        )


class BlockC(nn.Module):
    """17 x 17: 1x1, 7x7 as 1x7 and 7x1, the same twice, pool."""

    width: int

    @nn.compact
    def __call__(self, x: Image) -> Maps:
        """Map [n, 17, 17, 768] to the same shape."""
        c = self.width
        seven = same("branch7x7_1", c, 1, 1)(x)
        seven = same("branch7x7_2", c, 1, 7)(seven)
        double = same("branch7x7dbl_1", c, 1, 1)(x)
        for i, kernel in ((2, (7, 1)), (3, (1, 7)), (4, (7, 1))):
            double = same(f"branch7x7dbl_{i}", c, *kernel)(double)
        return join(
            same("branch1x1", 192, 1, 1)(x),
            same("branch7x7_3", 192, 7, 1)(seven),
            same("branch7x7dbl_5", 192, 1, 7)(double),
            same("branch_pool", 192, 1, 1)(mean_pool(x)),
        )


class BlockD(nn.Module):
    """17 x 17 to 8 x 8."""

    @nn.compact
    def __call__(self, x: Image) -> Maps:
        """Map [n, 17, 17, 768] to [n, 8, 8, 1280]."""
        three = same("branch3x3_1", 192, 1, 1)(x)
        seven = same("branch7x7x3_1", 192, 1, 1)(x)
        seven = same("branch7x7x3_2", 192, 1, 7)(seven)
        seven = same("branch7x7x3_3", 192, 7, 1)(seven)
        return join(
            half("branch3x3_2", 320)(three),
            half("branch7x7x3_4", 192)(seven),
            max_pool(x, 2),
        )


class BlockE(nn.Module):
    """8 x 8: 1x1, 3x3 as 1x3 beside 3x1, the same after a 3x3, pool: mean in the first block, maximum in the last."""

    last: bool

    @nn.compact
    def __call__(self, x: Image) -> Maps:
        """Map [n, 8, 8, c] to [n, 8, 8, 2048]."""
        three = same("branch3x3_1", 384, 1, 1)(x)
        double = same("branch3x3dbl_1", 448, 1, 1)(x)
        double = same("branch3x3dbl_2", 384, 3, 3)(double)
        return join(
            same("branch1x1", 320, 1, 1)(x),
            same("branch3x3_2a", 384, 1, 3)(three),
            same("branch3x3_2b", 384, 3, 1)(three),
            same("branch3x3dbl_3a", 384, 1, 3)(double),
            same("branch3x3dbl_3b", 384, 3, 1)(double),
            same("branch_pool", 192, 1, 1)(
                max_pool_same(x) if self.last else mean_pool(x)
            ),
        )


class Classes(nn.Module):
    """The last layer."""

    @nn.compact
    def __call__(self, x: Float[Array, "n c"]) -> tuple[Array, Array]:
        """Map [n, 2048] to logits [n, 1008], with the bias and without."""
        w = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], 1008))
        product = jnp.matmul(x, w, precision=_HIGHEST)
        return product + self.param("bias", nn.initializers.zeros, 1008), product


class Inception(nn.Module):
    """The whole network."""

    @nn.compact
    def __call__(self, x: Image) -> dict[str, Array]:
        """Map pictures [n, 299, 299, 3], (0..255 - 128) / 128, to pool [n, 2048], logits and logits_no_bias [n, 1008]."""
        x = half("Conv2d_1a_3x3", 32)(x)
        x = ConvUnit(32, (3, 3), name="Conv2d_2a_3x3")(x)
        x = max_pool(same("Conv2d_2b_3x3", 64, 3, 3)(x), 2)
        x = same("Conv2d_3b_1x1", 80, 1, 1)(x)
        x = max_pool(ConvUnit(192, (3, 3), name="Conv2d_4a_3x3")(x), 2)
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = BlockA(pooled, name=name)(x)
        x = BlockB(name="Mixed_6a")(x)
        for name, width in zip("bcde", (128, 160, 160, 192), strict=True):
            x = BlockC(width, name=f"Mixed_6{name}")(x)
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(False, name="Mixed_7b")(x)
        x = BlockE(True, name="Mixed_7c")(x)
        pool = x.mean((1, 2))
        logits, no_bias = Classes(name="fc")(pool)
        return {"pool": pool, "logits": logits, "logits_no_bias": no_bias}
