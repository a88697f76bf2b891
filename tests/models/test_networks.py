"""The networks behind their seam: shapes, parameter counts, dtypes, traced numbers."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import MODELS, TRANSLATORS, build
from gan_jax.types import ModelSpec

HYPER = {"model": {"init_std": 0.02, "norm_momentum": 0.9, "dropout": 0.5}}
FED_LATENTS = [n for n in MODELS if n not in TRANSLATORS]
RESOLUTIONS = [8, 28, 32, 48, 64, 128]
SMALL = ModelSpec("dcgan", (8, 8, 1), latent_dim=4, width=4)


def key(seed=0):
    return jax.random.key(seed)


def inputs(spec, b=2):
    draws = np.random.default_rng(0)
    sizes = (b, spec.latent_dim), (b, *spec.image_shape)
    return tuple(jnp.asarray(draws.normal(size=size), jnp.float32) for size in sizes)


def shapes(spec):
    """(params, vars, output) of both networks, shapes only."""

    def run(net, x, seed):
        params, variables = net.init(seed, HYPER, x)
        out, after = net.apply(params, variables, HYPER, x, key=seed, train=True)
        assert jax.tree.structure(after) == jax.tree.structure(variables)
        return params, variables, out

    nets = build(spec)
    pairs = zip(nets, inputs(spec), strict=True)
    return [jax.eval_shape(partial(run, net), x, key()) for net, x in pairs]


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def names(tree):
    return [
        jax.tree_util.keystr(path)
        for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]


def norms_of(name):
    """The normalisations that a network takes."""
    return ["none"] if name == "r3gan" else ["batch", "layer", "group", "none"]


def pairs_of(names):
    return [(name, norm) for name in names for norm in norms_of(name)]


def shapes_to_see():
    """Every network at every resolution with its first norm, and with every norm at 8 and 32 px."""
    for name, norm in pairs_of(FED_LATENTS):
        sides = RESOLUTIONS if norm == norms_of(name)[0] else (8, 32)
        yield from ((name, norm, side) for side in sides)


@pytest.mark.parametrize(("name", "norm", "resolution"), list(shapes_to_see()))
def test_shapes(name, norm, resolution):
    spec = ModelSpec(
        name, (resolution, resolution, 3), latent_dim=10, width=8, norm=norm, depth=2
    )
    spec = replace(spec, dropout=True)
    gen, disc = shapes(spec)
    assert gen[2].shape == (2, resolution, resolution, 3)
    assert disc[2].logits.shape == (2,)
    assert disc[2].features.shape[0] == 2 and disc[2].features.ndim == 2
    for params, variables, out in (gen, disc):
        norms = any("Norm" in name for name in params)
        assert (
            norms == (norm != "none") or resolution == 8
        )  # there D is one convolution
        assert list(variables) == (["batch_stats"] if norms and norm == "batch" else [])
        assert {leaf.dtype for leaf in jax.tree.leaves((params, out))} == {
            jnp.dtype("float32")
        }


def test_points():
    spec = ModelSpec("mlp", (2,), latent_dim=3, width=128, norm="none")
    gen, disc = shapes(spec)
    assert gen[2].shape == (2, 2) and disc[2].features.shape == (2, 128)
    assert size(gen[0]) == 3 * 128 + 128 + 128 * 2 + 2
    assert size(disc[0]) == 2 * 128 + 128 + 128 + 1
    nets, hyper = build(spec), {"model": {**HYPER["model"], "init_std": 5.0}}
    z = inputs(spec, 64)[0]
    out, _ = nets.gen.apply(*nets.gen.init(key(), hyper, z), hyper, z, train=False)
    assert abs(out).max() > 1  # linear: not squeezed by tanh


def test_dcgan_64_sizes():
    """pytorch/examples/dcgan has 3,576,704 and 2,765,568; ours add a bias where no norm follows."""
    gen, disc = shapes(ModelSpec("dcgan", (64, 64, 3)))
    last_convolution = 3
    first_convolution, logit = 64, 1
    assert size(gen[0]) == 3_576_704 + last_convolution
    assert size(disc[0]) == 2_765_568 + first_convolution + logit
    assert gen[0]["Dense_0"]["kernel"].shape == (100, 4 * 4 * 512)
    assert gen[0]["ConvTranspose_0"]["kernel"].shape == (4, 4, 256, 512)
    assert disc[0]["Conv_3"]["kernel"].shape == (4, 4, 256, 512)
    assert disc[2].features.shape == (2, 4 * 4 * 512)


def test_dcgan_28_layers():
    gen, disc = shapes(
        ModelSpec("dcgan", (28, 28, 1), width=64, disc_width=32, kernel=5)
    )
    assert gen[0]["Dense_0"]["kernel"].shape == (100, 7 * 7 * 128)
    assert gen[0]["ConvTranspose_1"]["kernel"].shape == (5, 5, 1, 64)
    assert disc[0]["Conv_1"]["kernel"].shape == (5, 5, 32, 64)
    assert set(disc[0]) == {"Conv_0", "Conv_1", "BatchNorm_0", "Dense_0"}


RESIDUAL = {"resnet", "r3gan"}  # there a norm follows a sum, not a layer


@pytest.mark.parametrize(
    ("name", "norm"), pairs_of(n for n in FED_LATENTS if n not in RESIDUAL)
)
def test_no_bias_before_a_norm(name, norm):
    spec = ModelSpec(name, (32, 32, 3), width=8, norm=norm, depth=3)
    for params, _, _ in shapes(spec):
        found = names(params)
        layers = {n for n in params if "Norm" not in n}
        biases = sum("bias" in n for n in found if "Norm" not in n)
        normed = sum("Norm" in n for n in params)
        assert biases == len(layers) - normed
        assert (normed > 0) == (norm != "none")


def test_norm_of_the_discriminator_alone():
    gen, disc = shapes(replace(SMALL, image_shape=(16, 16, 1), disc_norm="layer"))
    assert "BatchNorm_0" in gen[0] and "GroupNorm_0" in disc[0] and disc[1] == {}


@pytest.mark.parametrize(
    "shape", [(7, 7, 1), (6, 6, 1), (15, 15, 3), (32, 64, 3), (2,)]
)
def test_shapes_that_dcgan_refuses(shape):
    with pytest.raises(ValueError, match="even and at least 8"):
        shapes(replace(SMALL, image_shape=shape))


@pytest.mark.parametrize(
    "field", ["name", "norm", "disc_norm", "init", "precision", "impl"]
)
def test_unknown_names_list_the_choices(field):
    with pytest.raises(ValueError, match="unknown .* 'nonsense'; .*choices: "):
        shapes(replace(SMALL, **{field: "nonsense"}))


@pytest.mark.parametrize("name", FED_LATENTS)
def test_bfloat16_computes_in_half_and_answers_in_full(name):
    # batch norm of two rows would blow the rounding up
    norm = {"r3gan": "none"}.get(name, "layer")
    spec = replace(SMALL, name=name, image_shape=(16, 16, 1), norm=norm)
    outs = {}
    for precision in ("float32", "bfloat16"):
        net = build(replace(spec, precision=precision)).disc
        x = inputs(spec)[1]
        params, variables = net.init(key(), HYPER, x)
        run = jax.jit(lambda p, v, x, net=net: net.apply(p, v, HYPER, x, train=True)[0])
        outs[precision] = run(params, variables, x)
    low, full = outs["bfloat16"], outs["float32"]
    assert {x.dtype for x in jax.tree.leaves((params, variables, low))} == {
        jnp.dtype("float32")
    }
    difference = abs(low.features - full.features).max()
    assert 0 < difference < 0.05
    assert "bf16[" in str(jax.make_jaxpr(run)(params, variables, x))


def test_images_are_within_bounds():
    nets, z = build(SMALL), inputs(SMALL)[0]
    hyper = {"model": {**HYPER["model"], "init_std": 1.0}}
    out, _ = nets.gen.apply(*nets.gen.init(key(), hyper, z), hyper, z, train=True)
    assert 0.5 < abs(out).max() <= 1


def test_members_with_their_own_numbers():
    spec = replace(SMALL, image_shape=(16, 16, 1), dropout=True)
    net, x = build(spec).disc, inputs(spec, 8)[1]

    def member(std, momentum, rate):
        hyper = {"model": {"init_std": std, "norm_momentum": momentum, "dropout": rate}}
        params, variables = net.init(key(), hyper, x)
        out, variables = net.apply(params, variables, hyper, x, key=key(3), train=True)
        return params, variables, out

    numbers = jnp.array([[0.02, 0.9, 0.0], [0.2, 0.0, 0.5]])
    params, variables, out = jax.jit(jax.vmap(member))(*numbers.T)
    kernel = params["Conv_0"]["kernel"]
    np.testing.assert_allclose(kernel[1], 10 * kernel[0], rtol=1e-5)
    alone = jax.jit(member)(*numbers[1])
    for a, b in zip(
        jax.tree.leaves((params, variables, out)), jax.tree.leaves(alone), strict=True
    ):
        np.testing.assert_allclose(a[1], b, atol=1e-5)
    assert (out.features[0] == 0).mean() < 0.05 < 0.4 < (out.features[1] == 0).mean()


def test_training_and_running_statistics():
    spec = SMALL
    net, z = build(spec).gen, inputs(spec, 8)[0]
    params, variables = net.init(key(), HYPER, z)
    out, moved = net.apply(params, variables, HYPER, z, train=True)
    still, same = net.apply(params, moved, HYPER, z, train=False)
    leaves = jax.tree.leaves
    assert all(
        (a != b).any() for a, b in zip(leaves(variables), leaves(moved), strict=True)
    )
    assert all((a == b).all() for a, b in zip(leaves(moved), leaves(same), strict=True))
    one, _ = net.apply(params, moved, HYPER, z[:1], train=False)
    np.testing.assert_allclose(
        one[0], still[0], atol=1e-6
    )  # no example sees the others
    assert abs(out - still).max() > 1e-3


def test_dropout_follows_the_key_and_only_in_training():
    spec = replace(SMALL, dropout=True)
    net, x = build(spec).disc, inputs(spec)[1]
    params, variables = net.init(key(), HYPER, x)

    def features(seed, train):
        return net.apply(params, variables, HYPER, x, key=seed, train=train)[0].features

    np.testing.assert_array_equal(features(key(1), True), features(key(1), True))
    assert (features(key(1), True) != features(key(2), True)).any()
    np.testing.assert_array_equal(features(key(1), False), features(None, False))


def test_ways_to_write_convolutions_are_the_same_network():
    spec = replace(SMALL, image_shape=(16, 16, 1))

    def run(spec, x):
        net = build(spec).disc
        params, variables = net.init(key(), HYPER, x)

        def loss(params):
            return net.apply(params, variables, HYPER, x, train=True)[0].logits.sum()

        return jax.value_and_grad(loss)(params)

    x = inputs(spec)[1]
    fast = jax.jit(partial(run, spec))(x)
    for impl in ("plain", "gemm"):
        other = jax.jit(partial(run, replace(spec, impl=impl)))(x)
        for a, b in zip(jax.tree.leaves(fast), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
