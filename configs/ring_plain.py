"""The original GAN on a ring of eight Gaussians, as it fails: Adam's default momentum, no average, no penalty.

    python launch.py --config=configs/ring_plain.py

The generator chases the discriminator from mode to mode and rarely settles: over 10 seeds it covers 4.7 +- 3.3 of the 8
modes with 27 +- 34 % of its samples within 3 std of one (experiments/mode_coverage); seeds 7 and 8 are the lucky ones.
ring.py is the cure. The least one is momentum 0.5 and an average: all 8 modes, 98 %, with
--config.optim.gen.b1=0.5 --config.optim.disc.b1=0.5 --config.ema_decay=0.999 --config.steps=20000 (seed 0).
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
    config.data.source = "ring"
    config.sample_every = 1000
    config.checkpoint_every = 5000
    return config
