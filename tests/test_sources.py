"""The source recipes: what they are said to be equal to, counted, simulated or computed in the source's own way."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.source_recipes.losses import explicit_log
from experiments.source_recipes.run import classes
from gan_jax import config, data, models
from gan_jax.combinations import check_together
from gan_jax.data.pictures import decode
from gan_jax.losses import LOSSES
from gan_jax.models.conv import down
from gan_jax.penalties import PENALTIES
from gan_jax.step import init, make_step
from gan_jax.types import Batch, Scores, UserError
from tests.recipes import close

FOLDER = Path(__file__).parents[1] / "configs/sources"
RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0, 3, (2, 128)).astype(np.float32)
FORMS = {
    "cmu_mnist_gan": ("frequency5", "frequency1"),
    "kmualim_mnist": ("script", "notebook"),
    "one_hidden_layer": ("logits", "log", "lsgan"),
}


def source(name, form=""):
    return config.load(f"{FOLDER}/{name}.py" + (f":{form}" if form else ""))


def drawn(name, form="", **changes):
    """Functions that draw the parameters and statistics of both networks of a source."""
    c = source(name, form)
    shape = data.load(config.data_spec(c)).images.shape[1:]
    spec = replace(config.spec_of(c, shape, 10), **changes)
    z, x = jnp.zeros((2, spec.latent_dim)), jnp.zeros((2, *spec.image_shape))
    label = (jnp.zeros(2, jnp.int32),) if spec.condition != "none" else ()
    key, hyper = jax.random.key(0), config.hyper_of(c)
    gen, disc = models.build(spec)
    return [
        lambda net=net, shown=shown: net.init(key, hyper, shown, *label)[0]
        for net, shown in ((gen, z), (disc, x))
    ]


def weights(name, form="", **changes):
    """Parameters of both networks of a source."""
    return [jax.jit(draw)() for draw in drawn(name, form, **changes)]


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in FORMS for form in FORMS[name]]
)
def test_every_form_is_valid_and_the_first_is_the_default(name, form):
    chosen = config.validate(source(name, form))
    assert (chosen == source(name)) == (form == FORMS[name][0])


def test_a_form_that_is_not_there_is_refused_with_the_choices():
    with pytest.raises(UserError, match="frequency5, frequency1"):
        source("cmu_mnist_gan", "frequency2")


def played(pictures, batch, epochs, frequency):
    """The recitation's callback, called after each iteration: (D updates, D updates before each one of G)."""
    iterations, count, waits, since = 0, 0, [], 0
    for _ in range(epochs * -(-pictures // batch)):
        iterations, since, count = iterations + 1, since + 1, count + 1
        if count > frequency:
            waits.append(since)
            count = since = 0
    return iterations, waits


@pytest.mark.parametrize(
    ("name", "form", "run", "disc", "gen"),
    [
        ("cmu_mnist_gan", "frequency5", (60_000, 128, 50, 5), 23_450, 3_908),
        ("cmu_mnist_gan", "frequency1", (60_000, 128, 50, 1), 23_450, 11_725),
        ("cmu_mnist_wgangp", "", (60_000, 128, 100, 10), 46_900, 4_263),
        ("cmu_mnist_cwgangp", "", (60_000, 128, 50, 10), 23_450, 2_131),
        ("cmu_cifar10_wgangp", "", (50_000, 64, 100, 10), 78_200, 7_109),
    ],
)
def test_generator_frequency_is_one_more_than_it_says(name, form, run, disc, gen):
    iterations, waits = played(*run)
    assert (iterations, len(waits)) == (disc, gen)
    c = source(name, form)
    assert (c.batch_size, c.steps, c.n_gen) == (run[1], gen, 1)
    assert {*waits} == {config.recipe_of(c, (28, 28, 1), 10).n_disc}


def test_passes_over_the_pictures():
    assert source("shekkizh_celeba").steps == 15 * 202_599 // 64
    keras = source("kmualim_mnist")
    assert round(keras.steps * keras.batch_size / 60_000, 1) == 2.1
    lsgan = source("one_hidden_layer", "lsgan")
    assert lsgan.steps == 100 * (55_000 // lsgan.batch_size)


def test_shekkizh_networks_have_the_published_size():
    gen, disc = map(jax.eval_shape, drawn("shekkizh_celeba"))
    kernels = 25 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    # the source's own 5.14 and 4.32 millions have a bias of every layer: those before a norm do nothing
    assert size(gen) == 100 * 8192 + kernels + 3 + 2 * (512 + 256 + 128 + 64)
    assert size(disc) == kernels + 64 + 2 * (128 + 256 + 512) + 8192 + 1
    assert (size(gen), size(disc)) == (5_126_723, 4_315_649)


def test_shekkizh_numbers_at_first():
    gen, disc = weights("shekkizh_celeba", width=16)
    std = np.std(disc["Conv_3"]["kernel"])
    np.testing.assert_allclose(std, 0.02 * 0.8796, rtol=0.01)  # cut at two std
    scale = np.concatenate([gen[f"BatchNorm_{i}"]["scale"] for i in range(4)]) - 1
    assert abs(scale.mean()) < 0.005
    np.testing.assert_allclose(scale.std(), 0.02, rtol=0.15)


@pytest.mark.parametrize(("form", "of_disc"), [("script", 0.05), ("notebook", 1 / 6)])
def test_keras_draws_d_and_g_apart(form, of_disc):
    gen, disc = weights("kmualim_mnist", form, width=16, disc_width=8)
    largest = np.abs(disc["Conv_1"]["kernel"]).max()
    assert 0.99 * of_disc < largest <= of_disc * (1 + 1e-6)
    glorot = (6 / (9 * (32 + 32))) ** 0.5
    assert 0.99 * glorot < np.abs(gen["Conv_0"]["kernel"]).max() <= glorot


@pytest.mark.parametrize(("init", "largest"), [("xavier_uniform", 0.378), ("", 4.0)])
def test_cmu_draws_embeddings_as_all_weights(init, largest):
    for params in weights("cmu_mnist_cwgangp", width=2, embedding_init=init):
        kernels = [layer["kernel"] for layer in params.values() if "kernel" in layer]
        (table,) = [kernel for kernel in kernels if kernel.shape == (10, 32)]
        assert 0.6 * largest < np.abs(table).max() < largest


def test_an_embedding_that_is_not_there_is_refused():
    c = config.base()
    c.model.embedding_init = "normal"
    with pytest.raises(UserError, match="model.condition=concat"):
        check_together(c)
    c.model.condition = "concat"
    check_together(c)


def test_the_crop_is_the_originals_and_harmless_to_smaller_pictures():
    c, face = source("shekkizh_celeba"), np.zeros((218, 178, 3), np.uint8)
    face[55 : 55 + 108, 35 : 35 + 108] = 255  # its rows and columns
    assert decode(face, c.data.crop, 64, False).min() == 255
    assert decode(face, c.data.crop + 2, 64, False).min() < 255
    emoji = data.load(data.DataSpec("emoji")).images[0]
    shown = decode(emoji, c.data.crop, 64, False)
    np.testing.assert_array_equal(shown, decode(emoji, 0, 64, False))
    assert shown.shape == (64, 64, 3)


def cross_entropy(label, probability):
    return -(label * np.log(probability) + (1 - label) * np.log1p(-probability)).mean()


def test_the_sum_of_two_cross_entropies_is_the_loss():
    real, fake = (1 / (1 + np.exp(-x.astype(np.float64))) for x in (REAL, FAKE))
    want = cross_entropy(1, real) + cross_entropy(0, fake)
    ours = LOSSES["non_saturating"]
    np.testing.assert_allclose(ours.disc(REAL, FAKE), want, rtol=1e-5)
    np.testing.assert_allclose(ours.gen(REAL, FAKE), cross_entropy(1, fake), rtol=1e-5)


@pytest.mark.parametrize("player", ["disc", "gen"])
def test_labels_and_explicit_logarithms_are_one_loss(player):
    forms = LOSSES["non_saturating"], explicit_log
    both = [
        jax.value_and_grad(getattr(form, player), argnums=(0, 1))(REAL, FAKE)
        for form in forms
    ]
    for a, b in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-8)


def test_the_explicit_form_is_infinite_where_the_other_is_not():
    sure = jnp.full(2, 20.0)
    assert np.isinf(explicit_log.disc(sure, sure))
    np.testing.assert_allclose(LOSSES["non_saturating"].disc(sure, sure), 20, rtol=1e-6)


def trajectory(form, steps):
    """Parameters and losses of the one-hidden-layer GAN after so many steps of the shipped digits."""
    c = source("one_hidden_layer", form)
    images = data.load(config.data_spec(c)).images
    recipe = config.recipe_of(c, images.shape[1:], 10)
    nets = models.build(recipe.model)
    state = init(recipe, nets, config.hyper_of(c), c.seed)
    step, losses = jax.jit(make_step(recipe, nets)), []
    for batch in images[: 128 * steps].reshape(steps, 1, 128, *images.shape[1:]):
        state, metrics = step(state, Batch(batch))
        losses.append([metrics["loss/disc"], metrics["loss/gen"]])
    return state, np.array(losses)


def test_both_forms_train_the_same_for_20_steps():
    """To rounding: 2e-7 of the losses and 2e-6 of weights that moved by up to 20 x 1e-3 when this was written."""
    (first, a), (second, b) = (trajectory(form, 20) for form in ("logits", "log"))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    for p, q in zip(first.players, second.players, strict=True):
        close(p.params, q.params, rtol=0, atol=1e-4)


def test_his_least_squares_is_fifty_means():
    real, fake = REAL[:100], FAKE[:100]
    ours = LOSSES["least_squares"]
    np.testing.assert_allclose(
        np.sum((real - 1) ** 2 + fake**2) / 2, 50 * ours.disc(real, fake), rtol=1e-5
    )
    np.testing.assert_allclose(
        np.sum((fake - 1) ** 2) / 2, 50 * ours.gen(real, fake), rtol=1e-5
    )


def test_the_one_hidden_layer_networks_are_the_formula():
    c = source("one_hidden_layer")
    gen, disc = weights("one_hidden_layer")
    gen, disc = (jax.tree.map(np.asarray, p) for p in (gen, disc))
    assert size(gen) == 100 * 128 + 128 + 128 * 784 + 784
    assert size(disc) == 784 * 128 + 128 + 128 + 1
    nets, hyper = models.build(config.spec_of(c, (28, 28, 1), 10)), config.hyper_of(c)
    z = RNG.uniform(-1, 1, (3, 100)).astype(np.float32)
    pixels = RNG.uniform(0, 1, (3, 784)).astype(np.float32)

    def affine(layer, x):
        return x @ layer["kernel"] + layer["bias"]

    made = nets.gen.apply(gen, {}, hyper, jnp.asarray(z), train=True)[0]
    hidden = np.maximum(affine(gen["Dense_0"], z), 0)
    tanh = np.tanh(affine(gen["Dense_1"], hidden)).reshape(3, 28, 28, 1)
    np.testing.assert_allclose((made + 1) / 2, tanh, rtol=1e-4, atol=1e-5)
    x = jnp.asarray(2 * pixels - 1).reshape(3, 28, 28, 1)
    scores = nets.disc.apply(disc, {}, hyper, x, train=True)[0]
    hidden = np.maximum(affine(disc["Dense_0"], pixels), 0)
    want = affine(disc["Dense_1"], hidden)[:, 0]
    np.testing.assert_allclose(scores.logits, want, rtol=1e-4, atol=1e-5)


def test_a_sigmoid_is_the_tanh_of_half():
    x = np.linspace(-9, 9, 50, dtype=np.float32)
    np.testing.assert_allclose(2 / (1 + np.exp(-x)) - 1, np.tanh(x / 2), atol=1e-6)


def test_pixels_of_0_to_1_are_half_the_weights():
    """D's first layer on 0..1 is ours with half the kernel and that much more bias, away from the border."""
    x = jnp.asarray(RNG.uniform(0, 1, (2, 12, 12, 1)), jnp.float32)
    kernel = jnp.asarray(RNG.normal(size=(4, 4, 1, 5)), jnp.float32)
    theirs = down(x, kernel, 2)
    ours = down(2 * x - 1, kernel / 2, 2) + kernel.sum((0, 1, 2)) / 2
    np.testing.assert_allclose(theirs[:, 1:-1, 1:-1], ours[:, 1:-1, 1:-1], atol=1e-5)
    assert np.abs(theirs - ours)[:, 0].max() > 0.1  # padding: black there, grey here


def test_their_gradient_penalty_is_twice_ours():
    """With F = 2 D: mean D(fake) - mean D(real) + 20 gp by pixels of 0..1 is half of F's loss with 40."""
    w = RNG.normal(size=(16, 8)).astype(np.float32)

    def critic(x):
        return jnp.tanh(x.reshape(len(x), -1) @ w).sum(1)

    real, fake = RNG.uniform(0, 1, (2, 6, 4, 4, 1)).astype(np.float32)
    key, loss = jax.random.key(0), LOSSES["wasserstein"].disc

    def ours(x):
        return Scores(2 * critic((x + 1) / 2))

    theirs = loss(critic(real), critic(fake)) + 20 * PENALTIES["gp"](
        lambda x: Scores(critic(x)), real, fake, key
    )
    real, fake = 2 * real - 1, 2 * fake - 1
    total = loss(ours(real).logits, ours(fake).logits)
    total += 40 * PENALTIES["gp"](ours, real, fake, key)
    np.testing.assert_allclose(2 * theirs, total, rtol=1e-4)
    gp = [
        source(f"cmu_{name}").penalty.gp for name in ("mnist_wgangp", "mnist_cwgangp")
    ]
    assert [*gp, source("cmu_cifar10_wgangp").penalty.gp] == [2 * 20, 2 * 20, 2 * 10]


def test_keras_clips_at_the_logit_of_its_epsilon():
    clip = source("kmualim_mnist").trick.logit_clip
    assert abs(np.log((1 - 1e-7) / 1e-7) - clip) < 1e-3


@pytest.mark.parametrize(("rare", "digits"), [(19, 1), (20, 2)])
def test_classes_of_samples_by_hand(rare, digits):
    """A digit is there from 2 % of the samples on; entropy and confidence are of all of them."""
    sure = np.eye(10)[[3] * (1000 - rare) + [7] * rare]
    p = rare / 1000
    want = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    assert classes(sure) == pytest.approx(
        {"digits": digits, "entropy": want, "confident": 1}
    )
    even = np.eye(10)[np.arange(1000) % 10] * 0.8 + 0.02
    assert classes(even) == pytest.approx(
        {"digits": 10, "entropy": np.log(10), "confident": 0}
    )


def test_every_source_is_in_the_table_of_the_page():
    page = (FOLDER.parents[1] / "docs/sources.md").read_text()
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert len({name for name in names if f"`{name}" in page}) == len(names) == 8
