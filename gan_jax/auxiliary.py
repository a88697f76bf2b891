"""What generator and discriminator do together beside their game: name the class (ACGAN), find the code (InfoGAN)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gan_jax.latents import codes_of
from gan_jax.types import AnyArray, Metrics, ModelSpec, Scores

Term = tuple[Any, Metrics]


class Terms(NamedTuple):
    """disc(context, of_real, of_fake, made) and gen(context, of_fake, made) -> (scalar to add to the loss, metrics)."""

    disc: Callable[..., Term]
    gen: Callable[..., Term]


class Auxiliary(NamedTuple):
    """A row of AUXILIARY: bind(spec) -> Terms; aux(spec) -> how many numbers D answers beside its logit."""

    bind: Callable[[ModelSpec], Terms]
    aux: Callable[[ModelSpec], int] = lambda spec: 0


def cross_entropy(
    logits: Float[AnyArray, "n classes"], label: Int[AnyArray, " n"]
) -> Float[Array, ""]:
    """-mean log softmax(logits)[label], nats."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1)
    return -jnp.mean(chosen)


def accuracy(
    logits: Float[AnyArray, "n classes"], label: Int[AnyArray, " n"]
) -> Float[Array, ""]:
    """The share of samples whose largest logit is the label's."""
    return jnp.mean(jnp.argmax(logits, axis=1) == label)


def nothing(spec: ModelSpec) -> Terms:
    """No auxiliary task."""
    zero = (jnp.float32(0.0), {})
    return Terms(lambda *_: zero, lambda *_: zero)


def name_the_class(spec: ModelSpec) -> Terms:
    """Both players minimise the cross entropy of D's class head: D on real and fake, G on fakes.

    ACGAN, Odena et al. 2017 (arXiv:1610.09585), eq. 3: weight * (CE(real) + CE(fake)).
    """

    def disc(context: Any, of_real: Scores, of_fake: Scores, made: Any) -> Term:
        label = context.batch.label
        value = cross_entropy(of_real.aux, label) + cross_entropy(of_fake.aux, label)
        metrics = {
            "class/real": accuracy(of_real.aux, label),
            "class/fake": accuracy(of_fake.aux, label),
        }
        return context.hyper["loss_args"]["aux"] * value, metrics

    def gen(context: Any, of_fake: Scores, made: Any) -> Term:
        value = cross_entropy(of_fake.aux, context.batch.label)
        return context.hyper["loss_args"]["aux"] * value, {"loss/class": value}

    return Terms(disc, gen)


def find_the_code(spec: ModelSpec) -> Terms:
    """Both players minimise -log Q(c|G(z)) of the codes c, Q being heads on D: InfoGAN.

    Chen et al. 2016 (arXiv:1606.03657), eq. 5 and 6. Categorical codes: cross entropy, weight loss_args.aux.
    Continuous codes: Q is a Gaussian of std 1 around D's answer, so half the squared error, summed over codes,
    weight loss_args.aux_continuous. Logged are lower bounds of the mutual information in nats: H(c) - CE for each
    categorical code (at most log classes), and for the continuous ones, with the Gaussian of the best fixed std,
    the mean over codes of log 2 - 0.5 log(2 pi e MSE).
    """
    many, classes, continuous = spec.codes

    def informed(context: Any, of_fake: Scores, made: Any) -> Term:
        codes, numbers = codes_of(spec, made.z), context.hyper["loss_args"]
        total, metrics = jnp.float32(0.0), {}
        if many:
            heads = of_fake.aux[:, : many * classes].reshape(-1, many, classes)
            log_q = jnp.sum(jax.nn.log_softmax(heads) * codes.categorical, axis=(1, 2))
            total += numbers["aux"] * -jnp.mean(log_q)
            metrics["info/categorical"] = math.log(classes) + jnp.mean(log_q) / many
        if continuous:
            error = (of_fake.aux[:, many * classes :] - codes.continuous) ** 2
            total += numbers["aux_continuous"] * 0.5 * jnp.mean(jnp.sum(error, axis=1))
            entropy = 0.5 * jnp.log(2 * jnp.pi * jnp.e * error.mean(0) + 1e-12)
            metrics["info/continuous"] = math.log(2.0) - jnp.mean(entropy)
        return total, metrics

    def disc(context: Any, of_real: Scores, of_fake: Scores, made: Any) -> Term:
        return informed(context, of_fake, made)

    def gen(context: Any, of_fake: Scores, made: Any) -> Term:
        return informed(context, of_fake, made)

    return Terms(disc, gen)


AUXILIARY: dict[str, Auxiliary] = {
    "noise_to_image": Auxiliary(nothing),
    "acgan": Auxiliary(name_the_class, lambda spec: spec.classes),
    "infogan": Auxiliary(
        find_the_code, lambda spec: spec.codes[0] * spec.codes[1] + spec.codes[2]
    ),
}
