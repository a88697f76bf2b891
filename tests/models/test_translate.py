"""Networks fed pictures: published sizes and layers, what a patch sees, instance norm, the ways to enlarge."""

from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import PATCHED, TRANSLATORS, build
from gan_jax.models.layers import enlarge, pixel_shuffle
from gan_jax.models.norms import NORMS
from gan_jax.types import ModelSpec, UserError

NUMBERS = {"init_std": 0.2, "norm_momentum": 0.9, "dropout": 0.5, "gen_dropout": 0.5}
HYPER = {"model": NUMBERS}
COLOUR = (256, 256, 3)
TINY = ModelSpec("pix2pix", (16, 16, 1), (16, 16, 1), width=2, norm="none")


def draw(*shape, seed=0):
    draws = np.random.default_rng(seed).uniform(-1, 1, shape)
    return jnp.asarray(draws, jnp.float32)


def shapes(net, *shape):
    """(params, vars, output) of a network fed [2, *shape], shapes only."""

    def run(x):
        params, variables = net.init(jax.random.key(0), HYPER, x)
        out, _ = net.apply(
            params, variables, HYPER, x, key=jax.random.key(1), train=True
        )
        return params, variables, out

    return jax.eval_shape(run, jax.ShapeDtypeStruct((2, *shape), jnp.float32))


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def drawn(net, x):
    """Parameters of a network, N(0, 0.2^2) whatever their place, and its statistics, which must be none."""
    params, variables, _ = shapes(net, *x.shape[1:])
    assert variables == {}
    draws = np.random.default_rng(2)
    return jax.tree.map(
        lambda leaf: jnp.asarray(draws.normal(0, 0.2, leaf.shape), leaf.dtype), params
    )


def compiled(net, train=False, seed=None):
    key = None if seed is None else jax.random.key(seed)
    return jax.jit(lambda p, x: net.apply(p, {}, HYPER, x, key=key, train=train)[0])


def test_pix2pix_has_the_published_number_of_parameters():
    """54,413,955 and 2,768,705 in the authors' code, which has no bias at U-Net's outermost and innermost convolution."""
    nets = build(ModelSpec("pix2pix", COLOUR, COLOUR))
    params, _, out = shapes(nets.gen, *COLOUR)
    assert size(params) == 54_413_955 + 64 + 512 and out.shape == (2, *COLOUR)
    downs = [params[f"Conv_{i}"]["kernel"].shape[-1] for i in range(8)]
    ups = [params[f"ConvTranspose_{i}"]["kernel"].shape[2:] for i in range(8)]
    assert downs == [64, 128, 256, 512, 512, 512, 512, 512]
    inputs = [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert ups == list(zip([512, 512, 512, 512, 256, 128, 64, 3], inputs, strict=True))
    params, _, scores = shapes(nets.disc, 256, 256, 6)
    assert size(params) == 2_768_705
    assert scores.logits.shape == (2 * 32 * 32,)
    assert scores.features.shape == (2, 32 * 32 * 512)


def test_cyclegan_has_the_published_number_of_parameters():
    """11,378,179 and 2,764,737 in the authors' code, whose norms have no scale and shift and whose convolutions a bias."""
    nets = build(ModelSpec("cyclegan", COLOUR, COLOUR, depth=9, norm="instance"))
    params, variables, out = shapes(nets.gen, *COLOUR)
    normed = 64 + 128 + 256 + 18 * 256 + 128 + 64
    assert size(params) == 11_378_179 + normed and variables == {}
    assert out.shape == (2, *COLOUR)
    assert size(shapes(nets.disc, *COLOUR)[0]) == 2_764_737 + 128 + 256 + 512


def test_srgan_has_the_published_layers():
    """Figure 4: 16 blocks and two doublings of 64 channels; D of 96 pixels with 6 x 6 x 512 before its dense layers."""
    nets = build(ModelSpec("srgan", (96, 96, 3), (24, 24, 3), depth=16))
    params, _, out = shapes(nets.gen, 24, 24, 3)
    block = 2 * (9 * 64 * 64 + 2 * 64) + 1
    ends = 81 * 3 * 64 + 64 + 1 + 81 * 64 * 3 + 3
    doubling = 9 * 64 * 256 + 256 + 1
    assert size(params) == ends + 16 * block + (block - 1) // 2 + 2 * doubling
    assert out.shape == (2, 96, 96, 3)
    params, _, scores = shapes(nets.disc, 96, 96, 3)
    widths = [params[f"Conv_{i}"]["kernel"].shape[-1] for i in range(8)]
    assert widths == [64, 64, 128, 128, 256, 256, 512, 512]
    assert params["Dense_0"]["kernel"].shape == (6 * 6 * 512, 1024)
    assert scores.logits.shape == (2,) and scores.features.shape == (2, 1024)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("name", TRANSLATORS)
def test_shapes_and_no_bias_before_a_norm(name, norm):
    spec = ModelSpec(name, (32, 32, 3), (8, 8, 1), width=4, norm=norm, depth=2)
    nets = build(replace(spec, dropout=True, gen_dropout=name == "pix2pix"))
    for net, shape in zip(nets, ((8, 8, 1), (32, 32, 4)), strict=True):
        params, variables, out = shapes(net, *shape)
        layers = [n for n in params if "Norm" not in n and "PReLU" not in n]
        biases = sum("bias" in params[n] for n in layers)
        normed = sum("Norm" in n for n in params)
        assert biases == len(layers) - normed
        assert (normed > 0) == (norm != "none")
        assert list(variables) == (["batch_stats"] if "batch" in norm else [])
        dtypes = {leaf.dtype for leaf in jax.tree.leaves((params, out))}
        assert dtypes == {jnp.dtype("float32")}
    assert shapes(nets.gen, 8, 8, 1)[2].shape == (2, 32, 32, 3)
    patches = 64 if name in PATCHED else 1
    assert shapes(nets.disc, 32, 32, 4)[2].logits.shape == (2 * patches,)


@pytest.mark.parametrize(
    ("side", "patches", "seen"), [(8, 4, 16), (16, 8, 16), (32, 8, 34), (64, 8, 70)]
)
def test_what_a_patch_sees(side, patches, seen):
    """The published receptive fields, by the slope of one logit in the middle of a picture that holds all of it."""
    net = build(replace(TINY, image_shape=(side, side, 1))).disc
    assert shapes(net, side, side, 2)[2].logits.shape == (2 * patches**2,)
    x = draw(1, 96, 96, 1)
    params = drawn(net, x)

    @jax.jit
    def slope(x):
        def one(x):
            logits = net.apply(params, {}, HYPER, x, train=True)[0].logits
            return logits.reshape(int(logits.size**0.5), -1)[5, 5]

        return jax.grad(one)(jnp.tile(x, (1, 2, 2, 1)))[0, :, :, 0]

    rows, columns = (np.flatnonzero(np.abs(slope(x)).sum(i)) for i in (0, 1))
    # a patch at the border would see less: 5 patches from it none of these does
    assert rows[-1] - rows[0] + 1 == columns[-1] - columns[0] + 1 == seen


def test_logits_come_picture_by_picture():
    net, x = build(TINY).disc, draw(3, 16, 16, 1)
    params = drawn(net, x)
    run = compiled(net)
    whole = run(params, x)
    alone = run(params, x[1:2])
    np.testing.assert_allclose(whole.logits[64:128], alone.logits, atol=1e-6)
    np.testing.assert_allclose(whole.features[1:2], alone.features, atol=1e-6)


def test_dropout_is_on_three_layers_of_the_decoder_and_in_training_only():
    spec = replace(TINY, image_shape=(32, 32, 1), gen_dropout=True)
    net, x = build(spec).gen, draw(1, 32, 32, 1)
    params = drawn(net, x)
    traced = jax.make_jaxpr(
        lambda k: net.apply(params, {}, HYPER, x, key=k, train=True)
    )(jax.random.key(0))
    assert str(traced).count("random_bits") == 3
    one, two, again = (compiled(net, True, seed)(params, x) for seed in (1, 2, 1))
    assert abs(one - two).max() > 1e-4 and (one == again).all()
    still = build(replace(spec, gen_dropout=False)).gen
    np.testing.assert_array_equal(
        compiled(net)(params, x), compiled(still, True, 1)(params, x)
    )


def test_the_outermost_skip_carries_every_pixel():
    """With nothing from below, a pixel of the picture still follows the source around it."""
    net, x = build(TINY).gen, draw(1, 16, 16, 1)
    params = drawn(net, x)
    below = params["ConvTranspose_2"]["kernel"]
    params["ConvTranspose_2"]["kernel"] = 0 * below
    run = compiled(net)
    change = abs(run(params, x.at[0, 5, 9].add(0.5)) - run(params, x))[0, :, :, 0]
    assert change[5, 9] > 0 and change[:2].max() == change[:, :6].max() == 0


def test_gradients_do_not_depend_on_how_convolutions_are_written():
    spec = replace(TINY, image_shape=(8, 8, 1), norm="instance")
    x = draw(2, 8, 8, 1)
    params = drawn(build(spec).gen, x)

    def slopes(impl):
        net = build(replace(spec, impl=impl)).gen

        def loss(params):
            return (net.apply(params, {}, HYPER, x, train=True)[0] ** 2).sum()

        return jax.jit(jax.grad(loss))(params)

    fast, other = jax.tree.leaves(slopes("fast")), jax.tree.leaves(slopes("plain"))
    for a, b in zip(fast, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * max(abs(b).max(), 1))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_bfloat16_computes_in_half_and_answers_in_full(name):
    spec = replace(TINY, name=name, source_shape=(8, 8, 1), width=4)
    for which, shape in (("gen", (8, 8, 1)), ("disc", (16, 16, 1))):
        x, outs = draw(2, *shape), {}
        params = drawn(getattr(build(spec), which), x)
        params = jax.tree.map(lambda p: 0.5 * p, params)
        for precision in ("float32", "bfloat16"):
            net = getattr(build(replace(spec, precision=precision)), which)
            outs[precision] = compiled(net)(params, x)
        low, full = (jax.tree.leaves(outs[p])[0] for p in ("bfloat16", "float32"))
        assert low.dtype == jnp.float32
        assert 0 < abs(low - full).max() < 0.05 * abs(full).max()


def test_instance_norm_in_closed_form():
    x = draw(2, 4, 6, 3) * jnp.array([1.0, 5.0, 0.1]) + 2
    layer = NORMS["instance"](0.9, True, jnp.float32, True)
    variables = layer.init(jax.random.key(0), x)
    assert list(variables) == ["params"]
    scale, bias = jnp.array([1.0, -2.0, 3.0]), jnp.array([0.0, 1.0, -1.0])
    out = layer.apply({"params": {"scale": scale, "bias": bias}}, x)
    wide = np.asarray(x, np.float64)
    mean = wide.mean((1, 2), keepdims=True)
    std = np.sqrt(wide.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(out, (wide - mean) / std * scale + bias, atol=1e-4)
    alone = layer.apply({"params": {"scale": scale, "bias": bias}}, x[1:])
    np.testing.assert_allclose(out[1:], alone, atol=1e-6)
    group = nn.GroupNorm(num_groups=3, epsilon=1e-5)
    stock = group.apply({"params": {"scale": scale, "bias": bias}}, x)
    np.testing.assert_allclose(out, stock, atol=1e-3)  # its variance is E x^2 - m^2
    half = NORMS["instance"](0.9, True, jnp.bfloat16, False).apply({}, x)
    assert half.dtype == jnp.bfloat16


def test_instance_norm_needs_positions():
    with pytest.raises(UserError, match="norm=instance takes moments over the pos"):
        shapes(build(ModelSpec("mlp", (2,), latent_dim=3, norm="instance")).gen, 3)


def test_pixel_shuffle_and_enlarge():
    x = np.arange(2 * 2 * 3 * 8).reshape(2, 2, 3, 8).astype(np.float32)
    shuffled = pixel_shuffle(jnp.asarray(x))
    assert shuffled.shape == (2, 4, 6, 2)
    for row, column, channel in np.ndindex(4, 6, 2):
        group = 2 * (row % 2) + column % 2
        expected = x[:, row // 2, column // 2, 2 * group + channel]
        np.testing.assert_array_equal(shuffled[:, row, column, channel], expected)
    square = draw(1, 2, 2, 1)
    large = enlarge(square, 6)
    assert large.shape == (1, 6, 6, 1)
    np.testing.assert_array_equal(large, np.kron(square, np.ones((1, 3, 3, 1))))
    assert enlarge(square, 2) is square or (enlarge(square, 2) == square).all()
    with pytest.raises(UserError, match="2 pixels cannot be laid beside .* of 5"):
        enlarge(square, 5)


REFUSED = [
    ("pix2pix", (24, 24, 1), (24, 24, 1), "power of two from 8 on, not 24"),
    ("pix2pix", (4, 4, 1), (4, 4, 1), "power of two from 8 on, not 4"),
    ("pix2pix", (32, 16, 1), (32, 16, 1), "square pictures, these data are 32x16x1"),
    ("cyclegan", (30, 30, 1), (30, 30, 1), "multiple of 4 from 8 on, not 30"),
    ("srgan", (32, 32, 3), (12, 12, 3), "12x12 does not become 32x32"),
    ("srgan", (8, 8, 3), (16, 16, 3), "16x16 does not become 8x8"),
]


@pytest.mark.parametrize(("name", "image", "source", "reason"), REFUSED)
def test_sizes_that_are_refused(name, image, source, reason):
    net = build(ModelSpec(name, image, source, width=2)).gen
    with pytest.raises(UserError, match=reason):
        shapes(net, *source)


def test_patches_refuse_what_they_cannot_halve():
    net = build(ModelSpec("cyclegan", (36, 36, 1), (36, 36, 1), width=2)).disc
    assert shapes(net, 36, 36, 1)[2].logits.shape == (2 * 81,)
    net = build(ModelSpec("cyclegan", (68, 68, 1), (68, 68, 1), width=2)).disc
    with pytest.raises(UserError, match="68 pixels are no multiple of 8"):
        shapes(net, 68, 68, 1)


def test_srgan_starts_from_its_long_skip():
    """With the blocks' norms at scale 0 only the first convolution's answer is shuffled into the picture."""
    spec = ModelSpec("srgan", (8, 8, 1), (4, 4, 1), width=3, norm="instance", depth=2)
    net, x = build(spec).gen, draw(2, 4, 4, 1)
    params = drawn(net, x)
    silent = {
        n: jax.tree.map(jnp.zeros_like, p) if "Norm" in n else p
        for n, p in params.items()
    }
    first = nn.Conv(3, (9, 9)).apply({"params": params["Conv_0"]}, x)

    def prelu(x, slope):
        return jnp.where(x > 0, x, slope["negative_slope"] * x)

    y = prelu(first, params["PReLU_0"])
    y = nn.Conv(12, (3, 3)).apply({"params": params["Conv_6"]}, y)
    y = prelu(pixel_shuffle(y), params["PReLU_3"])
    y = jnp.tanh(nn.Conv(1, (9, 9)).apply({"params": params["Conv_7"]}, y))
    np.testing.assert_allclose(compiled(net)(silent, x), y, atol=1e-5)
    assert abs(compiled(net)(params, x) - y).max() > 1e-3


def test_the_slope_of_prelu_starts_at_a_quarter():
    spec = ModelSpec("srgan", (8, 8, 1), (4, 4, 1), width=2)
    init = partial(build(spec).gen.init, jax.random.key(0), HYPER)
    params, _ = jax.jit(init)(draw(1, 4, 4, 1))
    assert float(params["PReLU_0"]["negative_slope"]) == 0.25
