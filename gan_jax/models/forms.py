"""The forms that convolutions are computed by: XLA's own, products of gathered patches, of blocks as they lie.

Layouts and "SAME" as in `conv`, which chooses among them.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")

# A kernel's gradient is of blocks from so many pixels a row of the output and channels on: 1.1 to 1.8 times as fast
_LONG, _SOME = 16, 32
_WIDE = 64  # channels from which patches are transposed before their product: of 3 it takes 1.4 times as long on two cores


whole = (
    lax.optimization_barrier
)  # keeps a copy whole: fused into what reads it, XLA makes it element by element


def same(k: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an image, of "SAME"."""
    total = max(k - stride, 0)
    return total // 2, total - total // 2


def xla(x: Array, w: Array, stride: int, pad: tuple[int, int]) -> Array:
    """XLA's convolution of images NHWC with kernels HWIO."""
    strides = (stride, stride)
    return lax.conv_general_dilated(x, w, strides, (pad, pad), dimension_numbers=LAYOUT)


def taps(x: Array, k: int, stride: int, pad: tuple[int, int]) -> list[list[Array]]:
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


def matmul(a: Array, b: Array) -> Array:
    """Matrix product accumulated in float32 at least and rounded once, which jax 0.12 did not do for bfloat16 by itself."""
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.matmul(a, b, preferred_element_type=wide).astype(a.dtype)


def product(x: Array, w: Array, stride: int, pad: tuple[int, int]) -> Array:
    """Compute what `xla` computes as one matrix product of gathered patches."""
    seen = taps(x, w.shape[0], stride, pad)
    patches = jnp.concatenate([tap for row in seen for tap in row], axis=-1)
    return matmul(patches, w.reshape(-1, w.shape[-1]))


def sub_pixel(y: Array, w: Array, stride: int, conv: Callable[..., Array]) -> Array:
    """Transposed convolution as a stride-1 convolution to s*s*c channels and a depth-to-space.

    Output pixel o (counted before the crop) = s*p + a with a < s sees the kernel entries a, a+s, ..., so all
    pixels of one block p are one small convolution at p. Measured on CPU: 1.0 to 2 times as fast as s*s
    interleaved convolutions (the more so the fewer the channels) although k is rounded up to a multiple of s.
    """
    k, _, ci, co = w.shape
    n, height, width, _ = y.shape
    m = -(-k // stride)
    low = same(k, stride)[0]
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


def overlapped(y: Array, w: Array, *, stride: int) -> Array:
    """Transposed convolution as one matrix product, whose blocks of k x k pixels are summed where they overlap.

    No block is computed past the image, as the k/s - 1 of `sub_pixel` are: 1.6 times the work at 4x4, 1.1 at 16x16.
    """
    k, _, ci, co = w.shape
    n, height, width, _ = y.shape
    m = -(-k // stride)
    low = same(k, stride)[0]
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


def kernel_grad_products(x: Array, y: Array, *, k: int, stride: int) -> Array:
    """Matrix products for each row of the kernel: of blocks where rows are long, and of gathered patches where not."""
    form = kernel_grad_patches
    if y.shape[2] >= _LONG and x.shape[-1] >= _SOME:
        form = kernel_grad_blocks
    return form(x, y, k=k, stride=stride)


def kernel_grad_patches(x: Array, y: Array, *, k: int, stride: int) -> Array:
    """One matrix product for each row of the kernel: the patches of one row are k times fewer than all.

    Transposed first where they are wide: XLA's product of a transposed factor takes up to 1.3 times as long on one core.
    """
    ci, co = x.shape[-1], y.shape[-1]
    y = y.reshape(-1, co)
    seen = taps(x, k, stride, same(k, stride))
    patches = [jnp.concatenate(row, axis=-1).reshape(-1, k * ci).T for row in seen]
    if ci >= _WIDE:
        patches = [whole(row) for row in patches]
    return jnp.stack([matmul(row, y) for row in patches]).reshape(k, k, ci, co)


def moved(y: Array, m: int) -> Array:
    """Rows at each of m places, side by side: [..., w, c] -> [..., w + m - 1, m * c], with zeros beside them."""
    still = ((0, 0),) * (y.ndim - 2)
    places = [(*still, (i, m - 1 - i), (0, 0)) for i in range(m)]
    return whole(jnp.concatenate([whole(jnp.pad(y, x)) for x in places], axis=-1))


def kernel_grad_blocks(x: Array, y: Array, *, k: int, stride: int) -> Array:
    """Rows of x as they lie, in blocks of `stride` pixels, by y moved to each block that its pixels see.

    Nothing is gathered: the copies are k/s times x and y instead of k*k/(s*s) times x, for m - 1 blocks a row past the
    image (m = k/s, rounded up).
    """
    n, rows, width, co = y.shape
    high, wide, ci = x.shape[1:]
    m, low = -(-k // stride), same(k, stride)[0]
    blocks = width + m - 1
    ends = stride * (rows + m - 1) - high - low, stride * blocks - wide - low
    places = ((0, 0, 0), (low, ends[0], 0), (low, ends[1], 0), (0, 0, 0))
    x = whole(lax.pad(x, jnp.zeros((), x.dtype), places))
    x = x.reshape(n, rows + m - 1, stride, blocks * stride * ci)
    y = moved(y, m).reshape(-1, m * co)

    def row(i: int) -> Array:
        begin = i // stride
        seen = whole(x[:, begin : begin + rows, i % stride].reshape(-1, stride * ci))
        return whole(matmul(seen.T, y))

    out = jnp.stack([row(i) for i in range(k)]).reshape(k, stride, ci, m, co)
    return out.transpose(0, 3, 1, 2, 4).reshape(k, m * stride, ci, co)[:, :k]


def kernel_grad_conv(x: Array, y: Array, *, k: int, stride: int) -> Array:
    """One convolution: channels of x as its batch, the batch as its channels, y as its (dilated) kernel.

    The transposes are explicit because a convolution in another layout than NHWC/HWIO is slow in loops.
    """
    x, y = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    pad, dilation = same(k, stride), (stride, stride)
    out = lax.conv_general_dilated(
        x, y, (1, 1), (pad, pad), rhs_dilation=dilation, dimension_numbers=LAYOUT
    )
    return out.transpose(1, 2, 0, 3)[
        :k, :k
    ]  # a kernel smaller than the stride leaves more than k
