"""The kit's layers in closed form: spectral norm, minibatch layers, norms by reference and class, resampling."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models.layers import (
    INITS,
    Conv,
    ConvTranspose,
    Dense,
    MinibatchDiscrimination,
    downsample,
    minibatch_stddev,
    upsample,
)
from gan_jax.models.norms import REFERENCE, BatchNorm, ClassAffine, VirtualBatchNorm


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def randomised(tree, seed=5):
    """The same tree of other numbers, N(1, 0.25): so that no scale is one and no bias is zero."""
    draws = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(1 + draws.normal(size=leaf.shape) / 2, leaf.dtype),
        tree,
    )


def singular(values, rows, seed=1):
    """Matrix [rows, len(values)] of these singular values."""
    columns = len(values)
    left = np.linalg.qr(np.asarray(normal(rows, columns, seed=seed)))[0]
    right = np.linalg.qr(np.asarray(normal(columns, columns, seed=seed + 1)))[0]
    return jnp.asarray(left * np.array(values) @ right.T, jnp.float32)


def settled(module, params, x, steps=60):
    """The collection "spectral" after that many calls in training."""
    spectral = module.init(jax.random.key(3), x)["spectral"]

    def step(spectral, _):
        _, new = module.apply(
            {"params": params, "spectral": spectral}, x, mutable=["spectral"]
        )
        return new["spectral"], None

    return jax.jit(lambda start: jax.lax.scan(step, start, length=steps)[0])(spectral)


def test_spectral_dense_has_largest_singular_value_one():
    values = [5.0, 3.0, 1.0, 0.5]
    module, w = Dense(4, use_bias=False, spectral=True), singular(values, 6)
    spectral = settled(module, {"kernel": w}, jnp.eye(6))
    out = module.apply({"params": {"kernel": w}, "spectral": spectral}, jnp.eye(6))
    found = np.linalg.svd(out, compute_uv=False)
    np.testing.assert_allclose(found, np.array(values) / 5, atol=1e-4)


@pytest.mark.parametrize(("layer", "turned"), [(Conv, False), (ConvTranspose, True)])
def test_spectral_convolutions_divide_by_the_norm_over_the_output_axis(layer, turned):
    x = normal(2, 4, 4, 3)
    plain, module = (
        layer(5, use_bias=False, spectral=spectral) for spectral in (False, True)
    )
    w = normal(4, 4, 5, 3) if turned else normal(4, 4, 3, 5)
    sigma, other = (
        np.linalg.norm(np.moveaxis(w, axis, -1).reshape(-1, w.shape[axis]), ord=2)
        for axis in ((-2, -1) if turned else (-1, -2))
    )
    assert abs(sigma / other - 1) > 0.05  # the axis matters
    params = {"kernel": w}
    spectral = settled(module, params, x, steps=200)
    assert spectral["u"].shape == (5,)
    out = module.apply({"params": params, "spectral": spectral}, x)
    np.testing.assert_allclose(
        out * sigma, plain.apply({"params": params}, x), rtol=1e-3, atol=1e-3
    )


def unit(x):
    return x / np.linalg.norm(x)


def test_spectral_gradient_holds_the_vectors_fixed():
    """d<R, x W / s>/dW = G / s - <G, W> / s^2 v u', with G = x' R and s = v' W u after one power iteration."""
    w, x = normal(6, 4), normal(5, 6, seed=1)
    r, u = normal(5, 4, seed=2), normal(4, seed=3)
    module = Dense(4, use_bias=False, spectral=True)

    def loss(w, u):
        variables = {"params": {"kernel": w}, "spectral": {"u": u}}
        return jnp.vdot(r, module.apply(variables, x))

    value, slope = jax.jit(jax.value_and_grad(loss))(w, u)
    w, x, r, u = (np.asarray(a, np.float64) for a in (w, x, r, u))
    v = unit(w @ unit(u))
    new = unit(v @ w)
    sigma, g = v @ w @ new, x.T @ r
    np.testing.assert_allclose(value, np.vdot(r, x @ w) / sigma, rtol=1e-4)
    expected = g / sigma - np.vdot(g, w) / sigma**2 * np.outer(v, new)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shrink", [0.03, 7.0])
def test_spectral_norm_does_not_depend_on_the_length_of_u(shrink):
    """An average of unit vectors (EMA) is shorter than one."""
    module, w, x = Dense(4, spectral=True), normal(6, 4), normal(5, 6)
    variables = module.init(jax.random.key(0), x)
    params, u = {**variables["params"], "kernel": w}, variables["spectral"]["u"]
    one, other = (
        module.apply({"params": params, "spectral": {"u": scale * u}}, x)
        for scale in (1, shrink)
    )
    np.testing.assert_allclose(other, one, rtol=1e-5)


def discriminated(x, w):
    return MinibatchDiscrimination(INITS["normal"](1.0)).apply(
        {"params": {"Dense_0": {"kernel": w}}}, x
    )


def test_minibatch_discrimination_is_the_formula():
    x, w = normal(4, 3), 0.2 * normal(3, 250, seed=1)
    out = jax.jit(discriminated)(x, w)
    m = np.asarray(x @ w, np.float64).reshape(4, 50, 5)
    expected = np.zeros((4, 50))
    for i in range(4):
        for j in range(4):
            if i != j:
                expected[i] += np.exp(-np.abs(m[i] - m[j]).sum(-1))
    np.testing.assert_array_equal(out[:, :3], x)
    np.testing.assert_allclose(out[:, 3:], expected, rtol=1e-4, atol=1e-6)
    order = jnp.array([2, 0, 3, 1])
    np.testing.assert_allclose(
        discriminated(x[order], w), out[order], rtol=1e-5, atol=1e-6
    )


def test_minibatch_discrimination_of_far_and_of_equal_samples():
    w = normal(3, 250, seed=1)
    far = 1e4 * jnp.arange(4.0)[:, None] * jnp.ones(3)
    np.testing.assert_allclose(discriminated(far, w)[:, 3:], 0, atol=1e-6)
    np.testing.assert_allclose(discriminated(jnp.ones((4, 3)), w)[:, 3:], 3, rtol=1e-6)
    slope = jax.grad(lambda x: discriminated(x, w).sum())(jnp.ones((4, 3)))
    assert np.isfinite(slope).all()


def test_minibatch_stddev_by_hand():
    x = jnp.array([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0], [6.0, 5.0]])
    spread = (np.sqrt(5.0) + np.sqrt(1e-8)) / 2  # the second feature does not vary
    expected = np.concatenate([x, np.full((4, 1), spread)], axis=1)
    np.testing.assert_allclose(minibatch_stddev(x), expected, rtol=1e-6)
    slope = jax.grad(lambda x: minibatch_stddev(x).sum())(jnp.ones((4, 2)))
    np.testing.assert_allclose(slope, 1, atol=1e-3)  # that of x itself; not infinite


def test_batch_norm_without_its_own_affine():
    x, module = 3 + 2 * normal(4, 3, 3, 2), BatchNorm(True, 0.9, affine=False)
    variables = module.init(jax.random.key(0), x)
    assert set(variables) == {"batch_stats"}
    out, new = module.apply(variables, x, mutable=["batch_stats"])
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    np.testing.assert_allclose(
        out, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(new["batch_stats"]["mean"], 0.1 * mean, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4,), (3, 3, 4)])
def test_virtual_batch_norm_is_the_formula(shape):
    reference, x = 1 + normal(REFERENCE, *shape), 2 + 3 * normal(3, *shape, seed=1)
    module = VirtualBatchNorm()
    params = randomised(module.init(jax.random.key(0), x)["params"])
    joined = jnp.concatenate([reference, x])
    out = jax.jit(module.apply)({"params": params}, joined)
    n, axes = REFERENCE, tuple(range(1, len(shape)))
    ref = np.asarray(reference, np.float64)
    for sample, got in zip(np.asarray(x, np.float64), out[n:], strict=True):
        own = np.concatenate([ref.mean(axes), sample[None].mean(axes)])
        squares = np.concatenate([(ref**2).mean(axes), (sample[None] ** 2).mean(axes)])
        mean = own.mean(0)  # over the 32 of the reference and itself
        var = squares.mean(0) - mean**2
        expected = (sample - mean) / np.sqrt(var + 1e-5) * params["scale"] + params[
            "bias"
        ]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    among = np.asarray(out[:n]).reshape(-1, 4)  # the reference, normalised by itself
    np.testing.assert_allclose(among.mean(0), params["bias"], atol=1e-4)
    np.testing.assert_allclose(among.std(0), abs(params["scale"]), rtol=1e-3)


def test_class_affine_uses_the_row_of_the_class():
    module, x = ClassAffine(4), normal(3, 2, 2, 5)
    label = jnp.array([3, 0, 3])
    params = module.init(jax.random.key(0), x, label)["params"]
    np.testing.assert_array_equal(
        module.apply({"params": params}, x, label), x
    )  # at first
    params = randomised(params)
    out = module.apply({"params": params}, x, label)
    for i, k in enumerate((3, 0, 3)):
        expected = x[i] * params["scale"][k] + params["bias"][k]
        np.testing.assert_allclose(out[i], expected, rtol=1e-5, atol=1e-6)
    slope = jax.grad(lambda p: (module.apply({"params": p}, x, label) ** 2).sum())(
        params
    )
    for table in slope.values():
        assert (table[jnp.array([1, 2])] == 0).all() and (
            table[jnp.array([0, 3])] != 0
        ).all()


def test_resampling():
    x = normal(2, 3, 5, 4)
    big = upsample(x)
    np.testing.assert_array_equal(big, np.repeat(np.repeat(x, 2, 1), 2, 2))
    np.testing.assert_array_equal(downsample(big), x)
    y = normal(2, 6, 4, 3)
    corners = [y[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(downsample(y), sum(corners) / 4, rtol=1e-5, atol=1e-6)


def test_bfloat16_in_and_out():
    """Each layer computes in half precision within its rounding, with parameters of full precision."""
    x = normal(REFERENCE + 1, 2, 2, 6)
    layers = [
        (partial(Conv, 5, spectral=True), ()),
        (partial(ConvTranspose, 5, spectral=True), ()),
        (partial(Dense, 5, spectral=True), ()),
        (VirtualBatchNorm, ()),
        (partial(ClassAffine, 3), (jnp.zeros(len(x), jnp.int32),)),
    ]
    for layer, rest in layers:
        module = layer(dtype=jnp.bfloat16)
        variables = randomised(jax.eval_shape(module.init, jax.random.key(0), x, *rest))
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {
            jnp.dtype("float32")
        }
        out = jax.jit(module.apply)(variables, x.astype(jnp.bfloat16), *rest)
        full = jax.jit(layer().apply)(variables, x, *rest)
        assert out.dtype == jnp.bfloat16 and full.dtype == jnp.float32
        difference = abs(out.astype(jnp.float32) - full).max()
        assert 0 < difference < 0.02 * abs(full).max()
    for resample in (upsample, downsample):
        assert resample(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
