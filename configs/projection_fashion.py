"""Projection discriminator and conditional BatchNorm on the shipped clothes.

    python launch.py --config=configs/projection_fashion.py
    python launch.py sample --workdir=runs/projection_fashion --by-class --n=80 --out=classes.png

Miyato and Koyama 2018 (arXiv:1802.05637), on the networks and numbers of dcgan_fashion.py.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 10_000
    config.batch_size = 32
    config.model.condition = "projection"
    config.model.width = 32
    config.model.disc_norm = "none"
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.penalty.r1 = 0.5
    return config
