"""Convolutions: equal to the stock ones in value and in every derivative, in every place they are used."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gan_jax.models import conv as writing
from gan_jax.models import forms
from gan_jax.models.conv import CONV, down, kernel_grad, up

SHAPES = [
    (3, 1, 1, 5),
    (3, 2, 3, 2),
    (4, 1, 3, 5),
    (4, 2, 5, 3),
    (5, 1, 3, 1),
    (5, 2, 1, 5),
]
SHAPES += [(1, 1, 3, 2), (1, 2, 3, 2), (2, 2, 3, 2)]
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
CASES = [(shape, "fast", "float64") for shape in SHAPES]
CASES += [(shape, "fast", "float32") for shape in SHAPES[1:6:2]]
CASES += [((5, 2, 1, 5), "gemm", "float64")]


def draw(k, stride, ci, co, dtype="float32"):
    """Return x, w, y; from NumPy, because JAX would compile a generator for each shape."""
    draws = np.random.default_rng(0)
    shapes = (2, 4, 6, ci), (k, k, ci, co), (2, 4 // stride, 6 // stride, co)
    return tuple(jnp.asarray(draws.normal(size=shape), dtype) for shape in shapes)


def close(actual, expected, dtype="float32"):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        scale = max(np.abs(b).max(), 1.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * scale)


def derivatives(operation, x, w):
    """Value, both gradients, and R1-style: the kernel's gradient of the squared norm of a gradient."""

    def loss(x, w):
        return jnp.sum(jnp.sin(operation(x, w)))

    def penalty(x, w):
        gx, gw = jax.grad(loss, (0, 1))(x, w)
        return jnp.sum(gx**2) + jnp.sum(jnp.tanh(gw))

    return (
        operation(x, w),
        jax.grad(loss, (0, 1))(x, w),
        jax.grad(penalty, (0, 1))(x, w),
    )


@pytest.mark.parametrize(("shape", "way", "dtype"), CASES, ids=str)
def test_equals_the_stock_convolutions_to_the_second_derivative(shape, way, dtype):
    stride = shape[1]
    with jax.enable_x64(dtype == "float64"):
        x, w, y = draw(*shape, dtype)

        @jax.jit
        def both(x, w, y):
            def compare(table):
                conv = CONV[table]
                return (
                    derivatives(lambda x, w: conv.down(x, w, stride), x, w),
                    derivatives(lambda y, w: conv.up(y, w, stride), y, w),
                )

            return compare(way), compare("plain")

        close(*both(x, w, y), dtype)


@pytest.mark.parametrize("shape", [x for x in SHAPES if x[1] > 1], ids=str)
def test_many_pixels_have_the_values_of_few(shape, monkeypatch):
    """`up` of a small image is a matrix product on a CPU, and of a larger one a convolution."""
    _, w, y = draw(*shape)
    texts, values = [], []
    for few in 0, max(y.shape[1:3]):
        monkeypatch.setattr(writing, "_FEW", few)
        program = jax.jit(lambda y, w: up(y, w, shape[1])).lower(y, w)
        texts.append(program.as_text())
        values.append(program.compile()(y, w))
    assert ["convolution" in text for text in texts] == [True, False]
    close(*values)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_deep_kernels_of_few_pixels_are_a_product_of_the_same_value(shape, monkeypatch):
    """`down` to a small image of a kernel with many entries is a matrix product on a CPU."""
    x, w, _ = draw(*shape)
    texts, values = [], []
    for deep in w[..., 0].size + 1, w[..., 0].size:
        monkeypatch.setattr(writing, "_DEEP", deep)
        monkeypatch.setattr(writing, "_FEWEST", 6)
        program = jax.jit(lambda x, w: down(x, w, shape[1])).lower(x, w)
        texts.append(program.as_text())
        values.append(program.compile()(x, w))
    assert ["convolution" in text for text in texts] == [True, False]
    close(*values)


@pytest.mark.parametrize(
    ("width", "ci", "blocks"), [(16, 32, 1), (15, 32, 0), (16, 31, 0)]
)
def test_kernel_gradients_are_of_blocks_where_rows_are_long(
    width, ci, blocks, monkeypatch
):
    called = []
    form = forms.kernel_grad_blocks
    monkeypatch.setattr(
        forms,
        "kernel_grad_blocks",
        lambda *x, **y: called.append(1) or form(*x, **y),
    )
    x, y = jnp.ones((1, 2, 2 * width, ci)), jnp.ones((1, 1, width, 3))
    out = jax.jit(lambda x, y: kernel_grad(x, y, 4, 2))(x, y)
    # a column of the padding is seen by the first and by the last entry
    seen = np.array([width - 1, width, width, width - 1])
    expected = np.multiply.outer([0, 1, 1, 0], seen)
    np.testing.assert_array_equal(
        out, np.broadcast_to(expected[..., None, None], out.shape)
    )
    assert len(called) == blocks


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_plain_equals_flax(shape):
    k, stride, ci, co = shape
    args = {"kernel_size": (k, k), "strides": (stride, stride), "use_bias": False}

    @jax.jit
    def both(x, w, y):
        variables = {"params": {"kernel": w}}
        stock = (
            nn.Conv(co, **args).apply(variables, x),
            nn.ConvTranspose(ci, transpose_kernel=True, **args).apply(variables, y),
        )
        return (CONV["plain"].down(x, w, stride), CONV["plain"].up(y, w, stride)), stock

    close(*both(*draw(*shape)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_three_contractions_of_one_form(shape):
    k, stride = shape[:2]
    ways = (
        forms.kernel_grad_conv,
        forms.kernel_grad_patches,
        forms.kernel_grad_blocks,
    )

    @jax.jit
    def products(x, w, y):
        return (
            jnp.vdot(down(x, w, stride), y),
            jnp.vdot(x, up(y, w, stride)),
            jnp.vdot(w, kernel_grad(x, y, k, stride)),
            *(jnp.vdot(w, way(x, y, k=k, stride=stride)) for way in ways),
        )

    with jax.enable_x64(True):
        form, *others = products(*draw(*shape, "float64"))
        for other in others:
            close(other, form, "float64")


@pytest.mark.parametrize("name", ["down", "up"])
def test_forward_mode(name):
    x, w, y = draw(4, 2, 3, 2)
    image = x if name == "down" else y

    def tangent(way):
        operation = getattr(CONV[way], name)
        return jax.jvp(lambda w: operation(image, w, 2), (w,), (w,))[1]

    close(tangent("gemm"), tangent("plain"))
    with pytest.raises(TypeError, match="forward-mode"):
        tangent("fast")


@pytest.mark.parametrize("way", CONV)
def test_members_with_their_own_kernels(way):
    x, w, y = (jnp.stack([a, 2 * a + 1, -a]) for a in draw(4, 2, 3, 2))
    conv = CONV[way]

    def member(args):
        x, w, y = args
        down_out, down_slopes = jax.vjp(lambda x, w: conv.down(x, w, 2), x, w)
        up_out, up_slopes = jax.vjp(lambda y, w: conv.up(y, w, 2), y, w)
        return down_slopes(down_out), up_slopes(up_out)

    alone = jax.jit(member)
    one_by_one = [alone((x[i], w[i], y[i])) for i in range(3)]
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one_by_one)
    close(jax.jit(jax.vmap(member))((x, w, y)), expected)
    close(jax.jit(lambda args: lax.map(member, args))((x, w, y)), expected)
    shared = jax.vmap(jax.grad(lambda x, w: conv.down(x, w, 2).sum(), 1), (0, None))(
        x, w[0]
    )
    close(shared[1], jax.grad(lambda w: conv.down(x[1], w, 2).sum())(w[0]))


@pytest.mark.parametrize("way", CONV)
def test_descent_in_a_loop(way):
    x, w, _ = draw(4, 2, 3, 2)

    def descend(_, w):
        loss = lambda w: (CONV[way].up(CONV[way].down(x, w, 2), w, 2) ** 2).mean()  # noqa: E731
        return w - 1e-3 * jax.grad(loss)(w)

    once = jax.jit(descend)
    expected = once(2, once(1, once(0, w)))
    close(jax.jit(lambda w: lax.fori_loop(0, 3, descend, w))(w), expected)
    scan = jax.jit(
        lambda w: lax.scan(lambda w, i: (descend(i, w), None), w, jnp.arange(3))[0]
    )
    close(scan(w), expected)


@pytest.mark.parametrize("way", CONV)
def test_bfloat16_rounds_each_result_once(way):
    x, w, y = (a.astype("bfloat16") for a in draw(4, 2, 32, 32))
    conv = CONV[way]

    @jax.jit
    def both(x, w, y):
        outs = conv.down(x, w, 2), conv.up(y, w, 2)
        blocks = forms.kernel_grad_blocks(x, y, k=4, stride=2)
        slope = jax.grad(lambda w: jnp.vdot(conv.down(x, w, 2), y))(w)
        within = jax.grad(lambda w: jnp.vdot(conv.grouped(x, w), x))(w[:3, :3, :8])
        return outs, slope, blocks, conv.grouped(x, w[:3, :3, :8]), within

    rough = both(x, w, y)
    exact = both(*(a.astype("float32") for a in (x, w, y)))
    for a, b in zip(jax.tree.leaves(rough), jax.tree.leaves(exact), strict=True):
        assert a.dtype == "bfloat16"
        np.testing.assert_allclose(
            a.astype("float32"), b, rtol=2**-7, atol=1e-3 * float(abs(b).max())
        )


def test_size_not_divisible_by_the_stride_is_refused():
    with pytest.raises(ValueError, match="stride 2 does not divide the image size 5x4"):
        down(jnp.zeros((1, 5, 4, 1)), jnp.zeros((4, 4, 1, 1)), 2)


@pytest.mark.parametrize(
    "platforms", [("tpu",), ("cuda",), ("cpu",), ("tpu", "cuda", "cpu")], ids=str
)
def test_export(platforms):
    x, w, y = draw(4, 2, 3, 2)

    def both(x, w, y):
        first = derivatives(lambda x, w: down(x, w, 2), x, w)
        return first, derivatives(lambda y, w: up(y, w, 2), y, w)

    assert jax.export.export(jax.jit(both), platforms=platforms)(x, w, y).mlir_module()
