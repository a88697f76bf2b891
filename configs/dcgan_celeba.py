"""DCGAN of Radford et al. 2015 (arXiv:1511.06434) on CelebA faces at 64 px, the 108-pixel centre crop.

    python launch.py --config=configs/dcgan_celeba.py

Put img_align_celeba.zip (1.4 GB, from the data set's own page) or its unpacked folder into ./data or name its
place in $GAN_JAX_DATA; any folder or zip of faces does: --config.data.source=folder:DIR. The paper's numbers: Adam
2e-4 with b1 0.5, batch 128, N(0, 0.02), latents uniform in -1..1, LeakyReLU 0.2. Width 64 is the usual code's.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 100_000
    config.batch_size = 128
    config.model.width = 64
    config.model.latent_dist = "uniform"
    config.data.source = "celeba"
    config.data.stand_in = "emoji"
    config.data.resolution = 64
    config.data.crop = 108
    config.data.flip = True
    config.sample_every = 2000
    config.checkpoint_every = 2000
    return config
