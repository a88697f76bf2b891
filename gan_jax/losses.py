"""Adversarial losses: pure functions of logits, each the scalar its player minimises.

Conventions for the whole file: logits are float32 [B] before any sigmoid, large means real. Every term is a
batch mean; the discriminator's loss is the sum of its real and its fake term (so an undecided discriminator
under cross entropy scores 2 ln 2 = 1.386, not 0.693). Numbers (`smooth`, `margin`, ...) are keyword scalars
and may be traced arrays. Real and fake batches may differ in size except where a loss pairs them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from gan_jax.types import AnyArray, Pair

Logits = Float[AnyArray, " batch"]
FakeLogits = Float[AnyArray, " fakes"]
Loss = Float[AnyArray, ""]
Number = Any  # a Python float or a traced float32 scalar


class LossPair(NamedTuple):
    """A row of LOSSES: what each player minimises, and the numbers each side takes with their defaults."""

    disc: Callable[..., Any]
    gen: Callable[..., Any]
    numbers: Pair = Pair(gen={}, disc={})


def cross_entropy_disc(real: Logits, fake: FakeLogits, smooth: Number = 0.0) -> Loss:
    """-mean[(1-s) log D(x) + s log(1-D(x))] - mean[log(1-D(G(z)))], D = sigmoid(logit).

    Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1, with the sign turned so that it is minimised. `smooth` is
    one-sided label smoothing (Salimans et al. 2016, arXiv:1606.03498, 3.4): real labels are 1 - smooth.
    """
    soft = jax.nn.softplus
    real_term = (1 - smooth) * soft(-real) + smooth * soft(real)
    return jnp.mean(real_term) + jnp.mean(soft(fake))


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


def least_squares_disc(
    real: Logits,
    fake: FakeLogits,
    a: Number = 0.0,
    b: Number = 1.0,
    smooth: Number = 0.0,
) -> Loss:
    """mean (D(x) - b')^2 + mean (D(G(z)) - a)^2, without the paper's half.

    Mao et al. 2017 (arXiv:1611.04076), eq. 2 (twice). `a` labels fakes, `b` reals; `smooth` moves the real
    label towards the fake one, b' = (1-s) b + s a.
    """
    label = (1 - smooth) * b + smooth * a
    return jnp.mean((real - label) ** 2) + jnp.mean((fake - a) ** 2)


def least_squares_gen(real: Logits, fake: FakeLogits, c: Number = 1.0) -> Loss:
    """mean (D(G(z)) - c)^2, without the paper's half.

    Mao et al. 2017 (arXiv:1611.04076), eq. 2 (twice). `c` is what G wants D to believe.
    """
    del real
    return jnp.mean((fake - c) ** 2)


def hinge_disc(real: Logits, fake: FakeLogits, margin: Number = 1.0) -> Loss:
    """mean max(0, m - D(x)) + mean max(0, m + D(G(z))).

    Lim & Ye 2017 (arXiv:1705.02894), eq. 1; Miyato et al. 2018 (arXiv:1802.05957), eq. 16.
    """
    return jnp.mean(jax.nn.relu(margin - real)) + jnp.mean(jax.nn.relu(margin + fake))


def wasserstein_disc(real: Logits, fake: FakeLogits) -> Loss:
    """mean D(G(z)) - mean D(x), for a critic kept Lipschitz by a penalty.

    Arjovsky et al. 2017 (arXiv:1701.07875), eq. 2; Gulrajani et al. 2017 (arXiv:1704.00028), eq. 3.
    """
    return jnp.mean(fake) - jnp.mean(real)


def raise_fake_gen(real: Logits, fake: FakeLogits) -> Loss:
    """-mean D(G(z)): the generator's side of both the hinge and the Wasserstein loss.

    Miyato et al. 2018 (arXiv:1802.05957), eq. 17; Arjovsky et al. 2017 (arXiv:1701.07875), eq. 2.
    """
    del real
    return -jnp.mean(fake)


SMOOTH = Pair(gen={}, disc={"smooth": 0.0})
LOSSES: dict[str, LossPair] = {
    "saturating": LossPair(cross_entropy_disc, saturating_gen, SMOOTH),
    "non_saturating": LossPair(cross_entropy_disc, non_saturating_gen, SMOOTH),
    "least_squares": LossPair(
        least_squares_disc,
        least_squares_gen,
        Pair(gen={"c": 1.0}, disc={"a": 0.0, "b": 1.0, "smooth": 0.0}),
    ),
    "hinge": LossPair(hinge_disc, raise_fake_gen, Pair(gen={}, disc={"margin": 1.0})),
    "wasserstein": LossPair(wasserstein_disc, raise_fake_gen),
}
