"""How many modes of a known distribution the samples reach, and how evenly. NumPy, float64.

Sources: VEEGAN, Srivastava et al. 2017 (arXiv:1705.07761), section 4.1, counts modes and high-quality samples
of the ring and grid (centres and std: `gan_jax.data.toy.centres`, `.STD`), and modes and KL of stacked MNIST;
PacGAN, Lin et al. 2018 (arXiv:1712.04086), section 4.1, adds the reverse KL. All KLs are in nats.
"""

import math

import numpy as np

from gan_jax.types import AnyArray, UserError

STACKED = 1000  # triples of digits


def mode_coverage(
    samples: AnyArray, centres: AnyArray, std: float | int
) -> dict[str, int | float]:
    """Return modes, high_quality and reverse_kl of samples [N, D] against modes with centres [K, D] and one std.

    A sample is of high quality if it is strictly nearer than 3 std to its nearest centre.
    modes: how many centres (of K) are the nearest one of at least one high-quality sample.
    high_quality: their share of all samples, 0..1.
    reverse_kl: KL(p_samples || uniform over the K centres), p_samples the shares of the centres among the
    high-quality samples; between 0 and log K. Without a high-quality sample it is inf.

    VEEGAN and PacGAN take 2,500 samples; the values of fewer are not comparable.
    Raises UserError for wrong shapes, no samples, numbers that are not finite, or a std that is not positive.
    """
    samples, centres = _points("samples", samples), _points("centres", centres)
    if samples.shape[1] != centres.shape[1]:
        raise UserError(
            f"samples have {samples.shape[1]} coordinates and centres {centres.shape[1]}; they must have as many"
        )
    if not (0 < std < math.inf):
        raise UserError(f"std is {std}; it must be a positive number")
    distances = np.linalg.norm(samples[:, None] - centres, axis=-1)
    near = distances.min(axis=1) < 3 * std
    counts = np.bincount(distances.argmin(axis=1)[near], minlength=len(centres))
    return {
        "modes": int((counts > 0).sum()),
        "high_quality": float(near.mean()),
        "reverse_kl": _kl_to_uniform(counts, len(centres)),
    }


def stacked_modes(digits: AnyArray) -> dict[str, int | float]:
    """Return modes and kl of stacked digits: whole numbers [N, 3] in 0..9, as a classifier read each channel.

    modes: the number of different triples, at most 1,000. kl: KL(shares of the triples || uniform over 1,000).
    Neither is at its ideal for a finite number of perfect samples: `stacked_floor` gives that KL. VEEGAN and
    PacGAN take 26,000 samples. Raises UserError for another shape or type, no samples, or other numbers.
    """
    digits = np.asarray(digits)
    if digits.ndim != 2 or digits.shape[1] != 3 or not len(digits):
        raise UserError(
            f"digits have the shape {list(digits.shape)}; it must be [N, 3], N at least 1"
        )
    if digits.dtype.kind not in "iu" or digits.min() < 0 or digits.max() > 9:
        raise UserError(
            f"digits must be whole numbers 0 to 9; they are {digits.dtype}, "
            f"{digits.min()} to {digits.max()}"
        )
    triples = digits.astype(np.int64) @ np.array([100, 10, 1])
    counts = np.bincount(triples, minlength=STACKED)
    return {"modes": int((counts > 0).sum()), "kl": _kl_to_uniform(counts, STACKED)}


def stacked_floor(n: int) -> float:
    """Return the mean of `stacked_modes(...)["kl"]` for n independent samples of the uniform distribution itself.

    Exact: log K + K E[(X/n) log(X/n)] with X binomial(n, 1/K), K = 1000; near (K - 1) / (2 n) for large n.
    Raises UserError for n below 1.
    """
    if n < 1:
        raise UserError(f"n is {n}; it must be at least 1")
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    x = np.arange(1, n + 1)
    log_chance = (
        log_factorial[n]
        - log_factorial[x]
        - log_factorial[n - x]
        - x * math.log(STACKED)
        + (n - x) * math.log1p(-1 / STACKED)
    )
    share = x / n
    mean = float(np.sum(np.exp(log_chance) * share * np.log(share)))
    return math.log(STACKED) + STACKED * mean


def _points(name: str, points: AnyArray) -> np.ndarray:
    points = np.asarray(points)
    if points.ndim != 2 or not points.size:
        raise UserError(
            f"{name} have the shape {list(points.shape)}; it must be [number, coordinates], neither 0"
        )
    points = points.astype(np.float64)
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points).all(axis=1)).sum())
        raise UserError(
            f"{bad} of {len(points)} {name} are not finite; did the run diverge?"
        )
    return points


def _kl_to_uniform(counts: np.ndarray, modes: int) -> float:
    """KL(counts / sum || uniform over `modes`) with 0 log 0 = 0; inf where there is no count at all."""
    if not counts.any():
        return math.inf
    share = counts[counts > 0] / counts.sum()
    # rounding may leave -1e-16 where the shares are equal
    return max(0.0, float(np.sum(share * np.log(share * modes))))
