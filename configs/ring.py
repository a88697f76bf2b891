"""A GAN that finds all eight modes of the ring: momentum 0.5, averaged weights, learning rates that fall at the end.

python launch.py --config=configs/ring.py
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 20_000
    config.batch_size = 256
    config.loss = "rp"
    config.penalty.r1 = config.penalty.r2 = 0.1
    config.model.name = "mlp"
    config.model.depth = 2
    config.model.width = 128
    config.model.latent_dim = 2
    config.model.norm = "none"
    config.model.init = "xavier_uniform"
    config.optim.gen.lr = config.optim.disc.lr = 1e-3
    config.data.source = "ring"
    config.sample_every = 1000
    config.checkpoint_every = 5000
    return config
