"""The Inception score, from a classifier's logits. NumPy, float64."""

import numpy as np
import scipy

from gan_jax.eval.checks import rows
from gan_jax.types import AnyArray, UserError


def inception_score(logits: AnyArray, splits: int = 10) -> tuple[float, float]:
    """Return mean and std (divided by `splits`) over splits of exp(mean KL(p(y|x) || p(y))), from logits [N, C].

    Salimans et al. 2016 (arXiv:1606.03498), section 4. Each score is in 1..C: 1 where all pictures look alike to the
    classifier, C where it is sure of each and names all classes equally often. Split i of S is the rows
    [i N // S, (i+1) N // S) in the order given, so rows that are sorted by class must be shuffled before; p(y) is the
    mean of its own split. The published scores are of 1,008 Inception logits without the bias.
    Raises UserError as `checks.rows`, for splits below 1, and for fewer rows than splits.
    """
    logits = rows("logits", logits)
    n = len(logits)
    if splits < 1:
        raise UserError(f"splits is {splits}; it must be at least 1")
    if n < splits:
        raise UserError(
            f"{n} rows of logits cannot be split in {splits}; give more samples or fewer splits"
        )
    p = scipy.special.softmax(logits, axis=1)
    scores = []
    for i in range(splits):
        part = p[i * n // splits : (i + 1) * n // splits]
        kl = scipy.special.rel_entr(part, part.mean(0))
        scores.append(np.exp(kl.sum(1).mean()))
    return float(np.mean(scores)), float(np.std(scores))
