"""WGAN-GP on CIFAR-10 with the ResNet of its authors: five critic updates for one of G, gradient penalty 10.

    python launch.py --config=configs/wgan_gp_cifar10.py --config.data.source=cifar10:DIR

DIR holds cifar-10-batches-py, or name cifar-10-python.tar.gz itself. Published: Gulrajani et al. 2017
(arXiv:1704.00028) IS 7.86; with these numbers (100,000 iterations, batch 64, Adam 2e-4, b1 0, b2 0.9, linear decay)
the mimicry library reports IS 7.33 +- 0.02, FID 22.29 +- 0.06 on 50,000 of each; FIDs of other libraries for the same
name go from 22 to 54. None of these was reproduced here: the data set is not among the shipped ones.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 100_000
    config.batch_size = 64
    config.n_disc = 5
    config.loss = "wasserstein"
    config.penalty.gp = 10.0
    config.model.name = "resnet"
    config.model.width = 256
    config.model.disc_width = 128
    config.model.latent_dim = 128
    config.model.init = "xavier_uniform"
    config.model.disc_norm = "none"
    config.optim.gen.lr = config.optim.disc.lr = 2e-4
    config.optim.gen.b1 = config.optim.disc.b1 = 0.0
    config.optim.gen.b2 = config.optim.disc.b2 = 0.9
    config.schedule = (
        "optim.gen.lr=linear:0:100000:1:0;optim.disc.lr=linear:0:100000:1:0"
    )
    config.data.source = "cifar10:cifar-10-batches-py"
    config.data.stand_in = "emoji"
    config.data.flip = True
    return config
