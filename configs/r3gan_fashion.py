"""R3GAN, scaled down, on the shipped clothes: relativistic pairing, R1 and R2, no normalisation.

    python launch.py --config=configs/r3gan_fashion.py

Huang et al. 2024 (arXiv:2501.05441); b1 0 and b2 0.99 as there, learning rates that fall. Not trained to its end here:
on two CPU cores a step takes seconds; --config.model.width=16 is quicker.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 5_000
    config.batch_size = 32
    config.loss = "rp"
    config.penalty.r1 = config.penalty.r2 = 0.5
    config.model.name = "r3gan"
    config.model.norm = "none"
    config.model.width = 32
    config.model.latent_dim = 64
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.optim.gen.b1 = config.optim.disc.b1 = 0.0
    config.optim.gen.b2 = config.optim.disc.b2 = 0.99
    config.schedule = (
        "optim.gen.lr=cosine:0:5000:1:0.1;optim.disc.lr=cosine:0:5000:1:0.1"
    )
    config.sample_every = 500
    return config
