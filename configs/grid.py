"""A GAN that finds all 25 modes of the grid: relativistic pairing with R1 and R2, rates that fall in the second half.

python launch.py --config=configs/grid.py
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 25_000
    config.batch_size = 128
    config.loss = "rp"
    config.penalty.r1 = config.penalty.r2 = 0.5
    config.penalty.every = 4
    config.model.name = "mlp"
    config.model.depth = 3
    config.model.width = 128
    config.model.latent_dim = 2
    config.model.norm = "none"
    config.model.init = "xavier_uniform"
    config.optim.gen.lr = config.optim.disc.lr = 1e-3
    config.schedule = ";".join(
        f"optim.{player}.lr=linear:12500:25000:1:0.01" for player in ("gen", "disc")
    )
    config.data.source = "grid"
    config.sample_every = 1000
    config.checkpoint_every = 5000
    return config
