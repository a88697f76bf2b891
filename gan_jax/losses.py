"""Adversarial losses: pure functions of what D gives, each the scalar its player minimises.

Conventions for the whole file: D gives one float32 number a sample, [B]: a logit before any sigmoid, large
means real; in the rows with `energy` an energy of zero or more, such as an autoencoder's error, low means real.
Every term is a batch mean; the discriminator's loss is the sum of its real and its fake term (so an undecided
discriminator under cross entropy scores 2 ln 2 = 1.386, not 0.693). Numbers (`smooth`, `margin`, ...) are
keyword scalars and may be traced arrays. Real and fake batches may differ in size except where a loss pairs them.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from gan_jax import borders
from gan_jax.energies import began_terms, energy_margin_terms, lower_fake_gen
from gan_jax.types import AnyArray, Pair

Logits = Float[AnyArray, " batch"]
FakeLogits = Float[AnyArray, " fakes"]
Loss = Float[AnyArray, ""]
Terms = tuple[Loss, Loss]  # D's loss on real and on fake examples
Number = Any  # a Python float or a traced float32 scalar
_LN2 = math.log(2.0)


class LossPair(NamedTuple):
    """A row of LOSSES: what each player minimises, the numbers each side takes, and what is true of the loss.

    disc, gen: (real, fake, **numbers) -> scalar. numbers: every keyword of each side with its default.
    energy: D gives energies (low means real), not logits (high means real).
    separable: the generator's loss is a mean of one term a sample, so that part of a batch can be chosen.
    symmetric: at the default numbers disc(real, fake) = disc(-fake, -real), so that to swap the roles of
    real and fake is to negate the logits. border: where D is undecided, see borders.py (of energies: of the
    middle of both batches less the energy). terms: D's loss by term, (real, fake, **numbers) -> (real term,
    fake term), None where it is one.
    """

    disc: Callable[..., Any]
    gen: Callable[..., Any]
    numbers: Pair = Pair(gen={}, disc={})
    energy: bool = False
    separable: bool = True
    symmetric: bool = False
    border: borders.Border = borders.at(0.0)
    terms: Callable[..., Any] | None = None


def of_terms(
    terms: Callable[..., Any], gen: Callable[..., Any], **facts: Any
) -> LossPair:
    """A row whose D minimises the sum of two terms; `facts` are its other fields."""

    @functools.wraps(terms)
    def disc(*answers: Any, **numbers: Any) -> Any:
        real_term, fake_term = terms(*answers, **numbers)
        return real_term + fake_term

    return LossPair(disc, gen, terms=terms, **facts)


def cross_entropy_terms(
    real: Logits,
    fake: FakeLogits,
    smooth: Number = 0.0,
    smooth_fake: Number = 0.0,
) -> Terms:
    """-mean[(1-s) log D(x) + s log(1-D(x))] - mean[(1-t) log(1-D(G(z))) + t log D(G(z))], D = sigmoid(logit).

    Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1, with the sign turned so that it is minimised. s, `smooth`,
    is one-sided label smoothing (Salimans et al. 2016, arXiv:1606.03498, 3.4): real labels are 1 - s. With
    t, `smooth_fake`, it is two-sided: fake labels are t instead of 0.
    """
    soft = jax.nn.softplus
    real_term = (1 - smooth) * soft(-real) + smooth * soft(real)
    fake_term = (1 - smooth_fake) * soft(fake) + smooth_fake * soft(-fake)
    return jnp.mean(real_term), jnp.mean(fake_term)


def saturating_gen(real: Logits, fake: FakeLogits) -> Loss:
    """mean log(1 - D(G(z))), the minimax form; its gradient vanishes like sigmoid(logit) when D wins.

    Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1. Unbounded below, zero when D rejects every fake.
    """
    del real
    return -jnp.mean(jax.nn.softplus(fake))


def non_saturating_gen(real: Logits, fake: FakeLogits) -> Loss:
    """-mean log D(G(z)); its gradient is 1 - sigmoid(logit), largest when D wins.

    Goodfellow et al. 2014 (arXiv:1406.2661), section 3, last paragraph.
    """
    del real
    return jnp.mean(jax.nn.softplus(-fake))


def least_squares_terms(
    real: Logits,
    fake: FakeLogits,
    a: Number = 0.0,
    b: Number = 1.0,
    smooth: Number = 0.0,
    smooth_fake: Number = 0.0,
) -> Terms:
    """mean (D(x) - b')^2 + mean (D(G(z)) - a')^2, without the paper's half.

    Mao et al. 2017 (arXiv:1611.04076), eq. 2 (twice). `a` labels fakes, `b` reals. Smoothing moves each label
    towards the other: b' = (1-s) b + s a with s = `smooth`, a' = (1-t) a + t b with t = `smooth_fake`.
    """
    real_label = (1 - smooth) * b + smooth * a
    fake_label = (1 - smooth_fake) * a + smooth_fake * b
    return jnp.mean((real - real_label) ** 2), jnp.mean((fake - fake_label) ** 2)


def least_squares_gen(real: Logits, fake: FakeLogits, c: Number = 1.0) -> Loss:
    """mean (D(G(z)) - c)^2, without the paper's half.

    Mao et al. 2017 (arXiv:1611.04076), eq. 2 (twice). `c` is what G wants D to believe.
    """
    del real
    return jnp.mean((fake - c) ** 2)


def hinge_terms(real: Logits, fake: FakeLogits, margin: Number = 1.0) -> Terms:
    """mean max(0, m - D(x)) + mean max(0, m + D(G(z))).

    Lim & Ye 2017 (arXiv:1705.02894), eq. 1; Miyato et al. 2018 (arXiv:1802.05957), eq. 16.
    """
    return jnp.mean(jax.nn.relu(margin - real)), jnp.mean(jax.nn.relu(margin + fake))


def wasserstein_terms(real: Logits, fake: FakeLogits) -> Terms:
    """mean D(G(z)) - mean D(x), for a critic kept Lipschitz by a penalty.

    Arjovsky et al. 2017 (arXiv:1701.07875), eq. 2; Gulrajani et al. 2017 (arXiv:1704.00028), eq. 3.
    """
    return -jnp.mean(real), jnp.mean(fake)


def raise_fake_gen(real: Logits, fake: FakeLogits) -> Loss:
    """-mean D(G(z)): the generator's side of both the hinge and the Wasserstein loss.

    Miyato et al. 2018 (arXiv:1802.05957), eq. 17; Arjovsky et al. 2017 (arXiv:1701.07875), eq. 2.
    """
    del real
    return -jnp.mean(fake)


def relativistic_pairing_disc(real: Logits, fake: Logits) -> Loss:
    """mean softplus(-(D(x) - D(G(z)))): how sure D is that each real sample is more real than its fake.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734), section 4; Huang et al. 2024 (arXiv:2501.05441), eq. 2.
    Sample i of one batch is paired with sample i of the other, so the batches must be of one size.
    """
    return jnp.mean(jax.nn.softplus(fake - real))


def relativistic_pairing_gen(real: Logits, fake: Logits) -> Loss:
    """mean softplus(-(D(G(z)) - D(x))), the discriminator's loss with the roles swapped.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734), section 4; Huang et al. 2024 (arXiv:2501.05441), eq. 2 (the
    non-saturating form). Batches of one size, paired as for the discriminator.
    """
    return relativistic_pairing_disc(fake, real)


def relativistic_average_terms(real: Logits, fake: FakeLogits) -> Terms:
    """mean softplus(-(D(x) - mean D(G(z)))) + mean softplus(D(G(z)) - mean D(x)), without a half.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734), section 4: each sample against the other batch's mean.
    """
    of_real = jax.nn.softplus(jnp.mean(fake) - real)
    of_fake = jax.nn.softplus(fake - jnp.mean(real))
    return jnp.mean(of_real), jnp.mean(of_fake)


def relativistic_average_gen(real: Logits, fake: FakeLogits) -> Loss:
    """mean softplus(D(x) - mean D(G(z))) + mean softplus(-(D(G(z)) - mean D(x))): the roles swapped.

    Jolicoeur-Martineau 2018 (arXiv:1807.00734), section 4.
    Not a mean over fakes: the first term has their mean inside the softplus.
    """
    return sum(relativistic_average_terms(fake, real))


def linear_exp(x: Float[AnyArray, "..."]) -> Float[AnyArray, "..."]:
    """exp(x) up to x = 20, from there on its tangent e^20 (x - 19): value and slope stay finite in float32."""
    return jnp.exp(jnp.minimum(x, 20.0)) * (1 + jnp.maximum(x - 20.0, 0.0))


def f_gan(
    activation: Callable[[Any], Any], conjugate: Callable[[Any], Any]
) -> LossPair:
    """The losses of an f-GAN from g = `activation` and f* o g = `conjugate`, functions of the logit v.

    disc = -mean g(D(x)) + mean f*(g(D(G(z)))), whose least value, at g(v) = f'(p/q), is minus the divergence
    D_f(p || q) of the data p from the samples q; gen = -mean f*(g(D(G(z)))), the minimax form. Nowozin et al.
    2016 (arXiv:1606.00709), eqs. 4-6. The paper's practical variant (section 3.2) raises mean g(D(G(z)))
    instead. The rows write exp as `linear_exp`, so a density ratio beyond e^20 counts as less than it is.
    """

    def terms(real: Logits, fake: FakeLogits) -> Terms:
        return -jnp.mean(activation(real)), jnp.mean(conjugate(fake))

    def gen(real: Logits, fake: FakeLogits) -> Loss:
        del real
        return -jnp.mean(conjugate(fake))

    return of_terms(terms, gen)


_SMOOTH = {"smooth": 0.0, "smooth_fake": 0.0}
_CROSS_ENTROPY = {
    "numbers": Pair(gen={}, disc=_SMOOTH),
    "symmetric": True,
    "border": borders.even_odds,
}
_MARGIN = Pair(gen={}, disc={"margin": 1.0})
LOSSES: dict[str, LossPair] = {
    "saturating": of_terms(cross_entropy_terms, saturating_gen, **_CROSS_ENTROPY),
    "non_saturating": of_terms(
        cross_entropy_terms, non_saturating_gen, **_CROSS_ENTROPY
    ),
    "least_squares": of_terms(
        least_squares_terms,
        least_squares_gen,
        numbers=Pair(gen={"c": 1.0}, disc={"a": 0.0, "b": 1.0, **_SMOOTH}),
        border=borders.between_labels,
    ),
    "hinge": of_terms(hinge_terms, raise_fake_gen, numbers=_MARGIN, symmetric=True),
    "wasserstein": of_terms(
        wasserstein_terms,
        raise_fake_gen,
        symmetric=True,
        border=borders.between_means,
    ),
    "rp": LossPair(
        relativistic_pairing_disc,
        relativistic_pairing_gen,
        symmetric=True,
        border=borders.each_other,
    ),
    "ra": of_terms(
        relativistic_average_terms,
        relativistic_average_gen,
        separable=False,
        symmetric=True,
        border=borders.mean_of_others,
    ),
    "began": of_terms(
        began_terms, lower_fake_gen, numbers=Pair(gen={}, disc={"k": 0.0}), energy=True
    ),
    "energy_margin": of_terms(
        energy_margin_terms, lower_fake_gen, numbers=_MARGIN, energy=True
    ),
    # g(v) and f*(g(v)) of each divergence D_f(p || q) = mean over q of f(p/q): Nowozin et al. 2016, tables 2, 6.
    # f(u) = u log u: g = v, f*(t) = exp(t-1), and g = f'(1) at v = 1; the others have 0 there
    "f_kl": f_gan(lambda v: v, lambda v: linear_exp(v - 1))._replace(
        border=borders.at(1.0)
    ),
    # f(u) = -log u: g = -exp(-v), f*(t) = -1 - log(-t)
    "f_reverse_kl": f_gan(lambda v: -linear_exp(-v), lambda v: v - 1),
    # f(u) = (u-1)^2: g = v, f*(t) = t^2/4 + t
    "f_pearson": f_gan(lambda v: v, lambda v: v**2 / 4 + v),
    # f(u) = (sqrt u - 1)^2: g = 1 - exp(-v), f*(t) = t / (1-t)
    "f_hellinger": f_gan(
        lambda v: 1 - linear_exp(-v), lambda v: linear_exp(v) - 1
    )._replace(symmetric=True),
    # f(u) = u log u - (u+1) log((u+1)/2), twice the Jensen-Shannon divergence: g = log 2 - softplus(-v),
    # f*(t) = -log(2 - exp t); the saturating loss less 2 log 2
    "f_js": f_gan(
        lambda v: _LN2 - jax.nn.softplus(-v), lambda v: jax.nn.softplus(v) - _LN2
    )._replace(symmetric=True),
}
