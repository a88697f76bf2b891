"""CMU 11-785, recitation 10: WGAN-GP on CIFAR-10, here on the shipped emoji of the same size.

    python launch.py --config=configs/sources/cmu_cifar10_wgangp.py

On the original 50,000 pictures: --config.data.source=cifar10:DIR (without it 1,906 emoji, seen 26 times as often).

Published: batch 64, gradient penalty 10, "generator frequency" 10, 100 epochs = 78,200 D updates; Adam 3e-4 with betas 0.9
and 0.999. G: dense 1024, dense 2x2x512, transposed convolutions 256, 128, 64, 32 (k4 s2), convolution 3 (k3), sigmoid,
BatchNorm. D: convolutions 64, 128, 256, 512 (k4 s2), dense 1024, dense 1, no norm. LeakyReLU 0.01, Xavier uniform.
Expected picture: coloured patches in the layout of the data, few of them nameable.

Traps: those of cmu_mnist_wgangp.py.
  n_disc=10, trick.one_more_disc   11 D updates for one of G: 7,109 G updates, which is `steps`
  penalty.gp=20                    their 10, by pixels in 0..1
  model.disc_norm=none, trick.share_noise=false, optim.*.b1=0.9, ema_decay=0
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 7_109
    config.n_disc = 10
    config.trick.one_more_disc = True
    config.trick.share_noise = False
    config.batch_size = 64
    config.loss = "wasserstein"
    config.penalty.gp = 20.0
    config.model.name = "cmu"
    config.model.width = 32
    config.model.init = "xavier_uniform"
    config.model.disc_norm = "none"
    for player in (config.optim.gen, config.optim.disc):
        player.lr = 3e-4
        player.b1 = 0.9
    config.ema_decay = 0.0
    config.data.source = "emoji"
    config.sample_every = 100
    config.checkpoint_every = 500
    return config
