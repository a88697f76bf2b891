"""DCGAN on the 1,906 shipped emoji with adaptive augmentation, made for sets this small.

    python launch.py --config=configs/dcgan_emoji_ada.py

Karras et al. 2020 (arXiv:2006.06676): the probability of each augmentation follows the sign of D(x) towards 0.6. On the
networks and numbers of dcgan_emoji.py; p moves ten times as fast as published, because the run is short: augment/p in
metrics.jsonl.
Not trained to its end here.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 10_000
    config.batch_size = 32
    config.model.width = 32
    config.model.disc_norm = "none"
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.penalty.r1 = 1.0
    config.augment.ada = True
    config.augment.target = 0.6
    config.augment.kimg = 50.0
    config.data.source = "emoji"
    config.data.flip = True
    config.checkpoint_every = 2000
    return config
