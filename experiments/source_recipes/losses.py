"""Cross entropy written with logarithms of probabilities, as a loss of one's own: config.loss names it by its module."""

from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.losses import LossPair


def log_disc(real: Any, fake: Any) -> Any:
    """-mean[log D(x) + log(1 - D(G(z)))] of logits [B], D = sigmoid(logit); both batches of one size.

    Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1, as the one-hidden-layer GAN writes it. Infinite where float32 rounds
    D(x) to 0 or D(G(z)) to 1: logits of about -104 and 17.
    """
    return -jnp.mean(jnp.log(jax.nn.sigmoid(real)) + jnp.log(1 - jax.nn.sigmoid(fake)))


def log_gen(real: Any, fake: Any) -> Any:
    """-mean log D(G(z)), the non-saturating form (section 3 there)."""
    del real
    return -jnp.mean(jnp.log(jax.nn.sigmoid(fake)))


explicit_log = LossPair(log_disc, log_gen)
