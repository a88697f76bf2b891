"""Differentiable augmentation of what the discriminator sees, and the controller of its strength.

Pure functions of pictures x, float [B,H,W,C] in -1..1 with C 1 or 3; the result has the shape and dtype of x
(bfloat16 is worked on in float32). Each sample has its own draw, which never depends on x, so everything is
affine in x and derivatives of every order exist. `p`, the probability, may be traced; at p = 0 every row of
AUGMENTS returns x bit for bit. One key is one set of draws: give real and fake pictures a key each.

Colours are mixed channel by channel and then stacked: XLA on CPUs is ten times slower over an axis of three.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_jax.types import AnyArray, UserError, lookup

Pictures = Float[AnyArray, "B H W C"]
Same = Float[Array, "B H W C"]
Number = Any  # a Python float or a traced float32 scalar


def color(x: Pictures, key: Any) -> Same:
    """Brightness + U(-0.5,0.5), then saturation times U(0,2), then contrast times U(0.5,1.5).

    Saturation scales about the mean over channels (a grey picture keeps its values), contrast about the mean of
    the whole picture. Nothing is clipped. Zhao et al. 2020 (arXiv:2006.10738), section 4.1 and the authors' code.
    """
    draws = jax.random.uniform(key, (3, x.shape[0], 1, 1))
    brightness, saturation, contrast = draws[0] - 0.5, 2 * draws[1], draws[2] + 0.5
    channels = _channels(x)
    grey = sum(channels) / len(channels)
    mean = jnp.mean(grey, axis=(1, 2), keepdims=True)  # saturation leaves it alone
    rest = [saturation * (c - grey) + (grey - mean) for c in channels]
    result = [contrast * c + (mean + brightness) for c in rest]
    return jnp.stack(result, axis=3).astype(x.dtype)


def translation(x: Pictures, key: Any) -> Same:
    """A shift by whole pixels, uniform in -n//8..n//8 along each side of n pixels; zeros come in.

    Zero is mid-grey in -1..1. Zhao et al. 2020 (arXiv:2006.10738), section 4.1 and the authors' code.
    """
    sides = jnp.array(x.shape[1:3])
    shift = jax.random.randint(key, (x.shape[0], 2), -(sides // 8), sides // 8 + 1)
    return _shift(_shift(jnp.asarray(x), shift[:, 0], 1), shift[:, 1], 2)


def cutout(x: Pictures, key: Any) -> Same:
    """A rectangle of half of each side set to 0; its centre is uniform, so the border may cut it.

    Zhao et al. 2020 (arXiv:2006.10738), section 4.1 and the authors' code (whose ranges these are).
    """
    inside = jnp.ones((x.shape[0], 1, 1, 1), bool)
    for axis, side_key in zip((1, 2), jax.random.split(key), strict=True):
        n, half = x.shape[axis], x.shape[axis] // 2
        centre = jax.random.randint(side_key, (x.shape[0], 1), 0, n + 1 - half % 2)
        offset = jnp.arange(n) - (centre - half // 2)
        inside &= _along(axis, (offset >= 0) & (offset < half))
    return jnp.where(inside, 0, jnp.asarray(x))


def ada(x: Pictures, p: Number, key: Any) -> Same:
    """The "bgc" set of adaptive augmentation: blits, geometry, then colour, each with probability p.

    Karras et al. 2020 (arXiv:2006.06676), appendix B and the authors' code, without image-space filters and
    corruptions. Every transform is drawn for each sample by itself; the geometric ones are one matrix and
    one resampling, the colour ones another matrix. The authors resample through wavelet filters at twice the
    resolution; here it is bilinear with reflected borders, which costs a slight blur where a sample is moved by
    fractions of a pixel (never by flips, quarter turns or whole shifts) and some aliasing where it shrinks.
    Raises UserError unless C is 1 or 3.
    """
    if x.shape[3] not in (1, 3):
        raise UserError(
            f"ada takes pictures of 1 or 3 channels, these have {x.shape[3]}; "
            "leave 'ada' out, or convert the data to grey or RGB"
        )
    place_key, paint_key = jax.random.split(key)
    # colour is applied first, which is the same up to rounding: it commutes with a weighted mean of pixels
    painted, mix, offset = _paints(p, paint_key, x.shape)
    colours = _channels(x)
    mixed = [
        sum(m * c for m, c in zip(row, colours, strict=True)) + offset[:, None, None]
        for row in jnp.moveaxis(mix, 0, 2)[..., None, None]
    ]
    mixed = jnp.stack(mixed, axis=3).astype(x.dtype)
    x = jnp.where(painted[:, None, None, None], mixed, x)
    moved, matrices = _placements(p, place_key, x.shape)
    return jnp.where(moved[:, None, None, None], warp(x, matrices), x)


def warp(x: Pictures, matrices: Float[AnyArray, "B 3 3"]) -> Same:
    """Resample: the value at place q of the result is x at place matrices @ q, bilinear between four pixels.

    q is (row, column, 1) in pixels from the picture's centre. Beyond the border x is mirrored about its outermost
    pixels, without end. Linear in x; exact where the source is a whole pixel.
    """
    # one sample at a time under vmap: a batch that is sharded over devices stays where it is
    return jax.vmap(_resample)(_wide(x), jnp.asarray(matrices)).astype(x.dtype)


def ada_update(
    p: Number, sign: Number, batch_size: Number, target: Number, kimg: Number
) -> Float[Array, ""]:
    """The next p: up by batch_size / (1000 kimg) if sign > target, down if below, kept in 0..1.

    `sign` is r_t = E[sign(D(real))] in -1..1, smoothed by the caller; `batch_size` counts the real pictures since
    the last update; `kimg` is how many thousands take p from 0 to 1. Karras et al. 2020 (arXiv:2006.06676),
    section 3: target 0.6, 500 kimg.
    """
    step = jnp.sign(jnp.asarray(sign, jnp.float32) - target)
    return jnp.clip(p + step * batch_size / (kimg * 1000), 0.0, 1.0)


def augment(names: tuple[str, ...], x: Pictures, p: Number, key: Any) -> Same:
    """Apply the named rows of AUGMENTS in order, the i-th with the key folded with i; no names: x.

    `p` in 0..1 is the probability of each transform for each sample. Raises UserError for an unknown name.
    """
    for i, name in enumerate(names):
        x = lookup("augmentation", AUGMENTS, name)(x, p, jax.random.fold_in(key, i))
    return jnp.asarray(x)


def _sometimes(transform: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """From transform(x, key), always applied, make f(x, p, key), applied to a sample with probability p."""

    def with_probability(x: Pictures, p: Number, key: Any) -> Same:
        gate_key, key = jax.random.split(key)
        chosen = jax.random.uniform(gate_key, (x.shape[0], 1, 1, 1)) < p
        return jnp.where(chosen, transform(x, key), x)

    return with_probability


def _wide(x: Pictures) -> Same:
    return jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))


def _channels(x: Pictures) -> list[Float[Array, "B H W"]]:
    return [_wide(x)[..., i] for i in range(x.shape[3])]


def _along(axis: int, values: Array) -> Array:
    """[B,n] as [B,n,1,1] for axis 1, [B,1,n,1] for axis 2."""
    return jnp.expand_dims(values, (3 - axis, 3))


def _shift(x: Same, shift: Int[Array, " B"], axis: int) -> Same:
    """Move each sample by its whole number of pixels along the axis."""
    n = x.shape[axis]
    source = jnp.arange(n) - shift[:, None]
    seen = _along(axis, (source >= 0) & (source < n))
    source = _along(axis, jnp.clip(source, 0, n - 1))
    return jnp.where(seen, jnp.take_along_axis(x, source, axis), 0)


def _resample(
    picture: Float[Array, "H W C"], matrix: Float[Array, "3 3"]
) -> Float[Array, "H W C"]:
    """`warp` of one sample."""
    rows, columns, _ = picture.shape
    row = jnp.arange(rows)[:, None] - (rows - 1) / 2
    column = jnp.arange(columns) - (columns - 1) / 2
    source = [m[0] * row + m[1] * column + m[2] for m in matrix[:2]]
    i, down = _between(source[0] + (rows - 1) / 2, rows)
    j, right = _between(source[1] + (columns - 1) / 2, columns)
    pixels, first = picture.reshape(rows * columns, -1), i * columns + j

    def at(step: int) -> Array:
        where = pixels.at[first + step]
        return where.get(mode="promise_in_bounds", wrap_negative_indices=False)

    above = (1 - right) * at(0) + right * at(1)
    below = (1 - right) * at(columns) + right * at(columns + 1)
    return (1 - down) * above + down * below


def _between(
    place: Float[Array, "H W"], n: int
) -> tuple[Int[Array, "H W"], Float[Array, "H W 1"]]:
    """The pixel before a place, mirrored into 0..n-1, and how far the place is towards the next (0..1)."""
    period = 2 * (n - 1)
    place = jnp.mod(place, period)
    place = jnp.minimum(place, period - place)
    before = jnp.clip(jnp.floor(place), 0, n - 2)
    return before.astype(jnp.int32), (place - before)[..., None]


def _numbers(
    draw: Callable[..., Array], key: Any, chances: list[Number], count: int
) -> Float[Array, "transforms 2 B"]:
    """Two numbers for each transform and sample; 0, which changes nothing, unless its gate opens."""
    gate_key, key = jax.random.split(key)
    gates = jax.random.uniform(gate_key, (len(chances), 1, count))
    numbers = draw(key, (len(chances), 2, count), jnp.float32)
    return jnp.where(gates < jnp.stack(chances)[:, None, None], numbers, 0)


_signed = functools.partial(jax.random.uniform, minval=-1.0)


def _placements(p: Number, key: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Which samples move [B], and the matrices [B,3,3] for `warp`."""
    flat_key, bell_key = jax.random.split(key)
    p = jnp.asarray(p, jnp.float32)
    turn = 1 - jnp.sqrt(
        jnp.clip(1 - p, 0, 1)
    )  # so that either of two has probability p
    flat = _numbers(_signed, flat_key, [p, p, p, turn, turn], shape[0])
    bell = _numbers(jax.random.normal, bell_key, [p, p, p], shape[0])
    moved = jnp.any(flat != 0, axis=(0, 1)) | jnp.any(bell != 0, axis=(0, 1))
    sides = jnp.array(shape[1:3], jnp.float32)
    return moved, jax.vmap(_placement, in_axes=(2, 2, None))(flat, bell, sides)


def _placement(
    flat: Float[AnyArray, "5 2"],
    bell: Float[AnyArray, "3 2"],
    sides: Float[AnyArray, "2"],
) -> Float[Array, "3 3"]:
    """One sample's map from places in the result to places in the picture."""
    zoom = jnp.exp2(-0.2 * bell[0, 0])
    stretch = jnp.exp2(0.2 * bell[1, 0])
    steps = [
        _linear(1.0, 0.0, 0.0, jnp.where(flat[0, 0] < 0, -1.0, 1.0)),
        jnp.round(_turn(jnp.floor(2 * flat[1, 0]) * (math.pi / 2))),  # exact 0, 1, -1
        _move(jnp.round(flat[2] * sides / 8)),
        _linear(zoom, 0.0, 0.0, zoom),
        _turn(math.pi * flat[3, 0]),
        _linear(stretch, 0.0, 0.0, 1 / stretch),
        _turn(math.pi * flat[4, 0]),
        _move(0.125 * bell[2] * sides),
    ]
    return functools.reduce(lambda a, b: jnp.sum(a[:, :, None] * b, axis=1), steps)


def _linear(a: Any, b: Any, c: Any, d: Any) -> Float[Array, "3 3"]:
    return jnp.array([[a, b, 0.0], [c, d, 0.0], [0.0, 0.0, 1.0]])


def _turn(angle: Float[Array, ""]) -> Float[Array, "3 3"]:
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return _linear(cos, -sin, sin, cos)


def _move(by: Float[Array, "2"]) -> Float[Array, "3 3"]:
    return jnp.eye(3).at[:2, 2].set(by)


def _paints(p: Number, key: Any, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Which samples change colour [B], and for each the matrix [B,C,C] and the offset [B] of its colours.

    The paper's chain of 4x4 matrices in closed form. Brightness, contrast and the luma flip act on the mean of
    the channels; contrast, saturation and the hue's rotation (cos + sin times the cross product with the grey
    axis) on what is left of a colour without it, which is nothing in a grey picture.
    """
    flat_key, bell_key = jax.random.split(key)
    p = jnp.asarray(p, jnp.float32)
    flat = _numbers(_signed, flat_key, [p, p], shape[0])
    bell = _numbers(jax.random.normal, bell_key, [p, p, p], shape[0])
    changed = jnp.any(flat != 0, axis=(0, 1)) | jnp.any(bell != 0, axis=(0, 1))
    contrast = jnp.exp2(0.5 * bell[1, 0])
    luma = jnp.where(flat[0, 0] < 0, -contrast, contrast)
    chroma = contrast * jnp.exp2(bell[2, 0])
    angle = math.pi * flat[1, 0]
    eye = jnp.eye(shape[3])
    mean = jnp.ones_like(eye) / shape[3]
    cross = (jnp.roll(eye, 1, axis=0) - jnp.roll(eye, -1, axis=0)) / math.sqrt(3)
    factors = jnp.stack([luma, chroma * jnp.cos(angle), chroma * jnp.sin(angle)])
    mix = jnp.einsum(
        "kb,kcd->bcd",
        factors,
        jnp.stack([mean, eye - mean, cross]),
        precision="highest",
    )
    return changed, mix, 0.2 * bell[0, 0] * luma


AUGMENTS: dict[str, Callable[[Any, Any, Any], Any]] = {  # f(x, p, key)
    "color": _sometimes(color),
    "translation": _sometimes(translation),
    "cutout": _sometimes(cutout),
    "ada": ada,
}
