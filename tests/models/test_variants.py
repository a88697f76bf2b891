"""The CMU and Keras networks: the published layers, their activations, padding, options."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.models import build
from gan_jax.types import ModelSpec, UserError

HYPER = {"model": {"init_std": 0.02, "norm_momentum": 0.9, "dropout": 0.25}}
CMU_MNIST = ModelSpec("cmu", (28, 28, 1), width=32)
CMU_CIFAR = ModelSpec("cmu", (32, 32, 3), width=32, disc_norm="none")
KERAS = ModelSpec("upsample", (28, 28, 1), width=64, disc_width=32, kernel=3)


def inputs(spec, b=2):
    draws = np.random.default_rng(0)
    sizes = (b, spec.latent_dim), (b, *spec.image_shape)
    return tuple(jnp.asarray(draws.normal(size=size), jnp.float32) for size in sizes)


def initial(spec):
    """Parameters of both networks, shapes only."""
    init = [partial(net.init, jax.random.key(0), HYPER) for net in build(spec)]
    return [jax.eval_shape(*each)[0] for each in zip(init, inputs(spec), strict=True)]


def compiled(net):
    """(params, input) -> what the network answers in training; the third argument is dropout's seed."""

    def run(params, x, seed=0):
        seed = jax.random.key(seed)
        return net.apply(params, {}, HYPER, x, key=seed, train=True)[0]

    return jax.jit(run)


def kernels(params):
    """name -> shape of each layer's kernel."""
    return {n: p["kernel"].shape for n, p in params.items() if "kernel" in p}


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def norms(params):
    return sum("BatchNorm" in name for name in params)


def test_cmu_mnist_is_the_published_network():
    gen, disc = initial(CMU_MNIST)
    assert kernels(gen) == {
        "Dense_0": (100, 1024),
        "Dense_1": (1024, 7 * 7 * 128),
        "ConvTranspose_0": (4, 4, 64, 128),
        "ConvTranspose_1": (4, 4, 32, 64),
        "Conv_0": (3, 3, 32, 1),
    }
    assert kernels(disc) == {
        "Conv_0": (4, 4, 1, 64),
        "Conv_1": (4, 4, 64, 128),
        "Dense_0": (7 * 7 * 128, 1024),
        "Dense_1": (1024, 1),
    }
    assert norms(gen) == 4 and norms(disc) == 3  # on every hidden layer
    # the original's own count has a bias of every layer: those before a norm do nothing
    assert size(gen) == 6_698_945 - (1024 + 7 * 7 * 128 + 64 + 32)
    assert size(disc) == 6_559_297 - (64 + 128 + 1024)


def test_cmu_cifar_is_the_published_network():
    gen, disc = initial(CMU_CIFAR)
    assert kernels(gen)["Dense_1"] == (1024, 2 * 2 * 512)
    ups = [kernels(gen)[f"ConvTranspose_{i}"][2:] for i in range(4)]
    assert ups == [(256, 512), (128, 256), (64, 128), (32, 64)]
    downs = [kernels(disc)[f"Conv_{i}"][2:] for i in range(4)]
    assert downs == [(3, 64), (64, 128), (128, 256), (256, 512)]
    assert kernels(disc)["Dense_0"] == (2 * 2 * 512, 1024)
    assert norms(gen) == 6 and norms(disc) == 0


def test_upsample_is_the_published_network():
    gen, disc = initial(KERAS)
    assert kernels(gen) == {
        "Dense_0": (100, 7 * 7 * 128),
        "Conv_0": (3, 3, 128, 128),
        "Conv_1": (3, 3, 128, 64),
        "Conv_2": (3, 3, 64, 1),
    }
    assert kernels(disc) == {
        "Conv_0": (3, 3, 1, 32),
        "Conv_1": (3, 3, 32, 64),
        "Conv_2": (3, 3, 64, 128),
        "Conv_3": (3, 3, 128, 256),
        "Dense_0": (2 * 2 * 256, 1),
    }
    assert norms(gen) == 2 and norms(disc) == 4
    # the original's own count has a bias of every layer: those before a norm do nothing
    assert size(gen) == 855_809 - (128 + 64)
    assert size(disc) == 389_825 - (32 + 64 + 128 + 256)


@pytest.mark.parametrize("name", ["cmu", "upsample"])
@pytest.mark.parametrize("resolution", [8, 12, 28, 64, 128])
def test_networks_at_other_sides(name, resolution):
    """Each makes and takes every even side; the Keras discriminator ends at 2 x 2 pixels of whatever width."""
    spec = ModelSpec(
        name, (resolution, resolution, 3), latent_dim=4, width=2, norm="none"
    )
    made, scores = (
        jax.eval_shape(compiled(net), params, x)
        for net, params, x in zip(build(spec), initial(spec), inputs(spec), strict=True)
    )
    assert made.shape == (2, *spec.image_shape)
    assert scores.logits.shape == (2,)
    halved = math.ceil(math.log2(resolution)) - 1
    features = 32 * 2 if name == "cmu" else 2 * 2 * 2**halved
    assert scores.features.shape == (2, features)


@pytest.mark.parametrize("name", ["cmu", "upsample"])
def test_discriminator_of_constant_width(name):
    spec = replace(KERAS, name=name, disc_width=16, constant_width=True)
    disc = kernels(initial(spec)[1])
    outputs = {shape[-1] for layer, shape in disc.items() if "Conv" in layer}
    assert outputs == {32 if name == "cmu" else 16}


@pytest.mark.parametrize("name", ["cmu", "upsample"])
def test_odd_sides_are_refused(name):
    with pytest.raises(UserError, match="even and at least 8"):
        initial(ModelSpec(name, (15, 15, 1)))


def stripped(params, **changed):
    """Parameters of a network without norms: all zero but those given as {layer: (kernel value, bias)}."""
    return {
        name: {
            part: jnp.full_like(leaf, changed.get(name, (0, 0))[part == "bias"])
            for part, leaf in layer.items()
        }
        for name, layer in params.items()
    }


def test_cmu_pictures_are_the_rescaled_sigmoid():
    spec = ModelSpec("cmu", (8, 8, 1), latent_dim=3, width=1, norm="none")
    run, params = compiled(build(spec).gen), initial(spec)[0]
    for bias in (-1.5, 0.4):
        out = run(stripped(params, Conv_0=(0, bias)), inputs(spec)[0])
        np.testing.assert_allclose(out, 2 / (1 + np.exp(-bias)) - 1, rtol=1e-5)


def test_cmu_slope_is_one_hundredth_in_both_nets():
    spec = ModelSpec("cmu", (8, 8, 1), latent_dim=3, width=1, norm="none")
    nets, (gen, disc), (z, x) = build(spec), initial(spec), inputs(spec)
    out = compiled(nets.disc)(stripped(disc, Dense_0=(0, -3.0)), x)
    np.testing.assert_allclose(out.features, -0.03, rtol=1e-5)
    # ConvTranspose_1 is the generator's last hidden layer; a pixel inside sees 9 of its pixels
    out = compiled(nets.gen)(stripped(gen, ConvTranspose_1=(0, -3.0), Conv_0=(1, 0)), z)
    np.testing.assert_allclose(out[:, 1:-1, 1:-1], np.tanh(9 * -0.03 / 2), rtol=1e-5)


def random(params):
    """The same tree, N(0, 0.3^2)."""
    draws = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: draws.normal(0, 0.3, leaf.shape).astype(leaf.dtype), params
    )


def same_keras(x, w):
    """Stride 2, TensorFlow's "SAME" of odd and even sides, in NumPy."""
    k, side = w.shape[0], -(-x.shape[1] // 2)
    zeros = 2 * (side - 1) + k - x.shape[1]
    ends = (zeros // 2, zeros - zeros // 2)
    x = np.pad(x, ((0, 0), ends, ends, (0, 0)))
    patches = [
        x[:, i : i + 2 * side - 1 : 2, j : j + 2 * side - 1 : 2] @ w[i, j]
        for i in range(k)
        for j in range(k)
    ]
    return np.sum(patches, axis=0)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_upsample_discriminator_is_the_formula(kernel):
    """14 pixels: 14, 7, 4, 2."""
    spec = replace(KERAS, image_shape=(14, 14, 2), disc_width=2, kernel=kernel)
    spec = replace(spec, norm="none")
    net, x = build(spec).disc, inputs(spec)[1]
    params = random(initial(spec)[1])
    scores = compiled(net)(params, x)
    h = np.asarray(x, np.float64)
    for i in range(3):
        layer = params[f"Conv_{i}"]
        h = same_keras(h, layer["kernel"]) + layer.get("bias", 0)
        h = np.where(h > 0, h, 0.2 * h)
    assert h.shape == (2, 2, 2, 8) and scores.features.shape == (2, 32)
    np.testing.assert_allclose(scores.features, h.reshape(2, -1), rtol=2e-4, atol=1e-4)


def test_upsample_generator_doubles_by_nearest_neighbour():
    """Convolutions that only copy (their middle entry is 1) leave blocks of 4 x 4 equal pixels of the 7 x 7 start."""
    spec = replace(KERAS, latent_dim=7 * 7, width=1, norm="none")
    net, z = build(spec).gen, inputs(spec)[0]
    params = stripped(initial(spec)[0])
    identity = np.zeros((49, 49, 2), np.float32)
    identity[..., 0] = np.eye(49)
    params["Dense_0"]["kernel"] = jnp.asarray(identity.reshape(49, 98))
    for i in range(3):
        kernel = params[f"Conv_{i}"]["kernel"]
        params[f"Conv_{i}"]["kernel"] = kernel.at[1, 1, 0, 0].set(1)
    out = compiled(net)(params, z)
    start = np.maximum(np.asarray(z).reshape(2, 7, 7, 1), 0)
    np.testing.assert_allclose(
        out, np.tanh(start.repeat(4, 1).repeat(4, 2)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["cmu", "upsample"])
def test_dropout_is_the_discriminators_alone(name):
    spec = ModelSpec(name, (8, 8, 1), latent_dim=3, width=2, norm="none", dropout=True)
    differs = []
    for net, params, x in zip(build(spec), initial(spec), inputs(spec), strict=True):
        run, params = compiled(net), random(params)
        first, second = (jax.tree.leaves(run(params, x, seed)) for seed in (1, 2))
        differs.append(any((a != b).any() for a, b in zip(first, second, strict=True)))
    assert differs == [False, True]
