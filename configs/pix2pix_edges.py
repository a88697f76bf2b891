"""pix2pix on the shipped clothes: from their edges back to the pictures, 32 px.

    python launch.py --config=configs/pix2pix_edges.py

Isola et al. 2017 (arXiv:1611.07004) with the numbers of the paper but for size: U-Net with dropout 0.5, a PatchGAN that
is shown the edges too, L1 with weight 100, width 32 of 64, 16 pictures a batch of 1. On the 2,000 test pictures: L1 0.068,
PSNR 19.3 dB, SSIM 0.68 (seed 0; the edges themselves: 0.697, 2.3 dB, 0.10).
"""

from gan_jax.config import base


def get_config():
    config = base()
    config.steps = 2_000
    config.batch_size = 16
    config.objective = "image_to_image"
    config.loss_args.l1 = 100.0
    config.model.name = "pix2pix"
    config.model.width = 32
    config.model.gen_dropout = 0.5
    config.data.source = "edges:fashion_mnist"
    config.data.resolution = 32
    config.data.flip = True
    return config
