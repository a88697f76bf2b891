"""All metrics of two sets in one place: NumPy, float64, features [N, D], fakes first.

Every one refuses NaN, infinities, fewer than two rows and unequal dimensions with a UserError; constant features
(a collapsed generator) are valid.
"""

from gan_jax.eval.frechet import fid, fid_infinity
from gan_jax.eval.kernel import kid, mmd2
from gan_jax.eval.modes import mode_coverage, stacked_floor, stacked_modes
from gan_jax.eval.neighbours import density_coverage, memorisation, precision_recall
from gan_jax.eval.paired import l1, psnr
from gan_jax.eval.prd import prd
from gan_jax.eval.scores import inception_score
from gan_jax.eval.sliced import sliced_wasserstein
from gan_jax.eval.ssim import ms_ssim, ssim

__all__ = [
    "density_coverage",
    "fid",
    "fid_infinity",
    "inception_score",
    "kid",
    "l1",
    "memorisation",
    "mmd2",
    "mode_coverage",
    "ms_ssim",
    "prd",
    "precision_recall",
    "psnr",
    "sliced_wasserstein",
    "ssim",
    "stacked_floor",
    "stacked_modes",
]
