"""Strided "SAME" convolutions with square kernels, written so that XLA runs every derivative fast.

Layout NHWC (images) and HWIO (kernels). The three operations are the three contractions of one trilinear
form T(x, w, y) = <down(x, w), y>:

    down(x, w, stride)           [n,H,W,ci], [k,k,ci,co] -> [n,H/s,W/s,co]   convolution
    up(y, w, stride)             [n,h,w,co], [k,k,ci,co] -> [n,h*s,w*s,ci]   its transpose in x
    kernel_grad(x, y, k, stride)                         -> [k,k,ci,co]      its transpose in w

so the derivatives of each are the other two, and reverse-over-reverse (R1, WGAN-GP) of any order runs only
these three. A fourth, grouped(x, w), convolves within groups of channels with stride 1; its transposes are itself and
the gradient of its kernel. "SAME" is XLA's: k - s zeros around the image, the smaller half first.

Why not autodiff of `lax.conv_*`: on CPU the kernel gradient of a transposed convolution, and every kernel
gradient inside a loop (jax issue 12868), leaves the optimised code path and is 10 to 75 times slower.
`CONV` names the ways to write them:

    fast   as above; reverse mode only (a custom_vjp: forward mode raises TypeError)
    plain  `lax.conv_general_dilated` and `lax.conv_transpose` as they are, for forward mode and as reference
    gemm   slices and matrix products; for a population whose members have their own kernels under `vmap`,
           where the other two become grouped convolutions; both modes of differentiation
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

X = Float[Array, "n h w ci"]
Y = Float[Array, "n oh ow co"]
Kernel = Float[Array, "k k ci co"]
Channels = Float[Array, "n h w c"]
Within = Float[Array, "k k group c"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW = 8  # pixels a side up to which `up` is one product on a CPU: 1.3 to 2.3 times as fast at 4, 1.0 to 1.4 at 7 and 8
# `down` is a product on a CPU up to so many pixels a side, of so many entries that a pixel sees: 1.3 times as fast
_FEWEST, _DEEP = 4, 4096
# A kernel's gradient is of blocks from so many pixels a row of the output and channels on: 1.1 to 1.8 times as fast
_LONG, _SOME = 16, 32
_WIDE = 64  # channels from which patches are transposed before their product: of 3 it takes 1.4 times as long on two cores


class Convolution(NamedTuple):
    """One way to write the operations: down(x, w, stride), up(y, w, stride), grouped(x, w)."""

    down: Callable[..., Array]
    up: Callable[..., Array]
    grouped: Callable[..., Array]


def _same(k: int, stride: int) -> tuple[int, int]:
    total = max(k - stride, 0)
    return total // 2, total - total // 2


def _check(x: Array, stride: int) -> None:
    if x.shape[1] % stride or x.shape[2] % stride:
        raise ValueError(
            f"stride {stride} does not divide the image size {x.shape[1]}x{x.shape[2]}"
        )


def _xla(x: Array, w: Array, stride: int, pad: tuple[int, int]) -> Array:
    strides = (stride, stride)
    return lax.conv_general_dilated(
        x, w, strides, (pad, pad), dimension_numbers=_LAYOUT
    )


def _taps(x: Array, k: int, stride: int, pad: tuple[int, int]) -> list[list[Array]]:
    """What each of the k x k kernel entries sees: [k][k] slices of the padded image, each [n,H/s,W/s,c]."""
    n, height, width, c = x.shape
    high, wide = ((size + sum(pad) - k) // stride + 1 for size in (height, width))
    # Not jnp.pad: a negative padding (the transposed convolution of a kernel smaller than its stride) crops.
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*pad, 0), (*pad, 0), (0, 0, 0)))
    ends = (stride * (high - 1) + 1, stride * (wide - 1) + 1)
    return [
        [
            lax.slice(
                x,
                (0, i, j, 0),
                (n, i + ends[0], j + ends[1], c),
                (1, stride, stride, 1),
            )
            for j in range(k)
        ]
        for i in range(k)
    ]


def _matmul(a: Array, b: Array) -> Array:
    """Matrix product accumulated in float32 at least and rounded once, which jax 0.12 did not do for bfloat16 by itself."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.matmul(a, b, preferred_element_type=wide).astype(a.dtype)


def _product(x: Array, w: Array, stride: int, pad: tuple[int, int]) -> Array:
    """Compute what `_xla` computes as one matrix product of gathered patches."""
    taps = _taps(x, w.shape[0], stride, pad)
    patches = jnp.concatenate([tap for row in taps for tap in row], axis=-1)
    return _matmul(patches, w.reshape(-1, w.shape[-1]))


def _sub_pixel(y: Array, w: Array, stride: int, conv: Callable[..., Array]) -> Array:
    """Transposed convolution as a stride-1 convolution to s*s*c channels and a depth-to-space.

    Output pixel o (counted before the crop) = s*p + a with a < s sees the kernel entries a, a+s, ..., so all
    pixels of one block p are one small convolution at p. Measured on CPU: 1.0 to 2 times as fast as s*s
    interleaved convolutions (the more so the fewer the channels) although k is rounded up to a multiple of s.
    """
    k, _, ci, co = w.shape
    n, height, width, _ = y.shape
    m = -(-k // stride)
    low = _same(k, stride)[0]
    w = jnp.pad(w, ((0, m * stride - k),) * 2 + ((0, 0),) * 2)
    w = w.reshape(m, stride, m, stride, ci, co)[::-1, :, ::-1]
    w = w.transpose(0, 2, 5, 1, 3, 4).reshape(m, m, co, stride * stride * ci)
    first = low // stride
    extra = (
        low - 1
    ) // stride + 1  # blocks past the image that still hold some of its pixels
    out = conv(y, w, 1, (m - 1 - first, extra))
    blocks = out.shape[1], out.shape[2]
    out = out.reshape(n, *blocks, stride, stride, ci).transpose(0, 1, 3, 2, 4, 5)
    out = out.reshape(n, blocks[0] * stride, blocks[1] * stride, ci)
    crop = low - first * stride
    return out[:, crop : crop + height * stride, crop : crop + width * stride]


def _overlapped(y: Array, w: Array, *, stride: int) -> Array:
    """Transposed convolution as one matrix product, whose blocks of k x k pixels are summed where they overlap.

    No block is computed past the image, as the k/s - 1 of `_sub_pixel` are: 1.6 times the work at 4x4, 1.1 at 16x16.
    """
    k, _, ci, co = w.shape
    n, height, width, _ = y.shape
    m = -(-k // stride)
    low = _same(k, stride)[0]
    w = jnp.pad(w, ((0, m * stride - k),) * 2 + ((0, 0),) * 2)
    wide = jnp.promote_types(y.dtype, jnp.float32)  # rounded once, after the sum
    # As the kernel lies: its pixels in another order are milliseconds of copying where channels are many.
    over = (((1,), (1,)), ((), ()))
    blocks = lax.dot_general(
        y.reshape(-1, co), w.reshape(-1, co), over, preferred_element_type=wide
    ).reshape(n, height, width, m, stride, m, stride, ci)

    def placed(i: int, j: int) -> Array:
        moved = (0, 0), (i, m - 1 - i), (j, m - 1 - j)
        return jnp.pad(blocks[:, :, :, i, :, j], (*moved, *((0, 0),) * 3))

    out = sum(placed(i, j) for i in range(m) for j in range(m)).astype(y.dtype)
    out = out.transpose(0, 1, 3, 2, 4, 5)
    out = out.reshape(n, (height + m - 1) * stride, (width + m - 1) * stride, ci)
    return out[:, low : low + height * stride, low : low + width * stride]


def _kernel_grad_products(x: Array, y: Array, *, k: int, stride: int) -> Array:
    """Matrix products for each row of the kernel: of blocks where rows are long, and of gathered patches where not."""
    form = _kernel_grad_patches
    if y.shape[2] >= _LONG and x.shape[-1] >= _SOME:
        form = _kernel_grad_blocks
    return form(x, y, k=k, stride=stride)


def _kernel_grad_patches(x: Array, y: Array, *, k: int, stride: int) -> Array:
    """One matrix product for each row of the kernel: the patches of one row are k times fewer than all.

    Transposed first where they are wide: XLA's product of a transposed factor takes up to 1.3 times as long on one core.
    """
    ci, co = x.shape[-1], y.shape[-1]
    y = y.reshape(-1, co)
    taps = _taps(x, k, stride, _same(k, stride))
    patches = [jnp.concatenate(row, axis=-1).reshape(-1, k * ci).T for row in taps]
    if ci >= _WIDE:
        patches = [lax.optimization_barrier(row) for row in patches]
    return jnp.stack([_matmul(row, y) for row in patches]).reshape(k, k, ci, co)


def _kernel_grad_blocks(x: Array, y: Array, *, k: int, stride: int) -> Array:
    """Rows of x as they lie, in blocks of `stride` pixels, by y moved to each block that its pixels see.

    Nothing is gathered: the copies are k/s times x and y instead of k*k/(s*s) times x, for m - 1 blocks a row past the
    image (m = k/s, rounded up). Barriers keep each copy whole; fused into the next one, XLA makes it element by element.
    """
    whole = lax.optimization_barrier
    n, rows, width, co = y.shape
    high, wide, ci = x.shape[1:]
    m, low = -(-k // stride), _same(k, stride)[0]
    blocks = width + m - 1
    ends = stride * (rows + m - 1) - high - low, stride * blocks - wide - low
    places = ((0, 0, 0), (low, ends[0], 0), (low, ends[1], 0), (0, 0, 0))
    x = whole(lax.pad(x, jnp.zeros((), x.dtype), places))
    x = x.reshape(n, rows + m - 1, stride, blocks * stride * ci)
    moved = [((0, 0), (0, 0), (i, m - 1 - i), (0, 0)) for i in range(m)]
    y = jnp.concatenate([whole(jnp.pad(y, place)) for place in moved], axis=-1)
    y = whole(y.reshape(-1, m * co))

    def row(i: int) -> Array:
        begin = i // stride
        seen = whole(x[:, begin : begin + rows, i % stride].reshape(-1, stride * ci))
        return whole(_matmul(seen.T, y))

    out = jnp.stack([row(i) for i in range(k)]).reshape(k, stride, ci, m, co)
    return out.transpose(0, 3, 1, 2, 4).reshape(k, m * stride, ci, co)[:, :k]


def _kernel_grad_conv(x: Array, y: Array, *, k: int, stride: int) -> Array:
    """One convolution: channels of x as its batch, the batch as its channels, y as its (dilated) kernel.

    The transposes are explicit because a convolution in another layout than NHWC/HWIO is slow in loops.
    """
    x, y = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    pad, dilation = _same(k, stride), (stride, stride)
    out = lax.conv_general_dilated(
        x, y, (1, 1), (pad, pad), rhs_dilation=dilation, dimension_numbers=_LAYOUT
    )
    return out.transpose(1, 2, 0, 3)[
        :k, :k
    ]  # a kernel smaller than the stride leaves more than k


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def down(x: X, w: Kernel, stride: int) -> Y:
    """Convolution of x [n,H,W,ci] with w [k,k,ci,co] -> [n,H/s,W/s,co] (as `nn.Conv`, "SAME")."""
    _check(x, stride)
    usual = partial(_xla, stride=stride, pad=_same(w.shape[0], stride))
    if max(x.shape[1:3]) > stride * _FEWEST or w[..., 0].size < _DEEP:
        return usual(x, w)
    few = partial(_product, stride=stride, pad=_same(w.shape[0], stride))
    return lax.platform_dependent(x, w, cpu=few, default=usual)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def up(y: Y, w: Kernel, stride: int) -> X:
    """Transposed convolution of y [n,h,w,co] with w [k,k,ci,co] -> [n,h*s,w*s,ci].

    As `nn.ConvTranspose(transpose_kernel=True)`, "SAME"; sub-pixel form of Shi et al. 2016 (arXiv:1609.07009), and on a
    CPU one matrix product where the image has few pixels.
    """
    usual = partial(_sub_pixel, stride=stride, conv=_xla)
    if stride == 1 or max(y.shape[1:3]) > _FEW:
        return usual(y, w)
    few = partial(_overlapped, stride=stride)
    return lax.platform_dependent(y, w, cpu=few, default=usual)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def kernel_grad(x: X, y: Y, k: int, stride: int) -> Kernel:
    """Gradient of <down(x, w), y> with respect to w: x [n,H,W,ci], y [n,H/s,W/s,co] -> [k,k,ci,co]."""
    _check(x, stride)
    # On CPU the products are level with the convolution, and 1.5 to 2 times faster with few channels. An
    # accelerator has a kernel of its own for this convolution.
    return lax.platform_dependent(
        x,
        y,
        cpu=partial(_kernel_grad_products, k=k, stride=stride),
        default=partial(_kernel_grad_conv, k=k, stride=stride),
    )


down.defvjp(
    lambda x, w, stride: (down(x, w, stride), (x, w)),
    lambda stride, xw, g: (
        up(g, xw[1], stride),
        kernel_grad(xw[0], g, xw[1].shape[0], stride),
    ),
)
up.defvjp(
    lambda y, w, stride: (up(y, w, stride), (y, w)),
    lambda stride, yw, g: (
        down(g, yw[1], stride),
        kernel_grad(g, yw[0], yw[1].shape[0], stride),
    ),
)
kernel_grad.defvjp(
    lambda x, y, k, stride: (kernel_grad(x, y, k, stride), (x, y)),
    lambda k, stride, xy, g: (up(xy[1], g, stride), down(xy[0], g, stride)),
)


def _bands(x: Array, k: int, low: int, group: int) -> Array:
    """By group of channels, the k rows that a pixel sees, side by side: [n,h,w,c] -> [c/group,n,h,w+k-1,k*group].

    Of an image with `low` zeros before and k - 1 - low after it. Each copy is made whole, as in `_kernel_grad_blocks`.
    """
    rows = x.shape[1]
    margin = low, k - 1 - low, 0
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), margin, margin, (0, 0, 0)))
    x = lax.optimization_barrier(_by_group(lax.optimization_barrier(x), group))
    seen = [x[:, :, i : i + rows] for i in range(k)]
    return lax.optimization_barrier(jnp.concatenate(seen, axis=-1))


def _by_group(x: Array, group: int) -> Array:
    return jnp.moveaxis(x.reshape(*x.shape[:-1], -1, group), -2, 0)


def _adjoint(w: Array) -> Array:
    """Of a grouped convolution: the kernel of its transpose in x."""
    w = w.reshape(*w.shape[:3], -1, w.shape[2])[::-1, ::-1]
    return w.swapaxes(2, 4).reshape(*w.shape[:2], w.shape[2], -1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _grouped(x: Channels, w: Within, low: int) -> Channels:
    k, group = w.shape[1:3]
    bands = _bands(x, k, low, group)
    # rows, columns, in, groups, out -> groups, (rows, in), (columns, out)
    w = w.reshape(*w.shape[:3], -1, group).transpose(3, 0, 2, 1, 4)
    wide = jnp.promote_types(x.dtype, jnp.float32)  # rounded once, after the sum
    out = jnp.matmul(
        bands.reshape(len(w), -1, k * group),
        w.reshape(-1, k * group, k * group),
        preferred_element_type=wide,
    )
    out = lax.optimization_barrier(out).reshape(*bands.shape[:4], k, group)
    out = sum(out[:, :, :, j : j + x.shape[2], j] for j in range(k))
    out = lax.optimization_barrier(out.astype(x.dtype))
    return jnp.moveaxis(out, 0, -2).reshape(x.shape)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _grouped_kernel_grad(
    x: Channels, y: Channels, k: int, group: int, low: int
) -> Within:
    bands = _bands(x, k, low, group)
    y = lax.optimization_barrier(_by_group(y, group))
    places = [((0, 0),) * 3 + ((j, k - 1 - j), (0, 0)) for j in range(k)]
    moved = [lax.optimization_barrier(jnp.pad(y, place)) for place in places]
    y = lax.optimization_barrier(jnp.concatenate(moved, axis=-1))
    groups = len(y)
    bands, y = (a.reshape(groups, -1, k * group) for a in (bands, y))
    out = _matmul(bands.swapaxes(1, 2), y).reshape(groups, k, group, k, group)
    return out.transpose(1, 3, 2, 0, 4).reshape(k, k, group, groups * group)


_grouped.defvjp(
    lambda x, w, low: (_grouped(x, w, low), (x, w)),
    lambda low, xw, g: (
        _grouped(g, _adjoint(xw[1]), xw[1].shape[0] - 1 - low),
        _grouped_kernel_grad(xw[0], g, *xw[1].shape[1:3], low),
    ),
)
_grouped_kernel_grad.defvjp(
    lambda x, y, k, group, low: (
        _grouped_kernel_grad(x, y, k, group, low),
        (x, y),
    ),
    lambda k, group, low, xy, g: (
        _grouped(xy[1], _adjoint(g), k - 1 - low),
        _grouped(xy[0], g, low),
    ),
)


def grouped(x: Channels, w: Within) -> Channels:
    """Convolution of x [n,H,W,c] within groups of w.shape[2] channels, w [k,k,group,c] -> [n,H,W,c], stride 1.

    XLA:CPU runs the gradient of its own grouped convolution more than ten times slower in a loop (jax issue 13800). This is
    one batch of matrix products, a member each group: few operations whatever the width, where a convolution for
    each part of the channels is minutes of compiling. What is gathered is k times x, and the product's k columns are
    summed where they belong: 2 to 2.7 times as fast as a product of k * k gathered pixels.
    """
    return _grouped(x, w, _same(w.shape[0], 1)[0])


def _plain_down(x: X, w: Kernel, stride: int) -> Y:
    _check(x, stride)
    return _xla(x, w, stride, _same(w.shape[0], stride))


def _plain_up(y: Y, w: Kernel, stride: int) -> X:
    strides = (stride, stride)
    return lax.conv_transpose(
        y, w, strides, "SAME", dimension_numbers=_LAYOUT, transpose_kernel=True
    )


def _gemm_down(x: X, w: Kernel, stride: int) -> Y:
    _check(x, stride)
    return _product(x, w, stride, _same(w.shape[0], stride))


def _gemm_up(y: Y, w: Kernel, stride: int) -> X:
    return _sub_pixel(y, w, stride, _product)


def _plain_grouped(x: Channels, w: Within) -> Channels:
    groups = x.shape[-1] // w.shape[2]
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=_LAYOUT, feature_group_count=groups
    )


def _gemm_grouped(x: Channels, w: Within) -> Channels:
    """As `grouped`, a product of gathered patches for each group."""

    def split(a: Array) -> Array:
        return a.reshape(*a.shape[:-1], -1, w.shape[2])

    # Gathered patches are k * k times x: gathered again for the gradients, not kept.
    within = jax.checkpoint(partial(_gemm_down, stride=1))
    return jax.vmap(within, -2, -2)(split(x), split(w)).reshape(x.shape)


CONV = {
    "fast": Convolution(down, up, grouped),
    "plain": Convolution(_plain_down, _plain_up, _plain_grouped),
    "gemm": Convolution(_gemm_down, _gemm_up, _gemm_grouped),
}
