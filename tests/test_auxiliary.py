"""Auxiliary tasks: cross entropy, ACGAN's terms, InfoGAN's terms and bounds."""

import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.auxiliary import AUXILIARY, accuracy, cross_entropy
from gan_jax.latents import codes_of, draw_latents
from gan_jax.types import Batch, ModelSpec, Scores

RNG = np.random.default_rng(0)
N, CLASSES = 7, 4
LABEL = RNG.integers(0, CLASSES, N).astype(np.int32)
REAL, FAKE = RNG.normal(size=(2, N, CLASSES)).astype(np.float32)
HEADS = RNG.normal(size=(N, 11)).astype(np.float32)


def spec(many=2, continuous=3):
    size = 5 + many * CLASSES + continuous
    codes = (many, CLASSES, continuous)
    return ModelSpec("mlp", (2,), latent_dim=size, codes=codes, classes=CLASSES)


def context(aux=1.0, aux_continuous=1.0):
    numbers = {"aux": aux, "aux_continuous": aux_continuous}
    batch = Batch(jnp.zeros((N, 2)), jnp.asarray(LABEL))
    return SimpleNamespace(batch=batch, hyper={"loss_args": numbers})


def answer(aux):
    return Scores(jnp.zeros(N), None, aux)


def by_hand(logits, label):
    """-mean log softmax, in float64."""
    logits = logits.astype(np.float64)
    chosen = logits[np.arange(len(label)), label]
    return np.mean(np.log(np.exp(logits).sum(1)) - chosen)


def test_cross_entropy_is_its_closed_form():
    got = cross_entropy(REAL, LABEL)
    np.testing.assert_allclose(got, by_hand(REAL, LABEL), rtol=1e-5)
    np.testing.assert_allclose(
        cross_entropy(jnp.zeros((N, CLASSES)), LABEL), math.log(CLASSES), rtol=1e-6
    )


def test_cross_entropy_survives_large_logits():
    sure = 1e4 * jax.nn.one_hot(LABEL, CLASSES)
    assert float(cross_entropy(sure, LABEL)) == 0.0
    wrong = jnp.asarray((LABEL + 1) % CLASSES)
    assert float(cross_entropy(sure, wrong)) == 1e4


def test_accuracy_counts_the_right():
    logits = np.eye(CLASSES, dtype=np.float32)[LABEL]
    logits[:2] = 1 - logits[:2]
    np.testing.assert_allclose(accuracy(logits, LABEL), 5 / 7, rtol=1e-6)


@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_acgan_sums_both_cross_entropies_for_d_and_takes_the_fakes_for_g(weight):
    terms = AUXILIARY["acgan"].bind(spec())
    value, metrics = terms.disc(context(weight), answer(REAL), answer(FAKE), None)
    of_real, of_fake = by_hand(REAL, LABEL), by_hand(FAKE, LABEL)
    np.testing.assert_allclose(value, weight * (of_real + of_fake), rtol=1e-5)
    right = {"real": REAL, "fake": FAKE}
    for side, logits in right.items():
        want = np.mean(logits.argmax(1) == LABEL)
        np.testing.assert_allclose(metrics[f"class/{side}"], want, rtol=1e-6)
    value, metrics = terms.gen(context(weight), answer(FAKE), None)
    np.testing.assert_allclose(value, weight * of_fake, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss/class"], of_fake, rtol=1e-5)


def informed(s, heads, **weights):
    """InfoGAN's term and metrics where Q answers `heads(codes)`; both players' are the same."""
    terms = AUXILIARY["infogan"].bind(s)
    made = SimpleNamespace(z=draw_latents(s, jax.random.key(0), N))
    of_fake = answer(heads(codes_of(s, made.z)))
    disc = terms.disc(context(**weights), answer(None), of_fake, made)
    gen = terms.gen(context(**weights), of_fake, made)
    assert jax.tree.all(jax.tree.map(np.array_equal, disc, gen))
    return gen


def exactly(sure, apart=0.0):
    """Heads that give the code itself: logits `sure` times the one-hots, values off by `apart`."""

    def heads(codes):
        blocks = sure * codes.categorical.reshape(N, -1)
        return jnp.concatenate([blocks, codes.continuous + apart], axis=1)

    return heads


def test_a_q_that_knows_the_code_has_all_its_information():
    total, metrics = informed(spec(), exactly(100.0))
    np.testing.assert_allclose(metrics["info/categorical"], math.log(CLASSES))
    assert abs(float(total)) < 1e-6 and float(metrics["info/continuous"]) > 10


def test_an_ignorant_q_has_none():
    total, metrics = informed(spec(), lambda codes: jnp.zeros((N, 11)))
    assert abs(float(metrics["info/categorical"])) < 1e-6
    codes = codes_of(spec(), draw_latents(spec(), jax.random.key(0), N))
    half = 0.5 * np.mean(np.sum(np.square(codes.continuous), axis=1))
    np.testing.assert_allclose(total, 2 * math.log(CLASSES) + half, rtol=1e-5)


def test_the_bound_of_continuous_codes_is_its_closed_form_and_grows_with_precision():
    bounds = []
    for apart in (0.5, 0.1, 0.01):
        total, metrics = informed(spec(0), exactly(0.0, apart))
        np.testing.assert_allclose(total, 0.5 * 3 * apart**2, rtol=1e-4)
        want = math.log(2) - 0.5 * math.log(2 * math.pi * math.e * apart**2)
        np.testing.assert_allclose(metrics["info/continuous"], want, atol=1e-4)
        bounds.append(want)
    assert bounds == sorted(bounds)


def test_each_kind_of_code_has_its_weight():
    def heads(codes):
        return HEADS

    def total(aux, aux_continuous):
        return float(informed(spec(), heads, aux=aux, aux_continuous=aux_continuous)[0])

    categorical, continuous = total(1.0, 0.0), total(0.0, 1.0)
    assert min(categorical, continuous) > 0.1
    want = 2 * categorical + 3 * continuous
    np.testing.assert_allclose(total(2.0, 3.0), want, rtol=1e-5)


def test_how_many_numbers_d_answers_beside_its_logit():
    sizes = {name: row.aux(spec()) for name, row in AUXILIARY.items()}
    assert sizes == {"noise_to_image": 0, "acgan": CLASSES, "infogan": 11}


def test_no_task_adds_nothing():
    terms = AUXILIARY["noise_to_image"].bind(spec())
    for value, metrics in (terms.disc(0, 0, 0, 0), terms.gen(0, 0, 0)):
        assert float(value) == 0 and metrics == {}
