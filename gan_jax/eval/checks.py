"""What every metric asks of its arrays, and how it says no."""

import numpy as np

from gan_jax.types import AnyArray, UserError


def rows(name: str, x: AnyArray, least: int = 2) -> np.ndarray:
    """Return features [N, D] as float64. Raises UserError for another shape, N below `least`, NaN or infinities."""
    x = np.asarray(x)
    if x.ndim != 2 or not x.shape[1]:
        raise UserError(
            f"{name} has the shape {list(x.shape)}; it must be [number, features]"
        )
    if x.dtype.kind not in "fiub":
        raise UserError(f"{name} has the type {x.dtype}; it must be numbers")
    if len(x) < least:
        raise UserError(f"{name} has {len(x)} rows; at least {least} are needed")
    x = x.astype(np.float64)
    bad = int((~np.isfinite(x).all(axis=1)).sum())
    if bad:
        raise UserError(
            f"{bad} of {len(x)} rows of {name} are not finite; did the run diverge?"
        )
    return x


def two_sets(
    fake: AnyArray, real: AnyArray, least: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets as float64 [N, D] and [M, D]. Raises UserError as `rows`, and for unequal D."""
    fake, real = rows("fake", fake, least), rows("real", real, least)
    if fake.shape[1] != real.shape[1]:
        raise UserError(
            f"fake has {fake.shape[1]} features and real {real.shape[1]}; they must have as many"
        )
    return fake, real
