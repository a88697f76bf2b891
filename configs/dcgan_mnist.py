"""DCGAN on the shipped 5,000 MNIST digits.

python launch.py --config=configs/dcgan_mnist.py
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 10_000
    config.batch_size = 32
    config.model.width = 32
    config.model.disc_norm = "none"
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.penalty.r1 = 0.5
    config.data.source = "mnist_5k"
    config.checkpoint_every = 2000
    return config
