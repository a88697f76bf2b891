"""Convolutions within groups of channels, whose transposes are themselves and the gradient of their kernel."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from gan_jax.models.forms import matmul, moved, same, whole

Channels = Float[Array, "n h w c"]
Within = Float[Array, "k k group c"]


def _bands(x: Array, k: int, low: int, group: int) -> Array:
    """By group of channels, the k rows that a pixel sees, side by side: [n,h,w,c] -> [c/group,n,h,w+k-1,k*group].

    Of an image with `low` zeros before and k - 1 - low after it.
    """
    rows = x.shape[1]
    margin = low, k - 1 - low, 0
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), margin, margin, (0, 0, 0)))
    x = whole(_by_group(whole(x), group))
    seen = [x[:, :, i : i + rows] for i in range(k)]
    return whole(jnp.concatenate(seen, axis=-1))


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
    out = whole(out).reshape(*bands.shape[:4], k, group)
    out = sum(out[:, :, :, j : j + x.shape[2], j] for j in range(k))
    out = whole(out.astype(x.dtype))
    return jnp.moveaxis(out, 0, -2).reshape(x.shape)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _grouped_kernel_grad(
    x: Channels, y: Channels, k: int, group: int, low: int
) -> Within:
    bands = _bands(x, k, low, group)
    y = moved(whole(_by_group(y, group)), k)
    groups = len(y)
    bands, y = (a.reshape(groups, -1, k * group) for a in (bands, y))
    out = matmul(bands.swapaxes(1, 2), y).reshape(groups, k, group, k, group)
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
    summed where they belong: 1.8 to 2.8 times as fast as a product of k * k gathered pixels from 8x8 on.
    """
    return _grouped(x, w, same(w.shape[0], 1)[0])
