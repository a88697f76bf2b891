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
from jax import lax
from jaxtyping import Array, Float

from gan_jax.models.forms import (
    LAYOUT,
    kernel_grad_conv,
    kernel_grad_products,
    overlapped,
    product,
    same,
    sub_pixel,
    xla,
)
from gan_jax.models.grouped import Channels, Within, grouped

X = Float[Array, "n h w ci"]
Y = Float[Array, "n oh ow co"]
Kernel = Float[Array, "k k ci co"]

_FEW = 8  # pixels a side up to which `up` is one product on a CPU: 1.3 to 2.3 times as fast at 4, 1.0 to 1.4 at 7 and 8
# `down` is a product on a CPU up to so many pixels a side, of so many entries that a pixel sees: 1.3 times as fast
_FEWEST, _DEEP = 4, 4096


class Convolution(NamedTuple):
    """One way to write the operations: down(x, w, stride), up(y, w, stride), grouped(x, w)."""

    down: Callable[..., Array]
    up: Callable[..., Array]
    grouped: Callable[..., Array]


def _check(x: Array, stride: int) -> None:
    if x.shape[1] % stride or x.shape[2] % stride:
        raise ValueError(
            f"stride {stride} does not divide the image size {x.shape[1]}x{x.shape[2]}"
        )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def down(x: X, w: Kernel, stride: int) -> Y:
    """Convolution of x [n,H,W,ci] with w [k,k,ci,co] -> [n,H/s,W/s,co] (as `nn.Conv`, "SAME")."""
    _check(x, stride)
    usual = partial(xla, stride=stride, pad=same(w.shape[0], stride))
    if max(x.shape[1:3]) > stride * _FEWEST or w[..., 0].size < _DEEP:
        return usual(x, w)
    few = partial(product, stride=stride, pad=same(w.shape[0], stride))
    return lax.platform_dependent(x, w, cpu=few, default=usual)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def up(y: Y, w: Kernel, stride: int) -> X:
    """Transposed convolution of y [n,h,w,co] with w [k,k,ci,co] -> [n,h*s,w*s,ci].

    As `nn.ConvTranspose(transpose_kernel=True)`, "SAME"; sub-pixel form of Shi et al. 2016 (arXiv:1609.07009), and on a
    CPU one matrix product where the image has few pixels.
    """
    usual = partial(sub_pixel, stride=stride, conv=xla)
    if stride == 1 or max(y.shape[1:3]) > _FEW:
        return usual(y, w)
    few = partial(overlapped, stride=stride)
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
        cpu=partial(kernel_grad_products, k=k, stride=stride),
        default=partial(kernel_grad_conv, k=k, stride=stride),
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


def _plain_down(x: X, w: Kernel, stride: int) -> Y:
    _check(x, stride)
    return xla(x, w, stride, same(w.shape[0], stride))


def _plain_up(y: Y, w: Kernel, stride: int) -> X:
    strides = (stride, stride)
    return lax.conv_transpose(
        y, w, strides, "SAME", dimension_numbers=LAYOUT, transpose_kernel=True
    )


def _gemm_down(x: X, w: Kernel, stride: int) -> Y:
    _check(x, stride)
    return product(x, w, stride, same(w.shape[0], stride))


def _gemm_up(y: Y, w: Kernel, stride: int) -> X:
    return sub_pixel(y, w, stride, product)


def _plain_grouped(x: Channels, w: Within) -> Channels:
    groups = x.shape[-1] // w.shape[2]
    return lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=LAYOUT, feature_group_count=groups
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
