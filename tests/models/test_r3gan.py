"""R3GAN: published sizes, grouped convolutions, resampling, fix-up, what it refuses."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gan_jax.models import build
from gan_jax.models.conv import CONV
from gan_jax.models.r3gan import _bilinear_down, _bilinear_up
from gan_jax.types import ModelSpec, UserError

HYPER = {"model": {"init_std": 0.02, "norm_momentum": 0.9, "dropout": 0.5}}
TINY = ModelSpec("r3gan", (8, 8, 1), latent_dim=4, width=8, norm="none")
PUBLISHED = ModelSpec("r3gan", (256, 256, 3), latent_dim=64, width=96, norm="none")


def inputs(spec, b=3):
    draws = np.random.default_rng(0)
    sizes = (b, spec.latent_dim), (b, *spec.image_shape)
    return [jnp.asarray(draws.normal(size=size), jnp.float32) for size in sizes]


def started(spec, player, *label):
    net = getattr(build(spec), player)
    x = inputs(spec)[player == "disc"]
    init = jax.jit(lambda key: net.init(key, HYPER, x, *label))
    params, variables = init(jax.random.key(0))
    assert variables == {}
    return net, params, x


def shapes(spec):
    """(parameters, output) of both networks, shapes only."""

    def run(net, x, key):
        params, variables = net.init(key, HYPER, x)
        return params, net.apply(params, variables, HYPER, x, key=key, train=True)[0]

    pairs = zip(build(spec), inputs(spec), strict=True)
    return [jax.eval_shape(partial(run, net), x, jax.random.key(0)) for net, x in pairs]


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_published_sizes_at_256():
    """Table 2, config E: 23.058 and 23.010 million parameters; our logit has a bias."""
    gen, disc = shapes(PUBLISHED)
    assert round(count(gen[0]) / 1e6, 3) == 23.058
    assert round(count(disc[0]) / 1e6, 3) == 23.010
    assert count(gen[0]) - count(disc[0]) == 64 * 768 - 768 - 1
    assert gen[1].shape == (3, 256, 256, 3) and disc[1].features.shape == (3, 768)


def test_published_widths_at_32():
    spec = replace(PUBLISHED, image_shape=(32, 32, 3), width=768, constant_width=True)
    for params, _ in shapes(spec):
        groups = [layer for name, layer in params.items() if "GroupConv" in name]
        assert [g["kernel"].shape for g in groups] == [(3, 3, 16, 1536)] * 8


@pytest.mark.parametrize(("side", "start"), [(28, 7), (32, 4), (48, 3), (64, 4)])
def test_other_sizes(side, start):
    gen, disc = shapes(replace(TINY, image_shape=(side, side, 1), dropout=True))
    assert gen[0]["basis"].shape[:2] == disc[0]["basis"].shape[:2] == (start, start)
    assert gen[1].shape == (3, side, side, 1) and disc[1].logits.shape == (3,)


@pytest.mark.parametrize(
    ("channels", "group", "impl", "k"),
    [(160, 16, "fast", 3), (12, 4, "fast", 2), (12, 4, "fast", 5)]
    + [(12, 4, "gemm", 3), (12, 4, "plain", 3)],
)
def test_grouped_convolution_to_the_second_derivative(channels, group, impl, k):
    draws = np.random.default_rng(0)
    x = jnp.asarray(draws.normal(size=(2, 4, 6, channels)), jnp.float32)
    w = jnp.asarray(0.1 * draws.normal(size=(k, k, group, channels)), jnp.float32)

    def stock(x, w):
        groups = {"feature_group_count": channels // group}
        dims = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=dims, **groups
        )

    def derivatives(operation):
        def loss(x, w):
            return jnp.sum(jnp.sin(operation(x, w)))

        def penalty(x, w):
            gx, gw = jax.grad(loss, (0, 1))(x, w)
            return jnp.sum(gx**2) + jnp.sum(jnp.tanh(gw))

        first, second = jax.grad(loss, (0, 1)), jax.grad(penalty, (0, 1))
        return operation(x, w), first(x, w), second(x, w)

    grouped = CONV[impl].grouped
    ours = jax.jit(partial(derivatives, grouped))()
    theirs = jax.jit(partial(derivatives, stock))()
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * max(1, abs(b).max()))
    if impl != "fast":  # which is for reverse mode only
        _, slope = jax.jvp(lambda x: grouped(x, w), (x,), (x,))  # it is linear
        np.testing.assert_allclose(slope, ours[0], atol=1e-5)
    members = jax.jit(jax.vmap(grouped))
    both = members(jnp.stack([x, -x]), jnp.stack([w, 2 * w]))
    np.testing.assert_allclose(both[1], -2 * ours[0], atol=1e-4)


def test_resampling_is_bilinear_and_the_two_are_transposes():
    draws = np.random.default_rng(0)
    x = jnp.asarray(draws.normal(size=(1, 6, 4, 2)), jnp.float32)
    y = jnp.asarray(draws.normal(size=(1, 12, 8, 2)), jnp.float32)
    up, down = jax.jit(_bilinear_up)(x), jax.jit(_bilinear_down)(y)
    stock = jax.image.resize(x, y.shape, "bilinear")
    np.testing.assert_allclose(up[:, 1:-1, 1:-1], stock[:, 1:-1, 1:-1], atol=1e-5)
    np.testing.assert_allclose(jnp.vdot(up, y), 4 * jnp.vdot(x, down), rtol=1e-4)
    taps = np.array([1, 3, 3, 1]) / 8
    middle = y[0, 3:7, 1:5, 0]  # what pixel (2, 1) of the half size sees
    np.testing.assert_allclose(down[0, 2, 1, 0], taps @ middle @ taps, atol=1e-5)


def test_residual_branches_start_at_zero():
    """The generator is then linear in z, and its learned start only resampled and mixed by 1x1 kernels."""
    net, params, z = started(TINY, "gen")
    run = jax.jit(lambda params, z: net.apply(params, {}, HYPER, z, train=True)[0])
    np.testing.assert_allclose(run(params, -2 * z), -2 * run(params, z), atol=1e-4)
    start = params["basis"] * (z @ params["Dense_0"]["kernel"])[:, None, None]
    mixed = _bilinear_up(start @ params["Conv_4"]["kernel"][0, 0])
    expected = mixed @ params["Conv_9"]["kernel"][0, 0]
    np.testing.assert_allclose(run(params, z), expected, atol=1e-4)
    zeros = [n for n, p in params.items() if n != "basis" and not p["kernel"].any()]
    assert zeros == ["Conv_1", "Conv_3", "Conv_6", "Conv_8"]
    assert abs(run(params, 20 * z)).max() > 1  # linear: not squeezed by tanh


def test_initial_kernels_have_the_variance_of_fix_up():
    net = build(replace(TINY, width=32)).disc
    x = jnp.zeros((1, 8, 8, 1))
    params, _ = jax.jit(lambda key: net.init(key, HYPER, x))(jax.random.key(0))
    gain = np.sqrt(2 / 1.04) * 4**-0.25  # two stages of two blocks
    for name, inputs_ in {"Conv_1": 32, "GroupConv_0": 144, "GroupConv_2": 144}.items():
        std = params[name]["kernel"].std()
        np.testing.assert_allclose(std, gain / np.sqrt(inputs_), rtol=0.06)
    np.testing.assert_allclose(params["Conv_5"]["kernel"].std(), 32**-0.5, rtol=0.06)
    np.testing.assert_allclose(params["basis"].std(), 1 / 4, rtol=0.1)
    np.testing.assert_allclose(params["Dense_0"]["kernel"].std(), 1 / 8, rtol=0.3)


@pytest.mark.parametrize("player", ["gen", "disc"])
def test_labels_change_the_output(player):
    spec = replace(TINY, classes=3, condition="concat")
    net, params, x = started(spec, player, jnp.array([0, 1, 2]))

    @jax.jit
    def run(labels):
        out, _ = net.apply(params, {}, HYPER, x, labels, train=False)
        return out if player == "gen" else out.logits

    before, after = run(jnp.array([0, 1, 2])), run(jnp.array([0, 1, 0]))
    changed = abs(before - after).reshape(3, -1).max(1) > 1e-4
    np.testing.assert_array_equal(changed, [False, False, True])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"norm": "batch"}, "no normalisation, so norm=batch"),
        ({"disc_norm": "layer"}, "no normalisation.*disc_norm='layer'"),
        ({"classes": 3, "condition": "projection"}, "condition=projection"),
        ({"gen_spectral": True}, "no spectral norm"),
        ({"disc_spectral": True}, "no spectral norm"),
        ({"image_shape": (15, 15, 1)}, "even and at least 8"),
        ({"image_shape": (28, 28, 1), "attention": 7}, "sides that it has: 14, 28;"),
    ],
    ids=str,
)
def test_what_it_refuses(change, reason):
    with pytest.raises(UserError, match=reason):
        shapes(replace(TINY, **change))


def test_r1_in_bfloat16():
    spec = replace(TINY, precision="bfloat16")
    net, params, x = started(spec, "disc")

    def penalty(params):
        def logit(x):
            scores, _ = net.apply(params, {}, HYPER, x, train=True)
            assert scores.logits.dtype == scores.features.dtype == "float32"
            return scores.logits.sum()

        return jnp.sum(jax.grad(logit)(x) ** 2)

    slopes = jax.jit(jax.grad(penalty))(params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert abs(slopes["Conv_2"]["kernel"]).max() > 0  # it starts at 0, and learns


def test_attention_is_in_both_networks():
    for params, _ in shapes(replace(TINY, attention=8)):
        assert params["Gamma_0"]["gamma"].shape == ()
