"""Where D is undecided: the border between what it calls real and what it calls fake, which each loss has its own of.

    border(real, fake, **numbers) -> (border of the real answers, border of the fake ones)

D is right about a real example whose answer is above its border, and about a fake one below. Borders are numbers or
one for each answer; the numbers are those of D's loss. Where a loss has an optimal D, the border is its answer to an
example that is as likely real as fake.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Float

from gan_jax.types import AnyArray

Answers = Float[AnyArray, " batch"]
FakeAnswers = Float[AnyArray, " fakes"]
Number = Any
Border = Callable[..., tuple[Any, Any]]


def at(value: float) -> Border:
    """The same for all."""
    return lambda real, fake, **_: (value, value)


def even_odds(
    real: Answers, fake: FakeAnswers, smooth: Number = 0.0, smooth_fake: Number = 0.0
) -> tuple[Any, Any]:
    """Of cross entropy with labels 1 - s and t: the logit of (1 - s + t) / 2, which is 0 without smoothing."""
    del real, fake
    chance = 0.5 * (1 - smooth + smooth_fake)
    logit = jnp.log(chance / (1 - chance))
    return logit, logit


def between_labels(
    real: Answers,
    fake: FakeAnswers,
    a: Number = 0.0,
    b: Number = 1.0,
    smooth: Number = 0.0,
    smooth_fake: Number = 0.0,
) -> tuple[Any, Any]:
    """Of least squares: midway between the labels, each moved by its smoothing; 1/2 by default."""
    del real, fake
    middle = 0.5 * (a + b + (smooth - smooth_fake) * (a - b))
    return middle, middle


def between_means(real: Answers, fake: FakeAnswers) -> tuple[Any, Any]:
    """Of a critic, whose answers have no zero: midway between the means of both batches."""
    middle = 0.5 * (jnp.mean(real) + jnp.mean(fake))
    return middle, middle


def each_other(real: Answers, fake: Answers) -> tuple[Any, Any]:
    """Of pairs: each one's partner, so that accuracy is the share of pairs in the right order."""
    return fake, real


def mean_of_others(real: Answers, fake: FakeAnswers) -> tuple[Any, Any]:
    """Of the relativistic average: the mean of the other batch."""
    return jnp.mean(fake), jnp.mean(real)
