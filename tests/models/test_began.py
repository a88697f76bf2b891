"""BEGAN: the published layers, the energy in closed form, what it refuses; an autoencoder that learns."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import ENERGY_MODELS, build
from gan_jax.types import ModelSpec, UserError

HYPER = {"model": {"init_std": 0.1, "norm_momentum": 0.9, "dropout": 0.5}}
PAPER = ModelSpec("began", (64, 64, 3), latent_dim=64, width=128, norm="none")
SMALL = replace(PAPER, image_shape=(16, 16, 2), latent_dim=6, width=3)


def pictures(spec, b=3):
    draws = np.random.default_rng(0).uniform(-1, 1, (b, *spec.image_shape))
    return jnp.asarray(draws, jnp.float32)


def latents(spec, b=3):
    draws = np.random.default_rng(1).uniform(-1, 1, (b, spec.latent_dim))
    return jnp.asarray(draws, jnp.float32)


def drawn(net, *inputs):
    """Parameters of that network, N(0, 0.2^2): drawn here, as compiling its own draw takes seconds."""
    init = partial(net.init, jax.random.key(0), HYPER)
    params, variables = jax.eval_shape(init, *inputs)
    assert variables == {}
    draws = np.random.default_rng(2)
    return jax.tree.map(
        lambda leaf: jnp.asarray(draws.normal(0, 0.2, leaf.shape), leaf.dtype), params
    )


def compiled(net):
    """(params, *inputs) -> what the network answers in training."""
    run = partial(net.apply, key=jax.random.key(1), train=True)
    return jax.jit(lambda params, *inputs: run(params, {}, HYPER, *inputs)[0])


def shapes(spec):
    """Shapes of each layer's kernel in order of construction: (dense, convolutions) of both networks."""
    nets, found = build(spec), []
    for net, x in zip(nets, (latents(spec, 1), pictures(spec, 1)), strict=True):
        params, _ = jax.eval_shape(
            lambda x, net=net: net.init(jax.random.key(0), HYPER, x), x
        )
        layers = [
            [params[f"{kind}_{i}"]["kernel"].shape for i in range(len(params))
             if f"{kind}_{i}" in params]
            for kind in ("Dense", "Conv")
        ]  # fmt: skip
        found.append(layers)
    return found


def test_layers_of_the_paper_at_64_pixels():
    """Figure 1 with n = 128: sides 64, 32, 16, 8, widths n, 2n, 3n, 4n down and n up, 64 numbers between."""
    n = 128
    (gen_dense, gen_conv), (disc_dense, disc_conv) = shapes(PAPER)
    decoder = [(3, 3, n, n)] * 8 + [(3, 3, n, 3)]
    assert gen_dense == [(64, 8 * 8 * n)] and gen_conv == decoder
    assert disc_dense == [(8 * 8 * 4 * n, 64), (64, 8 * 8 * n)]
    encoder = [(3, n)] + [(n, n), (n, n)]
    for level in (1, 2, 3):
        before, width = level * n, (level + 1) * n
        encoder += [(before, before), (before, width), (width, width)]
    assert [shape[2:] for shape in disc_conv[: len(encoder)]] == encoder
    assert disc_conv[len(encoder) :] == decoder


@pytest.mark.parametrize(
    ("side", "start", "convolutions"),
    [(8, 8, 3), (16, 8, 5), (28, 7, 7), (32, 8, 7), (48, 3, 11), (128, 8, 11)],
)
def test_sides(side, start, convolutions):
    (dense, conv), _ = shapes(replace(SMALL, image_shape=(side, side, 1)))
    assert dense == [(6, start * start * 3)] and len(conv) == convolutions


def test_constant_width():
    _, (_, conv) = shapes(replace(SMALL, disc_width=5, constant_width=True))
    assert {shape[3] for shape in conv[:-1]} == {5}


def test_odd_sides_are_refused():
    with pytest.raises(UserError, match="even and at least 8"):
        shapes(replace(SMALL, image_shape=(15, 15, 1)))


def last_convolution(params):
    return f"Conv_{max(int(n.removeprefix('Conv_')) for n in params if 'Conv' in n)}"


def answering(params, value):
    """The parameters of an autoencoder that answers `value` [C] at every pixel."""
    kernel = params[last_convolution(params)]["kernel"]
    last = {"kernel": 0 * kernel, "bias": jnp.asarray(value, jnp.float32)}
    return {**params, last_convolution(params): last}


def test_energy_is_the_mean_distance_to_the_reconstruction():
    net, x = build(SMALL).disc, pictures(SMALL)
    params = drawn(net, x)
    value = np.array([0.25, -1.5], np.float32)
    scores = compiled(net)(answering(params, value), x)
    expected = np.abs(np.asarray(x) - value).mean((1, 2, 3))
    np.testing.assert_allclose(scores.logits, expected, rtol=1e-5)
    assert scores.features.shape == (3, 6) and scores.aux is None


def test_reconstruction_is_the_generator_fed_the_code():
    """D's decoder is G: with G's parameters taken from D's, the energy is mean |x - G(code)|."""
    nets, x = build(SMALL), pictures(SMALL)
    params = drawn(nets.disc, x)
    made = drawn(nets.gen, latents(SMALL))
    shift = sum("Conv" in n for n in params) - sum("Conv" in n for n in made)
    decoder = {"Dense_0": params["Dense_1"]}
    for name in made:
        if "Conv" in name:
            number = int(name.removeprefix("Conv_")) + shift
            decoder[name] = params[f"Conv_{number}"]
    assert jax.tree.map(jnp.shape, decoder) == jax.tree.map(jnp.shape, made)
    scores = compiled(nets.disc)(params, x)
    rebuilt = compiled(nets.gen)(decoder, scores.features)
    expected = abs(x - rebuilt).mean((1, 2, 3))
    np.testing.assert_allclose(scores.logits, expected, rtol=1e-5)
    assert abs(rebuilt).max() > 1e-3  # the code does reach the picture


def test_the_code_is_linear_and_so_are_pictures():
    nets, x, z = build(SMALL), pictures(SMALL), latents(SMALL)
    params = drawn(nets.disc, x)
    scaled = {**params, "Dense_0": jax.tree.map(lambda w: -3 * w, params["Dense_0"])}
    run = compiled(nets.disc)
    one, three = (run(p, x).features for p in (params, scaled))
    np.testing.assert_allclose(three, -3 * one, rtol=1e-4, atol=1e-6)
    params = drawn(nets.gen, z)
    out = compiled(nets.gen)(answering(params, [2.0, -7.0]), z)
    np.testing.assert_allclose(out, jnp.broadcast_to(jnp.array([2, -7.0]), out.shape))


def test_a_label_is_told_to_the_encoder_and_not_rebuilt():
    spec = replace(SMALL, condition="concat", classes=4)
    net, x = build(spec).disc, pictures(spec)
    labels = [jnp.full(3, i) for i in (0, 3)]
    params = drawn(net, x, labels[0])
    assert params["Conv_0"]["kernel"].shape == (3, 3, 2 + 32, 3)
    run = compiled(net)
    first, second = (run(params, x, label) for label in labels)
    assert (first.features != second.features).any(1).all()
    scores = run(answering(params, [0.0, 0.0]), x, labels[1])
    np.testing.assert_allclose(scores.logits, abs(x).mean((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"condition": "projection", "classes": 4},
        {"minibatch": "stddev"},
        {"minibatch": "discrimination"},
        {"aux": 3},
    ],
)
def test_what_acts_on_a_logit_is_refused(change):
    spec = replace(SMALL, **change)
    with pytest.raises(UserError, match="energy, not a logit"):
        drawn(build(spec).disc, pictures(spec), jnp.zeros(3, jnp.int32))


def test_bfloat16_and_norms():
    """The energy is measured in float32: 16 bits round the picture's own part of it away."""
    spec = replace(SMALL, precision="bfloat16", norm="layer", dropout=True)
    net, x = build(spec).disc, pictures(spec)
    params = drawn(net, x)
    convolutions = sum("Conv" in name for name in params)
    assert sum("Norm" in name for name in params) == convolutions - 2  # first and last
    scores = compiled(net)(answering(params, [0.0, 0.0]), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(scores)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(scores.logits, abs(x).mean((1, 2, 3)), rtol=1e-5)


def test_training_lowers_the_energy_of_what_it_is_shown():
    """Gradient descent on the energy of a stripe halves it, and leaves that of noise above it."""
    spec = replace(SMALL, image_shape=(8, 8, 1), width=4)
    net, noise = build(spec).disc, pictures(spec)
    stripe = jnp.where(jnp.arange(8) < 4, 0.8, -0.8)
    shown = jnp.broadcast_to(stripe[:, None, None], noise.shape)
    params = drawn(net, shown)

    run = compiled(net)

    def energy(params, x):
        return run(params, x).logits.mean()

    @jax.jit
    def train(params):
        def step(params, _):
            value, slope = jax.value_and_grad(energy)(params, shown)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, slope), value

        return jax.lax.scan(step, params, length=200)

    trained, values = train(params)
    assert np.isfinite(values).all()
    assert values[-1] < 0.5 * values[0]
    assert energy(trained, noise) > 1.5 * energy(trained, shown)


def test_it_is_named_among_the_energies():
    assert "began" in ENERGY_MODELS
