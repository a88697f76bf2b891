"""CMU 11-785, recitation 10: WGAN-GP on MNIST.

    python launch.py --config=configs/sources/cmu_mnist_wgangp.py

On the original 60,000 pictures: --config.data.source=idx:DIR (without it the shipped 5,000, seen 12 times as often).

Published: the networks and numbers of cmu_mnist_gan.py, D without BatchNorm, gradient penalty 20, batch 128, 100 epochs =
46,900 D updates, "generator frequency" 10. Expected picture: digits without a sign of collapse, D's loss a negative number
that rises slowly towards 0.

Traps, and the field of each:
  n_disc=10, trick.one_more_disc   11 D updates for one of G: 4,263 G updates, which is `steps`
  penalty.gp=40                    their 20: gradients there are by pixels in 0..1, here in -1..1, so half as long. With
                                   F = 2 D, (mean F(fake) - mean F(real)) / 2 + 20 (|grad F| - 1)^2 is their loss, half of
                                   ours with 40; Adam does not see the half
  model.disc_norm=none             their default here; writing --discriminator-batchnorm False would switch it on
  trick.share_noise=false          G's update draws its own z
  optim.*.b1=0.9                   not WGAN-GP's usual 0 (or 0.5)
  ema_decay=0                      no average of G
Their norm has no epsilon in its root; ours is safe at 0. A picture every 11 D updates is sample_every=1.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 4_263
    config.n_disc = 10
    config.trick.one_more_disc = True
    config.trick.share_noise = False
    config.batch_size = 128
    config.loss = "wasserstein"
    config.penalty.gp = 40.0
    config.model.name = "cmu"
    config.model.width = 32
    config.model.init = "xavier_uniform"
    config.model.disc_norm = "none"
    for player in (config.optim.gen, config.optim.disc):
        player.lr = 3e-4
        player.b1 = 0.9
    config.ema_decay = 0.0
    config.data.source = "mnist_5k"
    config.sample_every = 100
    config.checkpoint_every = 500
    return config
