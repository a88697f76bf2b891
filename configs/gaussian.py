"""The Gaussian game: an affine generator against a quadratic discriminator, on points of a Gaussian of the plane.

    python launch.py --config=configs/gaussian.py

D sees the mean and the second moments and nothing else, so G has learnt all there is when it has both. Cross entropy
converges without any penalty, for real and generated points overlap; with --config.loss=wasserstein the same game circles,
and --config.penalty.r1=0.1 draws it in (experiments/dynamics, docs/dynamics.md).
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 2000
    config.batch_size = 1024
    config.model.name = "gan_jax.models.toys:GAUSSIAN"
    config.model.latent_dim = 2
    for player in (config.optim.gen, config.optim.disc):
        player.name = "sgd"
        player.lr = 0.05
    config.ema_decay = 0.0
    config.data.source = "gan_jax.data.toy:gaussian"
    config.log_every = 20
    config.sample_every = 200
    return config
