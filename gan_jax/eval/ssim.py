"""Multi-scale structural similarity of pictures, and the diversity of a set by it. NumPy, float64.

Sources: Wang et al. 2003 (Multiscale structural similarity for image quality assessment), equation 7 and section
3.2 for the weights; for GANs, Odena et al. 2017 (arXiv:1610.09585), section 4.2, and Kurach et al. 2019
(arXiv:1807.04720). The details follow tf.image.ssim_multiscale; the filter that shrinks is of the code of Kurach.
"""

from collections.abc import Callable

import numpy as np

from gan_jax.types import AnyArray, UserError

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SIZE, _SIGMA = 11, 1.5
_CHUNK = 32  # pairs at a time: bounds the memory, changes no number


def ms_ssim(a: AnyArray, b: AnyArray) -> float:
    """Return the mean over pairs (a_i, b_i) of MS-SSIM, pictures [N, H, W, C] in 0..255, of any real type.

    In 0..1, and 1 for equal pictures. Five scales, each the 2x2 mean of the one before; an odd side first repeats
    its last row. Means and variances are under an 11x11 Gaussian of sigma 1.5 wholly inside the picture; below 11
    pixels it has the size min(H, W), and sigma in proportion. Each scale's value is averaged over places, clipped
    at 0 and raised to its weight; the last one is multiplied by the luminance. Their product is averaged over C.

    Raises UserError for unequal shapes, another number of axes, no picture, or values not finite or out of 0..255.
    """
    return _mean_of(_compare, len(_WEIGHTS), a, b)


def ssim(a: AnyArray, b: AnyArray) -> float:
    """Return the mean over pairs (a_i, b_i) of SSIM at the one scale of the pictures [N, H, W, C], in 0..255.

    In -1..1, and 1 for equal pictures. Wang et al. 2004 (Image quality assessment: from error visibility to structural
    similarity), equation 13, K1 0.01 and K2 0.03, with the window of `ms_ssim`; averaged over places and channels.
    Raises UserError as `ms_ssim`.
    """
    return _mean_of(_at_one_scale, 1, a, b)


def diversity(
    images: AnyArray, batches: int = 5, batch: int = 64, seed: int = 2020
) -> float:
    """Return the mean MS-SSIM of different pictures of a set [N, H, W, C] in 0..255: 1 is collapsed, lower is more diverse.

    The mean over all pairs of `batch` pictures, drawn without replacement, and over `batches` such draws, which
    overlap by chance; with N below `batch` each draw is the whole set. The number means something only beside that
    of the real pictures. Raises UserError as `ms_ssim`, for fewer than two pictures, or no batch or pair.
    """
    images = _pictures("images", images, 2)
    if batches < 1 or batch < 2:
        raise UserError(
            f"batches is {batches} and batch {batch}; they must be at least 1 and 2"
        )
    rng = np.random.default_rng(seed)
    count = min(batch, len(images))
    draws = [rng.choice(len(images), count, replace=False) for _ in range(batches)]
    return float(np.mean([_mean_of_pairs(images[draw]) for draw in draws]))


def _pictures(name: str, x: AnyArray, least: int) -> np.ndarray:
    x = np.asarray(x)
    if x.ndim != 4 or not all(x.shape[1:]):
        raise UserError(
            f"{name} has the shape {list(x.shape)}; it must be [number, height, width, channels]"
        )
    if x.dtype.kind not in "fiub":
        raise UserError(f"{name} has the type {x.dtype}; it must be numbers")
    if len(x) < least:
        raise UserError(f"{name} has {len(x)} pictures; at least {least} are needed")
    low, high = x.min(), x.max()
    if not (low >= 0 and high <= 255):  # so that NaN is refused too
        raise UserError(
            f"{name} has values from {low} to {high}; they must be finite and in 0..255"
        )
    return x


def _mean_of(
    compare: Callable[..., np.ndarray], scales: int, a: AnyArray, b: AnyArray
) -> float:
    """Return the mean of compare(moments of a_i, of b_i) over all pairs."""
    a, b = _pictures("a", a, 1), _pictures("b", b, 1)
    if a.shape != b.shape:
        raise UserError(
            f"a has the shape {list(a.shape)} and b {list(b.shape)}; they must be equal"
        )
    total = 0.0
    for start in range(0, len(a), _CHUNK):
        sides = (_moments(x[start : start + _CHUNK], scales) for x in (a, b))
        total += float(compare(*sides).sum())
    return total / len(a)


def _mean_of_pairs(images: np.ndarray) -> float:
    """Return the mean of MS-SSIM over all pairs of different pictures; only the covariance is computed per pair."""
    moments, total, n = _moments(images), 0.0, len(images)
    for i in range(n - 1):
        for start in range(i + 1, n, _CHUNK):
            one = [[t[i : i + 1] for t in scale] for scale in moments]
            others = [[t[start : start + _CHUNK] for t in scale] for scale in moments]
            total += float(_compare(one, others).sum())
    return total / (n * (n - 1) / 2)


def _moments(images: np.ndarray, scales: int = len(_WEIGHTS)) -> list[list[np.ndarray]]:
    """Return for each scale the pictures [N, C, h, w], their local means and their local variances."""
    x = np.moveaxis(images, -1, 1).astype(np.float64)
    moments = []
    for _ in range(scales):
        mean = _blur(x)
        moments.append([x, mean, _blur(x * x) - mean * mean])
        x = _halve(x)
    return moments


def _compare(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> np.ndarray:
    """Return MS-SSIM [N] of pictures given as `_moments`; one picture is compared with each of N."""
    product = np.ones(())
    for scale, weight in enumerate(_WEIGHTS):
        value = _structure(a[scale], b[scale])
        if scale == len(_WEIGHTS) - 1:
            value *= _luminance(a[scale], b[scale])
        product = product * np.maximum(value.mean(axis=(2, 3)), 0) ** weight
    return product.mean(axis=1)


def _at_one_scale(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> np.ndarray:
    """Return SSIM [N] of pictures given as `_moments` of one scale."""
    return (_structure(a[0], b[0]) * _luminance(a[0], b[0])).mean(axis=(1, 2, 3))


def _structure(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    (x, mean_x, var_x), (y, mean_y, var_y) = a, b
    return (2 * (_blur(x * y) - mean_x * mean_y) + _C2) / (var_x + var_y + _C2)


def _luminance(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    x, y = a[1], b[1]
    return (2 * (x * y) + _C1) / (x * x + y * y + _C1)


def _blur(x: np.ndarray) -> np.ndarray:
    """Return Gaussian means of x [N, C, h, w] at all places wholly inside, as two products with band matrices."""
    size = min(_SIZE, *x.shape[2:])
    places = np.arange(size) - (size - 1) / 2
    taps = np.exp(-((places * _SIZE / (size * _SIGMA)) ** 2) / 2)
    bands = [_band(taps / taps.sum(), side) for side in x.shape[2:]]
    return bands[0] @ (x @ bands[1].T)


def _band(taps: np.ndarray, side: int) -> np.ndarray:
    rows = np.arange(side - len(taps) + 1)[:, None]
    band = np.zeros((len(rows), side))
    band[rows, rows + np.arange(len(taps))] = taps
    return band


def _halve(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    x = np.pad(x, ((0, 0), (0, 0), (0, h % 2), (0, w % 2)), "symmetric")
    return x.reshape(n, c, (h + 1) // 2, 2, (w + 1) // 2, 2).mean(axis=(3, 5))
