"""shekkizh's DCGAN with feature matching on CelebA faces at 64 px, here on the shipped emoji.

    python launch.py --config=configs/sources/shekkizh_celeba.py

On the original: --config.data.source=celeba (your img_align_celeba.zip, see the README; without it 1,906 emoji at 64 px).

Published: the centre crop of 108 resized to 64; z uniform on -1..1 of 100; batch 64; Adam 2e-4 with b1 0.5; shown after 15
epochs (47,484 iterations of 64 of the 202,599; the script's cap is 100,001). G: dense 4x4x512, transposed convolutions 256,
128, 64, 3 (5x5, stride 2), BatchNorm, ReLU, tanh: 5.1 million numbers. D: convolutions 64, 128, 256, 512 (5x5, stride 2),
LeakyReLU 0.2, BatchNorm on all but the first, dense 1: 4.3 million. Weights truncated N(0, 0.02), biases 0; BatchNorm of
decay 0.9, epsilon 1e-5, scale N(1, 0.02). Cross entropy as the sum of both terms, non-saturating G + 0.1 feature matching.
Summaries every 10 iterations, a checkpoint every 500.
Reported: Xavier and N(0, 0.2) fail, N(0, 0.02) works; decay 0.9 is best; feature matching alone sends D's loss to 0 at
once, the mix works; D's loss near 0 is the first sign of failure, D's "ideal loss 0.5" is D(x) = 0.5, so 1.386 in the sum.
Expected picture: faces in their place with smeared details; of the emoji round, coloured shapes.

Traps, and the field of each:
  n_gen=2, trick.same_noise       one D and two G updates an iteration on the same pictures and the same z. An earlier
                                  version listed G's update twice in one call, where TensorFlow runs it once: n_gen=1
  trick.feature_matching_form     the code takes each fake against the real picture of its row, summed over the batch and
                                  divided by 4,096, not the mean features of the paper: 0.1 of it is 6.4 mean squares
  trick.feature_matching=0.1      constant, though the text says that the adversarial term was set to dominate early
  model.norm=batch_drawn          the scale begins as N(1, 0.02); `batch` begins as 1
  model.norm_momentum=0.9         acts on what is sampled from the running moments, never on training
  model.init_std=0.02             of truncated_normal: what is drawn has 0.88 of it
  trick.joint_batch=false         D normalises real and fake pictures apart
  data.crop=108                   rows 55 to 162, columns 35 to 142; of smaller pictures the largest square
  ema_decay=0                     no average of G
No field, because nothing changes: biases before a BatchNorm, which subtracts them. Their reader keeps one order of the
pictures; here each epoch has its own.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 47_484
    config.batch_size = 64
    config.n_gen = 2
    config.trick.same_noise = True
    config.trick.feature_matching = 0.1
    config.trick.feature_matching_form = "per_sample_sum"
    config.model.name = "dcgan"
    config.model.width = 64
    config.model.kernel = 5
    config.model.latent_dist = "uniform"
    config.model.init = "truncated_normal"
    config.model.norm = "batch_drawn"
    config.ema_decay = 0.0
    config.data.source = "emoji"
    config.data.resolution = 64
    config.data.crop = 108
    config.log_every = 10
    config.sample_every = config.checkpoint_every = 500
    return config
