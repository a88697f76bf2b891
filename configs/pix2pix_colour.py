"""pix2pix on the shipped emoji: colours for grey pictures, 32 px.

    python launch.py --config=configs/pix2pix_colour.py

Isola et al. 2017 (arXiv:1611.07004), as pix2pix_edges.py. After its 5,000 iterations, on the 190 held-out emoji: L1 0.076,
PSNR 18.4 dB, SSIM 0.73 (seed 0; the grey pictures themselves: 0.084, 20.6 dB, 0.78), so better in L1 only.
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
