"""ACGAN on the shipped clothes: G is told the class, D has to name it.

    python launch.py --config=configs/acgan_fashion.py
    python launch.py sample --workdir=runs/acgan_fashion --by-class --n=80 --out=classes.png

Odena et al. 2017 (arXiv:1610.09585), on the networks and numbers of dcgan_fashion.py.
Not trained to its end here.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 10_000
    config.batch_size = 32
    config.objective = "acgan"
    config.model.condition = "concat_gen"
    config.model.width = 32
    config.model.disc_norm = "none"
    config.optim.gen.lr = config.optim.disc.lr = 4e-4
    config.penalty.r1 = 0.5
    return config
