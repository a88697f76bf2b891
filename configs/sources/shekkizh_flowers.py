"""shekkizh's DCGAN with feature matching on photographs of flowers at 64 px, here on the shipped emoji.

    python launch.py --config=configs/sources/shekkizh_flowers.py

On the original: --config.data.source=tfds:tf_flowers, the 3,670 pictures of flower_photos that the script downloads (not
Oxford's 102 kinds: for those --config.data.source=tfds:oxford_flowers102). Without it 1,906 emoji at 64 px.

Published: networks, losses and numbers of shekkizh_celeba.py; the whole picture resized to 64; up to 100,001 iterations
(1,744 passes), none of which the text singles out. Reported: sets of one kind are easier, begin with a small one.
Expected picture: coloured patches with a centre on green; of the emoji round, coloured shapes.

Traps: those of shekkizh_celeba.py, and
  data.crop=0   the source squeezes the whole picture into a square, here the largest centred square is taken: no field
  queue         each of the two G updates takes a new batch of real pictures for feature matching, here that of D: no field
  z             the walk sets one coordinate to 10 N(0, 1), sorted, far outside of the -1..1 of training:
                python launch.py sample --workdir=runs/shekkizh_flowers --walk=75 --walk-range=20 --n=20 --out=walk.png
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 100_000
    config.batch_size = 64
    config.n_gen = 2
    config.trick.same_noise = True
    config.trick.feature_matching = 0.1
    config.trick.feature_matching_form = "per_sample_sum"
    config.model.name = "dcgan"
    config.model.width = 64
    config.model.kernel = 5
    config.model.latent_dist = "uniform"
    config.model.init = "truncated_normal"
    config.model.norm = "batch_drawn"
    config.ema_decay = 0.0
    config.data.source = "emoji"
    config.data.resolution = 64
    config.log_every = 10
    config.sample_every = config.checkpoint_every = 500
    return config
