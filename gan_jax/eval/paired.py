"""How far pictures are from others of the same number: mean absolute difference and PSNR. NumPy, float64.

Both take pictures [N, H, W, C] in 0..255 and say numbers of pictures in 0..1. SSIM is `gan_jax.eval.ssim.ssim`.
"""

import numpy as np

from gan_jax.types import AnyArray, UserError

CAP = 100.0  # dB of two equal pictures, whose PSNR is infinite
_CHUNK = 256  # pairs at a time: bounds the memory


def l1(a: AnyArray, b: AnyArray) -> float:
    """Return mean |a - b| / 255 over all elements. Raises UserError for unequal shapes, or no picture."""
    return float(np.mean(_distances(a, b, np.abs)))


def psnr(a: AnyArray, b: AnyArray) -> float:
    """Return the mean over pairs of 10 log10(1 / mean ((a_i - b_i) / 255)^2) in dB, of each at most 100.

    Raises UserError as `l1`.
    """
    floor = 10 ** (-CAP / 10)
    errors = np.maximum(_distances(a, b, np.square), floor)
    return float(np.mean(-10 * np.log10(errors)))


def _distances(a: AnyArray, b: AnyArray, of: np.ufunc) -> np.ndarray:
    """The mean of of((a_i - b_i) / 255) of each pair: float64 [N]."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 4 or not a.size:
        raise UserError(
            f"pictures of the shapes {list(a.shape)} and {list(b.shape)} are no pairs: both must be [number, height, "
            "width, channels], and one at least"
        )
    parts = [
        of((a[i : i + _CHUNK].astype(np.float64) - b[i : i + _CHUNK]) / 255)
        for i in range(0, len(a), _CHUNK)
    ]
    return np.concatenate([part.mean(axis=(1, 2, 3)) for part in parts])
