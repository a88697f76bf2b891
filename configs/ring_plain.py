"""The original GAN on a ring of eight Gaussians: the recipe that loses modes.

python launch.py --config=configs/ring_plain.py
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 20_000
    config.batch_size = 256
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
