"""CMU 11-785, recitation 10: a convolutional GAN on MNIST with "generator frequency" 5, and 1, its declared failure.

    python launch.py --config=configs/sources/cmu_mnist_gan.py                  # 6 D updates, then one of G
    python launch.py --config=configs/sources/cmu_mnist_gan.py:frequency1       # 2 D updates, then one of G

On the original 60,000 pictures: --config.data.source=idx:DIR (without it the shipped 5,000, seen 12 times as often).

Published: cross entropy, real + fake term, not their mean; non-saturating G; batch 128; Adam 3e-4 for both with PyTorch's
betas 0.9 and 0.999; z N(0, 1) of 100; Xavier uniform, biases 0; LeakyReLU 0.01 in both nets; BatchNorm (momentum 0.9)
on every hidden layer of both, D's first too; 50 epochs = 23,450 iterations. G: dense 1024, dense 7x7x128, transposed
convolutions 64 and 32 (k4 s2), convolution 1 (k3), sigmoid. D: convolutions 64 and 128 (k4 s2), dense 1024, dense 1.
Reported: frequency 5 makes good digits, frequency 1 fails. Seen here, over five seeds of 2,340 D updates at a quarter of the
width: all ten digits at frequency 1, little to read at frequency 5 (experiments/source_recipes).

Traps, and the field of each:
  n_disc, trick.one_more_disc   its callback fires when count > frequency: f + 1 D updates for one of G, so 3,908 (f = 5)
                                and 11,725 (f = 1) G updates in the 50 epochs; these are `steps`
  trick.share_noise=false       G's update draws its own z, D's last fakes are not used again
  trick.joint_batch=false       D normalises real and fake pictures apart
  model.disc_norm               --discriminator-batchnorm False is true (argparse's type=bool): D always had BatchNorm
  optim.*.b1=0.9                not the field's usual 0.5
  ema_decay=0                   no average of G
No field, because nothing changes: the fakes are not detached in D's loss (only D steps); pictures in 0..1 with a sigmoid
are ours in -1..1 with tanh(x / 2), and D's first layer with half the weights. There the original pads with black, this
with grey. Its pictures (every 11 D updates, 100 fixed z, running moments) are sample_every=2 here.
"""

from gan_jax.config import base
from gan_jax.types import lookup

FREQUENCIES = {"frequency5": (5, 3_908), "frequency1": (1, 11_725)}


def get_config(form="frequency5"):
    config = base()
    config.n_disc, config.steps = lookup("form", FREQUENCIES, form, own=False)
    config.trick.one_more_disc = True
    config.trick.share_noise = False
    config.batch_size = 128
    config.model.name = "cmu"
    config.model.width = 32
    config.model.init = "xavier_uniform"
    for player in (config.optim.gen, config.optim.disc):
        player.lr = 3e-4
        player.b1 = 0.9
    config.ema_decay = 0.0
    config.data.source = "mnist_5k"
    config.sample_every = 100
    config.checkpoint_every = 500
    return config
