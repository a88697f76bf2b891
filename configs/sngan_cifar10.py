"""SNGAN on CIFAR-10, unconditional: ResNet with spectral normalisation, hinge loss, five D updates for one of G.

    python launch.py --config=configs/sngan_cifar10.py --config.data.source=cifar10:DIR

DIR holds cifar-10-batches-py, or name cifar-10-python.tar.gz itself. Published: Miyato et al. 2018
(arXiv:1802.05957) IS 8.22, FID 21.7 (10,000 real, 5,000 fake pictures); with these numbers (100,000 iterations, batch
64, Adam 2e-4, b1 0, b2 0.9, linear decay to 0) the mimicry library reports IS 7.97 +- 0.06, FID 16.77 +- 0.04 on
50,000 of each. None of these was reproduced here: the data set is not among the shipped ones.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 100_000
    config.batch_size = 64
    config.n_disc = 5
    config.loss = "hinge"
    config.model.name = "resnet"
    config.model.width = 256
    config.model.disc_width = 128
    config.model.latent_dim = 128
    config.model.init = "xavier_uniform"
    config.model.disc_norm = "none"
    config.model.disc_spectral = True
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
