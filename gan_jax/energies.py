"""Terms of the losses whose D gives energies, such as an autoencoder's error [B]: zero or more, low means real.

Every term is a batch mean, D's loss the sum of its two terms; the rows are in losses.py.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from gan_jax.types import AnyArray

Energies = Float[AnyArray, " batch"]
FakeEnergies = Float[AnyArray, " fakes"]
Loss = Float[AnyArray, ""]
Terms = tuple[Loss, Loss]
Number = Any


def began_terms(real: Energies, fake: FakeEnergies, k: Number = 0.0) -> Terms:
    """mean L(x) - k mean L(G(z)), L = reconstruction error of the autoencoder D.

    Berthelot et al. 2017 (arXiv:1703.10717), section 3.4. `k` in 0..1 is moved by `began_balance`.
    """
    return jnp.mean(real), -k * jnp.mean(fake)


def energy_margin_terms(
    real: Energies, fake: FakeEnergies, margin: Number = 1.0
) -> Terms:
    """mean E(x) + mean max(0, m - E(G(z))): fakes of an energy above the margin are left alone.

    Zhao et al. 2016 (arXiv:1609.03126), eq. 1.
    """
    return jnp.mean(real), jnp.mean(jax.nn.relu(margin - fake))


def lower_fake_gen(real: Energies, fake: FakeEnergies) -> Loss:
    """mean E(G(z)): the generator's side of both energy losses.

    Zhao et al. 2016 (arXiv:1609.03126), eq. 2; Berthelot et al. 2017 (arXiv:1703.10717), section 3.4.
    """
    del real
    return jnp.mean(fake)


def began_balance(
    k: Number, real: Energies, fake: FakeEnergies, gamma: Number, rate: Number
) -> Loss:
    """The next k: clip(k + rate (gamma mean L(x) - mean L(G(z))), 0, 1), L = reconstruction error [B].

    Berthelot et al. 2017 (arXiv:1703.10717), section 3.4. `gamma` in 0..1 is the ratio of errors to hold (low
    is sharper, less diverse), `rate` the paper's lambda_k, 0.001 there.
    """
    return jnp.clip(k + rate * (gamma * jnp.mean(real) - jnp.mean(fake)), 0.0, 1.0)


def began_measure(real: Energies, fake: FakeEnergies, gamma: Number) -> Loss:
    """M = mean L(x) + |gamma mean L(x) - mean L(G(z))|, lower is nearer to convergence.

    Berthelot et al. 2017 (arXiv:1703.10717), section 3.4.1.
    """
    error = jnp.mean(real)
    return error + jnp.abs(gamma * error - jnp.mean(fake))
