"""kmualim's DCGAN in Keras on MNIST, which upsamples and convolves.

    python launch.py --config=configs/sources/kmualim_mnist.py               # the script
    python launch.py --config=configs/sources/kmualim_mnist.py:notebook      # D drawn as G: Glorot

On the original 60,000 pictures: --config.data.source=idx:DIR.

Published: 4,000 "epochs", which are iterations of 32 pictures: 2.1 passes over MNIST (25.6 over the shipped 5,000). z N(0, 1)
of 100, Adam 2e-4 with b1 0.5 for both. G: dense 7x7x128, ReLU, no norm; twice upsampling, convolution (128, 64),
BatchNorm, ReLU; convolution 1, tanh; 855,809 numbers. D: convolutions 32, 64, 128, 256 (k3 s2), on each BatchNorm,
LeakyReLU 0.2, dropout 0.25; dense 1; 389,825 numbers. A 5 x 5 grid every 50 iterations.
Reported: after 2,000 iterations of an earlier form G's loss had gone to 15 and D's to 0; with image flipping and G's dropout
out, convolutions for transposed ones and Adam for RMSprop "success": losses fluctuate and the pictures look good. The
notebook's last run printed, as means of 500 iterations, G 1.19 at first and 1.13 to 1.18 after, D 0.68, then 0.57 to 0.61.
Expected picture: strokes first, digits at the end.

Traps, and the field of each:
  trick.disc_split          a real batch, then a fake one, an Adam step each, with BatchNorm's moments of each alone
  D's logged loss           the mean of both halves: half of loss/disc here
  trick.logit_clip          Keras clips probabilities at 1e-7, so no loss exceeds 16.118: their "15" is that ceiling
  model.disc_init=uniform   random_uniform is +-0.05, a std of init_std = 0.0289, in D's convolutions only: their last layer
                            (a dense one, +-0.077) and G are Glorot. In D each kernel is of this one kind here
  model.norm=batch_keras    epsilon 1e-3: as large as the variance after D's first layers with such weights
  optim.*.eps=1e-7          Keras' Adam
  trick.share_noise=false   G's update draws its own z
  ema_decay=0, data.flip=false
Text against code: the post recommends noise on both inputs (trick.instance_noise), D of depth 128 throughout
(model.constant_width, model.disc_width=128), dropout 0.3 to 0.6 (model.dropout), 5x5 filters (model.kernel), label flips
(trick.label_flip); the code has none of these.
No field: D is shown fakes made with G's running moments (`predict`), here with those of the batch; batches are drawn with
replacement; the grid has new z each time.
"""

from gan_jax.config import base
from gan_jax.types import lookup

FORMS = {"script": "uniform", "notebook": "xavier_uniform"}  # of D's initial weights


def get_config(form="script"):
    config = base()
    config.steps = 4_000
    config.batch_size = 32
    config.model.name = "upsample"
    config.model.width = 64
    config.model.disc_width = 32
    config.model.kernel = 3
    config.model.init = "xavier_uniform"
    config.model.disc_init = lookup("form", FORMS, form, own=False)
    config.model.init_std = 0.05 / 3**0.5
    config.model.norm = "batch_keras"
    config.model.dropout = 0.25
    config.trick.disc_split = True
    config.trick.logit_clip = 16.118
    config.trick.share_noise = False
    for player in (config.optim.gen, config.optim.disc):
        player.lr = 2e-4
        player.eps = 1e-7
    config.ema_decay = 0.0
    config.data.source = "mnist_5k"
    config.log_every = config.sample_every = 50
    config.checkpoint_every = 500
    return config
