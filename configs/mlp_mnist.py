"""The original GAN: one hidden layer of 128 in each player, on the shipped 5,000 MNIST digits.

python launch.py --config=configs/mlp_mnist.py
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 20_000
    config.batch_size = 128
    config.model.name = "mlp"
    config.model.depth = 1
    config.model.width = 128
    config.model.norm = "none"
    config.model.init = "xavier_uniform"
    config.model.latent_dist = "uniform"
    config.optim.gen.lr = config.optim.disc.lr = 1e-3
    config.data.source = "mnist_5k"
    config.checkpoint_every = 5000
    return config
