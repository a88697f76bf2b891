"""BEGAN on CelebA faces at 64 px: an autoencoder as discriminator, balanced by k.

    python launch.py --config=configs/began_celeba.py

Berthelot et al. 2017 (arXiv:1703.10717): Adam 1e-4 that falls, batch 16, 64 channels, latents uniform in -1..1 of 64
dimensions, gamma 0.3 to 0.7, k moves by 0.001; its convergence measure is logged as began/measure. Put
img_align_celeba.zip or its folder into ./data or name its place in $GAN_JAX_DATA; any folder of faces does:
--config.data.source=folder:DIR. Not trained in full here: the data set is not among the shipped ones.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 200_000
    config.batch_size = 16
    config.loss = "began"
    config.loss_args.gamma = 0.5
    config.model.name = "began"
    config.model.norm = "none"
    config.model.width = 64
    config.model.latent_dim = 64
    config.model.latent_dist = "uniform"
    config.model.init = "xavier_uniform"
    config.optim.gen.lr = config.optim.disc.lr = 1e-4
    config.schedule = ";".join(
        f"optim.{player}.lr=exponential:0:200000:1:0.02" for player in ("gen", "disc")
    )
    config.data.source = "celeba"
    config.data.stand_in = "emoji"
    config.data.resolution = 64
    config.data.crop = 108
    config.data.flip = True
    config.sample_every = 2000
    return config
