"""CMU 11-785, recitation 10: WGAN-GP on MNIST, told the digit.

    python launch.py --config=configs/sources/cmu_mnist_cwgangp.py
    python launch.py sample --workdir=runs/cmu_mnist_cwgangp --by-class --n=100 --out=digits.png

On the original 60,000 pictures: --config.data.source=idx:DIR (without it the shipped 5,000, seen 12 times as often).

Published: cmu_mnist_wgangp.py with 50 epochs (23,450 D updates) and an embedding of 32 numbers for the label, joined to z in
G and broadcast as 32 channels in D. Their picture is 10 x 10: a digit to a row; here a digit to a column.
Expected picture: every digit in its own column.

Traps beside those of cmu_mnist_wgangp.py (penalty.gp=40 is their 20), and the field of each:
  n_disc=10, trick.one_more_disc           2,131 G updates, which is `steps`
  model.embedding_init=xavier_uniform      they draw every weight of two dimensions so, embeddings too: on +-0.378, a
                                           fifth of the N(0, 1) that PyTorch and we begin with
  model.condition=concat                   each network has its own embedding
G's update draws its labels uniformly there; here it has those of the last real batch. The ten digits are nearly as
frequent in MNIST.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 2_131
    config.n_disc = 10
    config.trick.one_more_disc = True
    config.trick.share_noise = False
    config.batch_size = 128
    config.loss = "wasserstein"
    config.penalty.gp = 40.0
    config.model.name = "cmu"
    config.model.width = 32
    config.model.condition = "concat"
    config.model.init = config.model.embedding_init = "xavier_uniform"
    config.model.disc_norm = "none"
    for player in (config.optim.gen, config.optim.disc):
        player.lr = 3e-4
        player.b1 = 0.9
    config.ema_decay = 0.0
    config.data.source = "mnist_5k"
    config.sample_every = 100
    config.checkpoint_every = 500
    return config
