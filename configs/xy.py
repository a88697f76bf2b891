"""The xy game: one player moves x, the other y; one minimises -xy, the other xy. Dirac-GAN with the Wasserstein loss is that.

    python launch.py --config=configs/xy.py --config.game=simultaneous

G's point is x, D's slope is y. Gradients circle round (0, 0): simultaneous steps spiral out by sqrt(1 + lr^2) each,
alternating ones keep their distance for lr < 2; game=extra_gradient, game=consensus, optimistic_gd and alternating steps with
momentum below 0 draw near. docs/games.md has the closed forms, experiments/dynamics the pictures.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 500
    config.loss = "wasserstein"
    config.model.name = "gan_jax.models.toys:DIRAC"
    config.model.latent_dim = 1
    for player in (config.optim.gen, config.optim.disc):
        player.name = "sgd"
        player.lr = 0.1
    config.ema_decay = 0.0
    config.data.source = "gan_jax.data.toy:dirac"
    config.log_every = 10
    config.sample_every = 100
    return config
