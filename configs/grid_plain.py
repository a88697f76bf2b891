"""The original GAN on a grid of 25 Gaussians, as it fails: Adam's default momentum, no average, no penalty.

    python launch.py --config=configs/grid_plain.py

The generator chases the discriminator from mode to mode and never settles: over 10 seeds it covers 17.4 +- 4.6 of the 25
modes with 24 +- 17 % of its samples within 3 std of one (experiments/mode_coverage). grid.py is the cure.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 10_000
    config.batch_size = 256
    config.model.name = "mlp"
    config.model.depth = 2
    config.model.width = 128
    config.model.latent_dim = 2
    config.model.norm = "none"
    config.model.init = "xavier_uniform"
    config.optim.gen.lr = config.optim.disc.lr = 1e-3
    config.optim.gen.b1 = config.optim.disc.b1 = 0.9
    config.ema_decay = 0.0
    config.data.source = "grid"
    config.sample_every = 1000
    config.checkpoint_every = 5000
    return config
