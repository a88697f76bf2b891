"""DCGAN at 32 px on the shipped Noto emoji: few, colourful drawings.

    python launch.py --config=configs/dcgan_emoji.py

1,900 drawings are few for a GAN; the numbers are those of dcgan_fashion.py with twice the R1, not tuned.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 10_000
    config.batch_size = 32
    config.model.width = 32
    config.model.disc_norm = "none"
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.penalty.r1 = 1.0
    config.data.source = "emoji"
    config.data.flip = True
    config.checkpoint_every = 2000
    return config
