"""Augmentations against loops in NumPy, exact warps, shares of a batch, derivatives; the controller's arithmetic."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gan_jax import augment as module
from gan_jax.augment import (
    AUGMENTS,
    ada,
    ada_update,
    augment,
    color,
    cutout,
    translation,
    warp,
)
from gan_jax.types import UserError

KEY = jax.random.key(3)
PLACEMENT = jax.jit(module._placement)
QUICK = {name: jax.jit(transform) for name, transform in AUGMENTS.items()}


def pictures(shape, dtype=jnp.float32, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, shape)
    return jnp.asarray(x, dtype)


def bits(x):
    return np.asarray(x).tobytes()


def linear(a, b, c, d, down=0.0, right=0.0):
    return np.array([[a, b, down], [c, d, right], [0, 0, 1]], np.float32)


@pytest.mark.parametrize("name", AUGMENTS)
@pytest.mark.parametrize(
    ("side", "channels", "dtype"),
    [
        (28, 1, "float32"),
        (32, 3, "bfloat16"),
        (64, 3, "float32"),
        (64, 1, "bfloat16"),
        (128, 3, "float32"),
    ],
)
def test_shape_dtype_and_identity_at_zero(name, side, channels, dtype):
    x = pictures((3, side, side, channels), dtype).at[0, 0, 0, 0].set(-0.0)
    off, on = QUICK[name](x, 0.0, KEY), QUICK[name](x, 1.0, KEY)
    assert bits(off) == bits(x) and off.dtype == x.dtype
    assert on.shape == x.shape and on.dtype == x.dtype
    assert np.isfinite(np.asarray(on, np.float32)).all() and bits(on) != bits(x)


@pytest.mark.parametrize("name", AUGMENTS)
def test_bfloat16_is_float32_rounded(name):
    x = pictures((3, 32, 32, 3), jnp.bfloat16)
    want = QUICK[name](x.astype(jnp.float32), 1.0, KEY)
    got = QUICK[name](x, 1.0, KEY).astype(jnp.float32)
    np.testing.assert_allclose(got, want, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("name", ["color", "translation", "cutout"])
def test_share_of_samples(name):
    """Binomial: 1000 samples at 0.3 are 300 +- 14.5; a whole shift by (0, 0) is one draw in 25."""
    x = pictures((1000, 16, 16, 3))
    got = np.asarray(QUICK[name](x, 0.3, KEY))
    share = np.mean(np.any(got != np.asarray(x), axis=(1, 2, 3)))
    want = 0.3 * (24 / 25 if name == "translation" else 1.0)
    assert abs(share - want) < 4 * np.sqrt(want * (1 - want) / 1000)


def test_share_of_samples_of_each_ada_transform():
    """Gates open with p; each of the two rotations with 1 - sqrt(1-p), so that either does with p."""
    p, n = 0.3, 4000
    turn = 1 - np.sqrt(1 - p)
    chances = [jnp.float32(c) for c in (p, turn)]
    drawn = np.asarray(module._numbers(jax.random.normal, KEY, chances, n)) != 0
    assert (drawn[:, 0] == drawn[:, 1]).all()
    for share, want in zip(drawn[:, 0].mean(axis=1), (p, turn), strict=True):
        assert abs(share - want) < 4 * np.sqrt(want * (1 - want) / n)
    moved, _ = jax.jit(module._placements, static_argnums=2)(p, KEY, (n, 16, 16, 3))
    want = 1 - (1 - p) ** 7  # six gates of p, two of which one opens with p
    assert abs(np.mean(moved) - want) < 4 * np.sqrt(want * (1 - want) / n)
    painted, _, _ = module._paints(p, KEY, (n, 16, 16, 3))
    want = 1 - (1 - p) ** 5
    assert abs(np.mean(painted) - want) < 4 * np.sqrt(want * (1 - want) / n)


def test_at_one_a_row_is_the_transform_itself():
    x = pictures((4, 16, 16, 3))
    key = jax.random.split(KEY)[1]
    for transform in (color, translation, cutout):
        got = QUICK[transform.__name__](x, 1.0, KEY)
        np.testing.assert_allclose(got, jax.jit(transform)(x, key), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_color_is_the_loop(channels):
    """The three steps one after the other, each with its own mean; the draws are recovered from the key."""
    x = pictures((6, 8, 10, channels))
    draws = np.asarray(jax.random.uniform(KEY, (3, 6, 1, 1)))[..., 0, 0]
    want = []
    for i, picture in enumerate(np.asarray(x, np.float64)):
        y = picture + draws[0, i] - 0.5
        grey = y.mean(axis=-1, keepdims=True)
        y = (y - grey) * 2 * draws[1, i] + grey
        want.append((y - y.mean()) * (draws[2, i] + 0.5) + y.mean())
    np.testing.assert_allclose(color(x, KEY), want, atol=2e-6)


def test_color_moves_means_as_it_should():
    """Only brightness moves a picture's mean, by U(-0.5,0.5), and a flat grey stays flat."""
    x = pictures((2000, 4, 4, 3))
    y = np.asarray(color(x, KEY))
    moved = y.mean(axis=(1, 2, 3)) - np.asarray(x).mean(axis=(1, 2, 3))
    assert (
        np.abs(moved).max() < 0.5 + 1e-5 and abs(moved.mean()) < 4 * 0.289 / 2000**0.5
    )
    assert abs(moved.std() - 0.2887) < 0.015
    flat = np.asarray(color(jnp.full((9, 4, 4, 3), 0.25), KEY))
    np.testing.assert_allclose(
        flat, flat[:, :1, :1, :1] * np.ones((1, 4, 4, 3)), atol=1e-6
    )


def shifted(picture, down, right):
    """What shows of the picture when it is laid on zeros, moved by whole pixels."""
    out = np.zeros_like(picture)
    h, w, _ = picture.shape
    for i in range(h):
        for j in range(w):
            if 0 <= i - down < h and 0 <= j - right < w:
                out[i, j] = picture[i - down, j - right]
    return out


def test_translation_is_one_shift_of_each_sample():
    """Every result is exactly one of the 5 x 7 shifts of its picture, and every shift occurs about evenly."""
    x = pictures((1, 16, 24, 2))
    y = np.asarray(translation(jnp.tile(x, (3500, 1, 1, 1)), KEY))
    counts = {}
    for down in range(-2, 3):
        for right in range(-3, 4):
            same = (y == shifted(np.asarray(x[0]), down, right)).all(axis=(1, 2, 3))
            counts[down, right] = same.sum()
    assert sum(counts.values()) == 3500
    assert 60 < min(counts.values()) and max(counts.values()) < 145  # 100 +- 10


@pytest.mark.parametrize(("h", "w"), [(16, 12), (10, 14)])
def test_cutout_is_the_authors_rectangle(h, w):
    """Each result is one of the rectangles that clamping every row and column to the picture gives."""
    y = np.asarray(cutout(jnp.ones((1500, h, w, 2)), KEY))
    assert set(np.unique(y)) == {0.0, 1.0}
    seen = 0
    for row in range(h + 1 - (h // 2) % 2):
        for column in range(w + 1 - (w // 2) % 2):
            want = np.ones((h, w, 1))
            i = np.clip(np.arange(h // 2) + row - h // 4, 0, h - 1)
            j = np.clip(np.arange(w // 2) + column - w // 4, 0, w - 1)
            want[np.ix_(i, j)] = 0
            same = (y == want).all(axis=(1, 2, 3)).sum()
            assert same > 0
            seen += same
    assert seen == 1500


@pytest.mark.parametrize(
    ("matrix", "numpy"),
    [
        (linear(1, 0, 0, 1), lambda a: a),
        (linear(1, 0, 0, -1), np.fliplr),
        (linear(-1, 0, 0, 1), np.flipud),
        (linear(0, 1, -1, 0), np.rot90),
        (linear(0, -1, 1, 0), lambda a: np.rot90(a, -1)),
        (linear(1, 0, 0, 1, 2, -3), lambda a: np.pad(a, ((0, 2), (3, 0), (0, 0)), "reflect")[2:, :-3]),
        (linear(1, 0, 0, 1, 0, 30), lambda a: a[:, (np.arange(16) + 30) % 30]),
    ],
)  # fmt: skip
def test_warps_to_whole_pixels_are_exact(matrix, numpy):
    x = pictures((2, 16, 16, 3))
    got = warp(x, np.stack([matrix, np.eye(3, dtype=np.float32)]))
    np.testing.assert_array_equal(got[0], numpy(np.asarray(x[0])))
    assert bits(got[1]) == bits(x[1])


def test_the_warp_is_the_loop():
    """Bilinear in coordinates of the picture's centre, mirrored at its border, sides of different lengths."""
    x = np.asarray(pictures((1, 7, 9, 2)))
    matrix = linear(1.3, 0.4, -0.7, 0.8, 1.7, -2.2)
    mirrored = np.pad(x[0].astype(np.float64), ((14, 14), (14, 14), (0, 0)), "reflect")
    want = np.zeros((7, 9, 2))
    for i in range(7):
        for j in range(9):
            u, v, _ = matrix.astype(np.float64) @ [i - 3, j - 4, 1] + [17, 18, 0]
            i0, j0 = int(np.floor(u)), int(np.floor(v))
            a, b = u - i0, v - j0
            patch = mirrored[i0 : i0 + 2, j0 : j0 + 2]
            want[i, j] = np.einsum("i,j,ijc->c", [1 - a, a], [1 - b, b], patch)
    np.testing.assert_allclose(warp(x, matrix[None])[0], want, atol=1e-5)


def drawn(flat=(), bell=()):
    """Numbers for one sample, all of them neutral but those given as (transform, which, value)."""
    arrays = np.zeros((5, 2), np.float32), np.zeros((3, 2), np.float32)
    for array, entries in zip(arrays, (flat, bell), strict=True):
        for i, j, value in entries:
            array[i, j] = value
    return PLACEMENT(*arrays, np.array([16, 24], np.float32))


@pytest.mark.parametrize(
    ("flat", "bell", "want"),
    [
        ([], [], linear(1, 0, 0, 1)),
        ([(0, 0, -0.5)], [], linear(1, 0, 0, -1)),
        ([(0, 0, 0.5)], [], linear(1, 0, 0, 1)),
        ([(1, 0, 0.6)], [], linear(0, -1, 1, 0)),
        ([(1, 0, -0.2)], [], linear(0, 1, -1, 0)),
        ([(1, 0, -0.6)], [], linear(-1, 0, 0, -1)),
        ([(2, 0, 0.6), (2, 1, -1.0)], [], linear(1, 0, 0, 1, 1, -3)),
        ([(3, 0, 1 / 3)], [], linear(0.5, -(0.75**0.5), 0.75**0.5, 0.5)),
        ([(4, 0, -1 / 3)], [], linear(0.5, 0.75**0.5, -(0.75**0.5), 0.5)),
        ([], [(0, 0, 5.0)], linear(0.5, 0, 0, 0.5)),  # scale 2 reads half as far
        ([], [(1, 0, 5.0)], linear(2, 0, 0, 0.5)),
        ([], [(2, 0, 1.0), (2, 1, -1.0)], linear(1, 0, 0, 1, 2, -3)),
        ([(0, 0, -1.0), (1, 0, 0.6)], [(0, 0, 5.0)], linear(0, -0.5, -0.5, 0)),
    ],
)
def test_placements(flat, bell, want):
    np.testing.assert_allclose(drawn(flat, bell), want, atol=1e-6)


def colour_matrices(bell, flat):
    """The authors' chain of 4x4 matrices, one sample: brightness, contrast, luma flip, hue, saturation."""
    v = np.array([1, 1, 1, 0]) / np.sqrt(3)
    eye, axis = np.eye(4), np.outer(v, v)
    move = np.eye(4)
    move[:3, 3] = 0.2 * bell[0]
    contrast = np.diag([2 ** (0.5 * bell[1])] * 3 + [1])
    flip = eye - 2 * axis * (flat[0] < 0)
    angle = np.pi * flat[1]
    cross = np.zeros((4, 4))
    cross[:3, :3] = np.cross(np.eye(3), v[:3]).T * -1
    colours = np.diag([1, 1, 1, 0])
    hue = axis + np.cos(angle) * (colours - axis) + np.sin(angle) * cross
    hue[3, 3] = 1
    saturation = axis + (colours - axis) * 2 ** bell[2]
    return (saturation @ hue @ flip @ contrast @ move)[:3]


def test_paints_are_the_papers_matrices():
    n = 64
    _, mix, offset = module._paints(0.7, KEY, (n, 8, 8, 3))
    _, grey, grey_offset = module._paints(0.7, KEY, (n, 8, 8, 1))
    flat_key, bell_key = jax.random.split(KEY)
    p = jnp.float32(0.7)
    flat = np.asarray(module._numbers(module._signed, flat_key, [p, p], n))[:, 0]
    bell = np.asarray(module._numbers(jax.random.normal, bell_key, [p] * 3, n))[:, 0]
    for i in range(n):
        want = colour_matrices(bell[:, i], flat[:, i])
        np.testing.assert_allclose(mix[i], want[:, :3], atol=1e-5)
        np.testing.assert_allclose(np.full(3, offset[i]), want[:, 3], atol=1e-5)
        mean = want.mean(axis=0)  # the authors' grey pictures
        np.testing.assert_allclose(grey[i, 0, 0], mean[:3].sum(), atol=1e-5)
        np.testing.assert_allclose(grey_offset[i], mean[3], atol=1e-5)


def test_ada_applies_one_placement_and_one_paint_to_all_of_a_sample():
    """A flat picture is not changed by placement: it stays flat, in colours that differ between samples."""
    y = np.asarray(QUICK["ada"](jnp.full((8, 16, 16, 3), 0.3), 1.0, KEY))
    np.testing.assert_allclose(y, y[:, :1, :1] * np.ones_like(y), atol=1e-5)
    assert len(np.unique(y[:, 0, 0, 0].round(4))) == 8
    x = pictures((1, 16, 16, 3))
    moved = np.asarray(QUICK["ada"](jnp.tile(x, (8, 1, 1, 1)), 1.0, KEY))
    assert len({bits(m) for m in moved}) == 8


def test_ada_leaves_the_mean_colour_where_it_was_on_average():
    """Brightness has mean 0; luma flips at p = 0.5 turn every fourth picture, so 0.4 has mean 0.5 * 0.4 * E[c]."""
    y = np.asarray(QUICK["ada"](jnp.full((20000, 2, 2, 1), 0.4), 0.5, KEY))[:, 0, 0, 0]
    mean_contrast = 0.5 + 0.5 * np.exp((0.5 * np.log(2)) ** 2 / 2)
    want = 0.4 * mean_contrast * (1 - 2 * 0.25)
    assert abs(y.mean() - want) < 4 * y.std() / 20000**0.5


@pytest.mark.parametrize("name", AUGMENTS)
def test_gradients_are_those_of_finite_differences(name):
    jax.config.update("jax_enable_x64", True)
    try:
        x = pictures((2, 8, 8, 3), jnp.float64)
        f = functools.partial(QUICK[name], p=0.8, key=KEY)
        assert f(x).dtype == jnp.float64
        check_grads(lambda y: jnp.sum(f(y) ** 3), (x,), order=1, modes=["rev"])
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize("name", AUGMENTS)
def test_a_gradient_of_a_gradient(name):
    """R1 through an augmentation T: with D(x) = |T(x)|^2 / 2 and T affine, grad D = T' T(x), and its own follows."""
    x, direction = pictures((2, 8, 8, 3)), pictures((2, 8, 8, 3), seed=1)

    def score(weight, y):
        return 0.5 * weight * jnp.sum(AUGMENTS[name](y, 0.8, KEY) ** 2)

    def r1(weight, y):
        return jnp.sum(jax.grad(score, 1)(weight, y) ** 2)

    value = jax.jit(jax.value_and_grad(r1, (0, 1)))
    penalty, (by_weight, by_x) = value(2.0, x)
    np.testing.assert_allclose(by_weight, penalty, rtol=1e-5)  # w^2 at w = 2
    slope = jnp.sum(by_x * direction)
    step = 1e-2  # r1 is a parabola along any line: the central difference is exact
    difference = (
        value(2.0, x + step * direction)[0] - value(2.0, x - step * direction)[0]
    )
    assert abs(slope) > 1e-2
    np.testing.assert_allclose(difference / (2 * step), slope, rtol=2e-2, atol=0.05)


@pytest.mark.parametrize("name", AUGMENTS)
def test_members_with_their_own_p(name):
    x = pictures((3, 4, 16, 16, 3))
    keys, p = jax.random.split(KEY, 3), jnp.array([0.0, 0.5, 1.0])
    together = jax.jit(jax.vmap(AUGMENTS[name]))(x, p, keys)
    for i in range(3):
        np.testing.assert_allclose(
            together[i], QUICK[name](x[i], p[i], keys[i]), atol=1e-5
        )
    assert bits(together[0]) == bits(x[0])


def test_names_in_order_each_with_its_key_under_scan():
    x, names = pictures((4, 16, 16, 3)), ("translation", "cutout", "color")

    def body(y, key):
        return augment(names, y, 0.7, key), None

    got, _ = jax.jit(lambda y: jax.lax.scan(body, y, KEY[None]))(x)
    want = x
    for i, name in enumerate(names):
        want = QUICK[name](want, 0.7, jax.random.fold_in(KEY, i))
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert bits(augment((), x, 0.7, KEY)) == bits(x)


def test_mistakes_are_named():
    x = pictures((1, 16, 16, 2))
    with pytest.raises(UserError, match="'cutuot'; did you mean 'cutout'"):
        augment(("cutuot",), x, 1.0, KEY)
    with pytest.raises(UserError, match="1 or 3 channels, these have 2"):
        ada(x, 1.0, KEY)


def test_the_controller_steps_towards_the_target():
    step = functools.partial(ada_update, batch_size=64, target=0.6, kimg=500)
    np.testing.assert_allclose(step(0.5, 0.7), 0.5 + 64 / 500_000, rtol=1e-6)
    np.testing.assert_allclose(step(0.5, -0.7), 0.5 - 64 / 500_000, rtol=1e-6)
    assert step(0.5, 0.6) == 0.5 and step(0.0, 0.0) == 0.0 and step(1.0, 0.9) == 1.0


def test_the_controller_goes_from_0_to_1_in_kimg_thousand_images():
    def body(p, _):
        p = ada_update(p, 1.0, batch_size=50, target=0.6, kimg=2)
        return p, p

    _, path = jax.jit(lambda: jax.lax.scan(body, jnp.float32(0), length=45))()
    np.testing.assert_allclose(path[:40], np.arange(1, 41) / 40, atol=1e-5)
    assert (path[41:] == 1).all()
