"""Stacked digits, 1,000 modes: three 8 x 8 digits as the channels of a picture; R3GAN's loss finds them all.

python launch.py --config=configs/stacked_digits.py
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 20_000
    config.loss = "rp"
    config.penalty.r1 = config.penalty.r2 = 0.1
    config.model.width = 64
    config.model.latent_dim = 64
    config.model.disc_norm = "none"
    config.model.init = "he_normal"
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.data.source = "stacked_digits"
    config.sample_every = 2000
    config.checkpoint_every = 5000
    return config
