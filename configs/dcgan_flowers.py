"""DCGAN on Oxford Flowers at 64 px.

    python launch.py --config=configs/dcgan_flowers.py

The pictures come through TensorFlow Datasets (`tfds:oxford_flowers102`, all 8,189), or from your
own folder: --config.data.source=folder:DIR. The numbers are those of dcgan_celeba.py with batch 64.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 50_000
    config.batch_size = 64
    config.model.width = 64
    config.model.latent_dist = "uniform"
    config.data.source = "tfds:oxford_flowers102"
    config.data.stand_in = "emoji"
    config.data.split = "all"
    config.data.resolution = 64
    config.data.flip = True
    config.sample_every = 1000
    config.checkpoint_every = 2000
    return config
