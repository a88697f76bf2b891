"""M. Sanjeevi's GAN with one hidden layer in each player, on MNIST.

    python launch.py --config=configs/sources/one_hidden_layer.py            # cross entropy of logits, labels 1 and 0
    python launch.py --config=configs/sources/one_hidden_layer.py:log        # -log D(x) - log(1 - D(G(z))), as written
    python launch.py --config=configs/sources/one_hidden_layer.py:lsgan      # his LSGAN of the same size

On the original pictures: --config.data.source=idx:DIR (his are the first 55,000). From the repository's folder: the
networks and the loss are experiments/source_recipes'.

Published: 784 pixels, z uniform on -1..1 of 100, 128 hidden units and ReLU in both players, tanh, Xavier, batch 128, Adam
1e-3 with b1 0.5 for both, 50,000 iterations, a picture every 1,000; about 7 minutes on an i5. Printed: D's loss 1.362, G's
0.8435 at first; 0.8708 and 1.685 at 1,000; 0.9836 and 1.519 at 10,000; 0.8014 and 1.751 at 20,000; 0.4986 and 2.627 at
40,000; 0.5069 and 2.826 at 49,000: D wins slowly and steadily. Both forms of the loss are said to be equivalent; the
notebook defines one after the other, so that it is the explicit one that trained.
His sibling notebooks (LSGAN, CGAN, ACGAN, InfoGAN): LeakyReLU 0.2 in D, z N(0, 1) in the LSGAN, pixels in -1..1, batch 100,
100 epochs = 55,000 iterations, the same sizes and Adam. The post is read here through its notebook; the post's own text may
differ from it.
Expected picture: noisy digits by 10,000 steps that keep a grain of single pixels.

Traps, and the field of each:
  model.name                 pixels are in 0..1 and G ends in tanh: it has to learn never to go below 0. The experiment's
                             network keeps this (G's picture is 2 tanh - 1 in ours) and the ReLU; "mlp" has neither
  loss                       `:log` is a loss of your own, and infinite where float32 rounds D to 0 or 1 (a logit of 17);
                             the run then halts with exit code 3. As values and gradients both are equal before that
  loss=least_squares         his LSGAN halves the sum over the batch of 100; Adam takes the same steps for our mean
  trick.share_noise=false    G's update draws its own z
  model.latent_dist, optim.*.b1=0.5, ema_decay=0
"""

from gan_jax.config import base
from gan_jax.types import lookup

HERE = "experiments.source_recipes"
FORMS = {"logits": "non_saturating", "log": f"{HERE}.losses:explicit_log"}
FORMS["lsgan"] = "least_squares"


def get_config(form="logits"):
    config = base()
    config.steps = 50_000
    config.batch_size = 128
    config.loss = lookup("form", FORMS, form, own=False)
    config.model.name = f"{HERE}.networks:ONE_HIDDEN_LAYER"
    config.model.width = 128
    config.model.norm = "none"
    config.model.init = "xavier_uniform"
    config.model.latent_dist = "uniform"
    if form == "lsgan":
        config.steps, config.batch_size = 55_000, 100
        config.model.name = "mlp"
        config.model.latent_dist = "normal"
    config.optim.gen.lr = config.optim.disc.lr = 1e-3
    config.trick.share_noise = False
    config.ema_decay = 0.0
    config.data.source = "mnist_5k"
    config.checkpoint_every = 5_000
    return config
