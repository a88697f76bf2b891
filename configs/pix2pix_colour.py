"""pix2pix on the shipped emoji: colours for grey pictures, 32 px.

    python launch.py --config=configs/pix2pix_colour.py

Isola et al. 2017 (arXiv:1611.07004), as pix2pix_edges.py. After 446 iterations, on the 190 held-out emoji: L1 0.099, PSNR
16.5 dB, SSIM 0.62 (seed 0; the grey pictures themselves: 0.084, 20.6 dB, 0.78). It has not been trained to its end here.
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 5_000
    config.batch_size = 16
    config.objective = "image_to_image"
    config.loss_args.l1 = 100.0
    config.model.name = "pix2pix"
    config.model.width = 32
    config.model.gen_dropout = 0.5
    config.data.source = "grey:emoji"
    config.data.resolution = 32
    config.data.flip = True
    return config
