"""Layers: dropout, normalisations, initialisers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models.layers import INITS, Conv, ConvTranspose, Dense, Dropout
from gan_jax.models.norms import NORMS


def drop(rate, x, seed=0, train=True):
    return Dropout(rate).apply({}, x, train, rngs={"dropout": jax.random.key(seed)})


def test_dropout_rate_and_mean():
    out = drop(0.3, jnp.ones(40_000))
    assert abs(float((out == 0).mean()) - 0.3) < 0.01  # four standard errors
    np.testing.assert_allclose(out[out != 0], 1 / 0.7, rtol=1e-6)
    assert abs(float(out.mean()) - 1) < 0.015


def test_dropout_is_identity_without_training_or_rate():
    x = jnp.arange(5.0)
    np.testing.assert_array_equal(Dropout(0.5).apply({}, x, False), x)
    np.testing.assert_array_equal(drop(0.0, x), x)
    np.testing.assert_array_equal(drop(1.0, x), jnp.zeros(5))


def test_dropout_with_a_rate_per_member():
    rates = jnp.array([0.0, 0.25, 0.75])
    x = jnp.ones(4000)
    out = jax.jit(jax.vmap(lambda rate: drop(rate, x)))(rates)
    np.testing.assert_allclose((out == 0).mean(1), rates, atol=0.03)
    np.testing.assert_array_equal(out[1], drop(0.25, x))


def test_dropout_keeps_bfloat16():
    assert drop(jnp.float32(0.5), jnp.ones(4, "bfloat16")).dtype == "bfloat16"


class Normed(nn.Module):
    kind: str
    momentum: float = 0.9

    @nn.compact
    def __call__(self, x, train=True):
        return NORMS[self.kind](self.momentum, train, jnp.float32, True)(x)


def batch(channels=64):
    return jnp.asarray(
        np.random.default_rng(0).normal(3, 2, (8, 4, 4, channels)), "float32"
    )


def test_batch_norm_moments_and_traced_momentum():
    x = batch()

    def run(momentum):
        module = Normed("batch", momentum)
        variables = module.init(jax.random.key(0), x)
        out, new = module.apply(variables, x, mutable=["batch_stats"])
        return out, jax.tree.leaves(new)

    out, (means, variances) = jax.jit(jax.vmap(run))(jnp.array([0.9, 0.5, 0.0]))
    np.testing.assert_allclose(out.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.var((1, 2, 3)), 1, atol=1e-4)
    for i, momentum in enumerate((0.9, 0.5, 0.0)):
        share = 1 - momentum
        np.testing.assert_allclose(means[i], share * x.mean((0, 1, 2)), rtol=1e-4)
        np.testing.assert_allclose(
            variances[i], momentum + share * x.var((0, 1, 2)), rtol=1e-4
        )


def test_batch_norm_uses_running_moments_when_not_training():
    x, module = batch(), Normed("batch")
    variables = module.init(jax.random.key(0), x)
    out = module.apply(variables, x, train=False)
    np.testing.assert_allclose(out, x / np.sqrt(1 + 1e-5), rtol=1e-5)


@pytest.mark.parametrize(("name", "groups"), [("layer", 1), ("group", 32)])
def test_moments_of_one_example(name, groups):
    x, module = batch() * jnp.arange(1, 9).reshape(8, 1, 1, 1), Normed(name)
    variables = module.init(jax.random.key(0), x)
    assert variables["params"]["GroupNorm_0"]["scale"].shape == (64,)
    out = module.apply(variables, x).reshape(8, 16, groups, -1)
    np.testing.assert_allclose(out.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.var((1, 3)), 1, atol=1e-3)


@pytest.mark.parametrize("name", ["batch", "batch_keras", "batch_drawn"])
def test_batch_norm_epsilon_matters_beside_a_small_variance(name):
    x = jnp.asarray(np.random.default_rng(0).normal(0, 0.03, (256, 3)), jnp.float32)
    layer = NORMS[name](0.9, True, jnp.float32, False)
    out, _ = layer.init_with_output(jax.random.key(0), x)
    epsilon = 1e-3 if name == "batch_keras" else 1e-5
    want = (x - x.mean(0)) / np.sqrt(x.var(0) + epsilon)
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-5)


def test_group_norm_takes_any_number_of_channels():
    module = Normed("group")
    assert module.init(jax.random.key(0), batch(12))["params"]["GroupNorm_0"][
        "bias"
    ].shape == (12,)


STDS = {
    "normal": lambda fan_in, fan_out: 0.1,
    "truncated_normal": lambda fan_in, fan_out: 0.1 * 0.8796,
    "uniform": lambda fan_in, fan_out: 0.1,
    "xavier_uniform": lambda fan_in, fan_out: np.sqrt(2 / (fan_in + fan_out)),
    "xavier_normal": lambda fan_in, fan_out: np.sqrt(2 / (fan_in + fan_out)),
    "he_normal": lambda fan_in, fan_out: np.sqrt(2 / fan_in),
    "orthogonal": lambda fan_in, fan_out: np.sqrt(1 / max(fan_in, fan_out / 16)),
}


@pytest.mark.parametrize("layer", [Conv, ConvTranspose])
@pytest.mark.parametrize("name", INITS)
def test_std_of_initial_kernels(name, layer):
    module = layer(48, kernel_init=INITS[name](0.1))
    params = module.init(jax.random.key(0), jnp.zeros((1, 4, 4, 32)))["params"]
    channels = (32, 48) if layer is Conv else (48, 32)
    assert params["kernel"].shape == (4, 4, *channels)
    assert not params["bias"].any()
    expected = STDS[name](16 * 32, 16 * 48)
    np.testing.assert_allclose(params["kernel"].std(), expected, rtol=0.03)


def test_orthogonal_kernel_is_orthogonal():
    kernel = INITS["orthogonal"](1.0)(jax.random.key(0), (4, 4, 32, 48), jnp.float32)
    flat = kernel.reshape(-1, 48)
    np.testing.assert_allclose(flat.T @ flat, np.eye(48), atol=1e-5)


def test_dense_is_the_stock_one():
    x = jax.random.normal(jax.random.key(0), (3, 5))
    params = Dense(4).init(jax.random.key(1), x)
    np.testing.assert_allclose(
        Dense(4).apply(params, x), nn.Dense(4).apply(params, x), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("layer", "stock"), [(Conv, nn.Conv), (ConvTranspose, nn.ConvTranspose)]
)
def test_convolutions_take_the_parameters_of_the_stock_ones(layer, stock):
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    turned = {} if stock is nn.Conv else {"transpose_kernel": True}
    stock = stock(5, (4, 4), strides=(2, 2), **turned)
    params = stock.init(jax.random.key(1), x)
    np.testing.assert_allclose(
        layer(5).apply(params, x), stock.apply(params, x), atol=1e-6
    )
