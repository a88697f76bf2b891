"""DCGAN on the shipped Fashion-MNIST pictures: the main job.

python launch.py --config=configs/dcgan_fashion.py
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 20_000
    config.batch_size = 64
    config.model.width = 32
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.penalty.r1 = 0.5
    config.sample_every = 1000
    config.checkpoint_every = 2000
    return config
