"""The SNGAN ResNet and self-attention: published sizes, what each part does, labels, spectral norm."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import build
from gan_jax.types import ModelSpec, UserError

HYPER = {"model": {"init_std": 0.02, "norm_momentum": 0.9, "dropout": 0.5}}
PLAIN = ModelSpec(
    "resnet", (32, 32, 3), latent_dim=128, width=256, disc_width=128, norm="none"
)
TINY = ModelSpec(
    "resnet", (8, 8, 1), latent_dim=4, width=8, disc_norm="none", init="he_normal"
)


def inputs(spec, b=3):
    draws = np.random.default_rng(0)
    sizes = (b, spec.latent_dim), (b, *spec.image_shape)
    return [jnp.asarray(draws.normal(size=size), jnp.float32) for size in sizes]


def sizes(spec):
    """(number of parameters, shape of the output) of both networks, without computing them."""

    def run(net, x, key):
        params, variables = net.init(key, HYPER, x)
        return params, net.apply(params, variables, HYPER, x, key=key, train=True)[0]

    shapes = [
        jax.eval_shape(partial(run, net), x, jax.random.key(0))
        for net, x in zip(build(spec), inputs(spec), strict=True)
    ]
    counts = [
        sum(leaf.size for leaf in jax.tree.leaves(params)) for params, _ in shapes
    ]
    return counts, shapes[0][1].shape, shapes[1][1].features.shape


def started(spec, player, *label):
    net = getattr(build(spec), player)
    x = inputs(spec)[player == "disc"]
    init = jax.jit(lambda key: net.init(key, HYPER, x, *label))
    params, variables = init(jax.random.key(0))
    return net, params, variables, x


def test_published_sizes_at_32():
    """torch_mimicry's SNGAN-32 has 4,276,739 and 1,053,825, of which 7 batch norms are 3584."""
    (gen, disc), _, features = sizes(PLAIN)
    assert gen == 4_276_739 - 3584
    assert disc == 1_053_825 and features == (3, 128)
    in_blocks = 3 * 3 * 256  # three layers of three blocks have no bias with a norm
    assert sizes(replace(PLAIN, norm="batch"))[0][0] == 4_276_739 - in_blocks


def conv(k, i, o):
    return k * k * i * o + o


def up(i, o):
    return conv(3, i, o) + conv(3, o, o) + conv(1, i, o)


def down(i, o):
    return conv(3, i, i) + conv(3, i, o) + conv(1, i, o)


@pytest.mark.parametrize(
    ("side", "start", "gen", "disc", "flat"),
    [
        (48, 6, (512, 256, 128, 64), (64, 128, 256, 512), down(512, 1024)),
        (64, 4, (1024, 512, 256, 128, 64), (64, 128, 256, 512, 1024), 0),
        (
            128,
            4,
            (1024, 1024, 512, 256, 128, 64),
            (64, 128, 256, 512, 1024),
            2 * conv(3, 1024, 1024),
        ),
    ],
    ids=str,
)
def test_published_sizes_of_larger_pictures(side, start, gen, disc, flat):
    spec = replace(PLAIN, image_shape=(side, side, 3), width=64, disc_width=64)
    (gen_count, disc_count), picture, features = sizes(spec)
    blocks = sum(map(up, gen, gen[1:]))
    dense = 129 * start * start * gen[0]
    assert gen_count == dense + blocks + conv(3, 64, 3)
    assert picture == (3, side, side, 3)
    first = conv(3, 3, 64) + conv(3, 64, 64) + conv(1, 3, 64)
    blocks = sum(map(down, disc, disc[1:]))
    assert features == (3, 1024)
    assert disc_count == first + blocks + flat + 1024 + 1


def test_constant_width_is_of_the_discriminator():
    spec = replace(PLAIN, image_shape=(64, 64, 3), width=16, disc_width=16)
    doubled, constant = sizes(spec), sizes(replace(spec, constant_width=True))
    assert constant[0][0] == doubled[0][0]
    assert (doubled[2], constant[2]) == ((3, 256), (3, 16))


@pytest.mark.parametrize("shape", [(24, 24, 3), (32, 64, 3), (7, 7, 1), (2,)], ids=str)
def test_refused_shapes(shape):
    with pytest.raises(UserError, match="8, 16, 28, 32, 48, 64, 96, 128 pixels"):
        sizes(replace(PLAIN, image_shape=shape))


def test_no_parameter_is_without_effect():
    """A bias that a norm subtracts again would have a gradient of rounding noise."""
    net, params, variables, z = started(TINY, "gen")

    def loss(params):
        x, _ = net.apply(params, variables, HYPER, z, train=True)
        return jnp.sum(x * jnp.cos(jnp.arange(x.size).reshape(x.shape)))

    slopes = jax.jit(jax.grad(loss))(params)
    largest = jax.tree.map(lambda g: float(abs(g).max()), slopes)
    assert min(jax.tree.leaves(largest)) > 1e-3
    assert {name for name, layer in params.items() if "bias" not in layer} == {
        f"Conv_{i}" for i in range(3)
    }


def test_blocks_of_the_discriminator_are_the_textbook_ones():
    """The shortcut is halved before its 1x1 convolution; the papers halve after it in all blocks but the first."""
    net, params, variables, x = started(TINY, "disc")
    out = jax.jit(lambda x: net.apply(params, variables, HYPER, x, train=True)[0])(x)

    @partial(jax.jit, static_argnums=0)
    def layer(i, x):
        kernel = params[f"Conv_{i}"]["kernel"]
        dims = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=dims
        )
        return x + params[f"Conv_{i}"]["bias"]

    def half(x):
        return (
            x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
        ) / 4

    relu = jax.nn.relu
    y = half(layer(1, relu(layer(0, x)))) + half(layer(2, x))
    y = half(layer(4, relu(layer(3, relu(y))))) + half(layer(5, y))
    for i in (6, 8):
        y = y + layer(i + 1, relu(layer(i, relu(y))))
    features = relu(y).sum((1, 2))
    np.testing.assert_allclose(out.features, features, rtol=1e-4, atol=1e-4)
    logits = features @ params["Dense_0"]["kernel"][:, 0] + params["Dense_0"]["bias"]
    np.testing.assert_allclose(out.logits, logits, rtol=1e-4, atol=1e-4)


def test_norm_and_dropout_in_the_discriminator():
    spec = replace(TINY, disc_norm="layer", dropout=True)
    net, params, variables, x = started(spec, "disc")
    assert sum("Norm" in name for name in params) == 6 and variables == {}
    run = jax.jit(
        lambda key: net.apply(params, variables, HYPER, x, key=key, train=True)[0]
    )
    one, same, other = (run(jax.random.key(i)).logits for i in (1, 1, 2))
    assert (one == same).all() and (one != other).any()


def test_spectral_norm_bounds_every_layer():
    net, params, variables, x = started(replace(TINY, disc_spectral=True), "disc")

    def many(variables):
        def once(_, variables):
            return net.apply(params, variables, HYPER, x, train=True)[1]

        return jax.lax.fori_loop(0, 60, once, variables)

    kept = jax.jit(many)(variables)["spectral"]
    assert set(kept) == set(params)
    for name, layer in params.items():
        matrix = np.asarray(layer["kernel"], np.float64)
        matrix = matrix.reshape(-1, matrix.shape[-1])
        u = np.asarray(kept[name]["u"], np.float64)
        sigma = np.linalg.norm(matrix @ (u / np.linalg.norm(u)))
        largest = np.linalg.norm(matrix, 2)
        np.testing.assert_allclose(largest / sigma, 1, atol=0.02)


@pytest.mark.parametrize("player", ["gen", "disc"])
def test_attention_is_the_identity_at_first(player):
    spec = replace(TINY, image_shape=(16, 16, 1), attention=8, norm="none")
    net, params, variables, x = started(spec, player)
    assert [name for name in params if "Gamma" in name] == ["Gamma_0"]
    off = build(replace(spec, attention=0))
    plain = getattr(off, player)

    @jax.jit
    def both(params):
        def loss(params):
            out, _ = net.apply(params, variables, HYPER, x, train=True)
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(out))

        return jax.value_and_grad(loss)(params)

    # The four 1x1 convolutions of the attention are behind the first block's three.
    order = [i for i in range(sum("Conv" in n for n in params)) if i not in range(3, 7)]
    stock = {n: layer for n, layer in params.items() if "Conv" not in n}
    stock = {n: layer for n, layer in stock.items() if "Gamma" not in n}
    stock |= {f"Conv_{i}": params[f"Conv_{j}"] for i, j in enumerate(order)}

    @jax.jit
    def without(params):
        out, _ = plain.apply(params, variables, HYPER, x, train=True)
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(out))

    total = without(stock)
    value, slopes = both(params)
    np.testing.assert_allclose(value, total, rtol=1e-4, atol=1e-4)
    assert abs(slopes["Gamma_0"]["gamma"]) > 1e-6
    assert not slopes["Conv_3"]["kernel"].any()  # behind gamma = 0
    moved = params | {"Gamma_0": {"gamma": jnp.ones(())}}
    value, slopes = both(moved)
    assert abs(value - total) > 1e-4
    assert all(abs(slopes[f"Conv_{i}"]["kernel"]).max() > 0 for i in range(3, 7))


def test_attention_at_a_side_that_is_not_there_lists_those_that_are():
    for side, there in ((32, "16, 8"), (64, "32, 16, 8"), (28, "14"), (8, "none")):
        spec = replace(PLAIN, image_shape=(side, side, 3), attention=20)
        with pytest.raises(UserError, match=f"sides that it has: {there};"):
            sizes(spec)
    sizes(replace(PLAIN, attention=16))


@pytest.mark.parametrize(
    ("player", "condition"),
    [
        ("gen", "concat"),
        ("gen", "projection"),
        ("disc", "concat"),
        ("disc", "projection"),
    ],
)
def test_labels_change_the_output(player, condition):
    spec = replace(TINY, classes=3, condition=condition)
    labels = jnp.array([0, 1, 2])
    net, params, variables, x = started(spec, player, labels)
    draws = np.random.default_rng(1)
    params = jax.tree.map(
        lambda p: p + jnp.asarray(0.1 * draws.normal(size=p.shape), p.dtype), params
    )

    @jax.jit
    def run(labels):
        out, _ = net.apply(params, variables, HYPER, x, labels, train=False)
        return out if player == "gen" else out.logits

    changed = abs(run(labels) - run(jnp.array([0, 1, 0]))).reshape(3, -1).max(1)
    np.testing.assert_array_equal(changed > 1e-4, [False, False, True])


def test_gradient_of_a_gradient_penalty_in_bfloat16():
    spec = replace(TINY, image_shape=(16, 16, 1), attention=8, precision="bfloat16")
    net, params, variables, x = started(spec, "disc")

    def penalty(params):
        def logit(x):
            return net.apply(params, variables, HYPER, x, train=True)[0].logits

        assert logit(x).dtype == "float32"
        return jnp.sum(jax.grad(lambda x: logit(x).sum())(x) ** 2)

    slopes = jax.jit(jax.grad(penalty))(params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert abs(slopes["Conv_0"]["kernel"]).max() > 0
