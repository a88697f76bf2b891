"""InfoGAN on the shipped digits: one categorical code of ten values, two continuous codes, 62 dimensions of noise.

    python launch.py --config=configs/infogan_mnist.py
    python launch.py sample --workdir=runs/infogan_mnist --walk=72 --walk-range=1.5 --n=60 --seed=1 --out=code.png

Chen et al. 2016 (arXiv:1606.03657). The latents are noise 0..61, the categorical code 62..71, the continuous ones 72
and 73. info/categorical in metrics.jsonl is a lower bound of the mutual information,
at most log 10 = 2.30. The weights of the code terms are smaller than the paper's 1 and 0.1: R1 makes D's slopes small,
and beside them codes of the paper's weight bent the digits out of shape.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 8_000
    config.batch_size = 32
    config.objective = "infogan"
    config.model.latent_dim = 62
    config.model.codes = 1
    config.model.codes_continuous = 2
    config.model.width = 32
    config.model.disc_norm = "none"
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.penalty.r1 = 0.5
    config.loss_args.aux = 0.2
    config.loss_args.aux_continuous = 0.02
    config.data.source = "mnist_5k"
    return config
