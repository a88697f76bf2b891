"""Dirac-GAN (Mescheder et al. 2018): one real point at 0, a generator that is one point, a discriminator that is one slope.

    python launch.py --config=configs/dirac.py

The smallest GAN that does not converge: both numbers begin at 1 and circle round the solution (0, 0), outwards under
--config.game=simultaneous. --config.penalty.r1=0.3 cures it, and so do penalty.r2, trick.instance_noise and game=consensus;
WGAN and WGAN-GP do not. experiments/dynamics has the table, docs/dynamics.md what it means.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 500
    config.loss = "saturating"
    config.model.name = "gan_jax.models.toys:DIRAC"
    config.model.latent_dim = 1
    for player in (config.optim.gen, config.optim.disc):
        player.name = "sgd"
        player.lr = 0.1
    config.ema_decay = 0.0
    config.data.source = "gan_jax.data.toy:dirac"
    config.log_every = 10
    config.sample_every = 100
    return config
