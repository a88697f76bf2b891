"""Conditional GAN on the shipped digits: the label's embedding beside z, and as channels of D's picture.

    python launch.py --config=configs/cgan_mnist.py
    python launch.py sample --workdir=runs/cgan_mnist --label=3 --out=threes.png

Mirza and Osindero 2014 (arXiv:1411.1784), on the networks and numbers of dcgan_mnist.py.
Not trained to its end here.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 10_000
    config.batch_size = 32
    config.model.condition = "concat"
    config.model.width = 32
    config.model.disc_norm = "none"
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.penalty.r1 = 0.5
    config.data.source = "mnist_5k"
    return config
