"""Stacked digits, 1,000 modes: three 8 x 8 digits as the channels of a picture, and a D a quarter as wide as G.

    python launch.py --config=configs/stacked_digits.py
    python launch.py eval --workdir=runs/stacked_digits

D judges four pictures at once (PacGAN, arXiv:1712.04086); plain DCGAN is --config.trick.packing=1. The modes of both are
in experiments/stacked_digits/README.md.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 8_000
    config.model.width = 64
    config.model.disc_width = 16
    config.model.latent_dim = 64
    config.trick.packing = 4
    config.data.source = "stacked_digits"
    config.sample_every = 2000
    config.checkpoint_every = 4000
    return config
