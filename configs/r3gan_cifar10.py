"""R3GAN on CIFAR-10, scaled down: relativistic pairing, R1 and R2, no normalisation, numbers that change over the run.

    python launch.py --config=configs/r3gan_cifar10.py --config.data.source=cifar10:DIR

DIR holds cifar-10-batches-py, or name cifar-10-python.tar.gz itself. Published: Huang et al. 2024 (arXiv:2501.05441)
FID 1.96, conditional, after 250 million pictures on 8 GPUs for 4 days: batch 512, learning rate 2e-4 to 5e-5, R1 and R2
weight 0.05 to 0.005, b1 0, b2 0.9 to 0.99, augmentation up to p 0.55. Here those schedules are kept, with b2 fixed at
0.99, batch 128, narrower networks and 200,000 iterations. That FID was not reproduced here: the data set is not among
the shipped ones.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 200_000
    config.batch_size = 128
    config.loss = "rp"
    config.penalty.r1 = config.penalty.r2 = 0.05
    config.model.name = "r3gan"
    config.model.norm = "none"
    config.model.width = 96
    config.model.latent_dim = 64
    config.model.condition = "concat_projection"
    config.optim.gen.lr = config.optim.disc.lr = 2e-4
    config.optim.gen.b1 = config.optim.disc.b1 = 0.0
    config.optim.gen.b2 = config.optim.disc.b2 = 0.99
    config.augment.ada = True
    config.augment.p = 0.55
    config.schedule = ";".join(
        [
            "optim.gen.lr=cosine:0:100000:1:0.25",
            "optim.disc.lr=cosine:0:100000:1:0.25",
            "penalty.r1=cosine:0:100000:1:0.1",
            "penalty.r2=cosine:0:100000:1:0.1",
            "augment.p=cosine:0:100000:0:1",
        ]
    )
    config.ema_decay = 0.9999
    config.data.source = "cifar10:cifar-10-batches-py"
    config.data.stand_in = "emoji"
    config.data.flip = True
    return config
