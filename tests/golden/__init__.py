"""Numbers computed by another library, and the arrays both sides compute them from."""

import numpy as np


def logits() -> tuple[np.ndarray, np.ndarray]:
    """What D gives of 6 real and 6 fake samples, float64; their absolute values serve as energies."""
    rng = np.random.RandomState(0)
    return rng.normal(0.5, 2, 6), rng.normal(-0.5, 2, 6)


def pictures() -> dict[str, np.ndarray]:
    """Real and fake pictures [5,4,3,2], the points where gradients are taken, weights [24,7] of the critic."""
    rng = np.random.RandomState(1)
    batches = {
        name: rng.normal(size=(5, 4, 3, 2)) for name in ("real", "fake", "points")
    }
    return {**batches, "weights": 0.11 * rng.normal(size=(24, 7))}
