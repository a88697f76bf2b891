"""Regularisers: penalties that need more than a critic (parameters, a memory, a second forward pass).

Each is a function of a View -> (scalar, memory), unweighted, added to the loss of the player that moves. The
weights are `config.penalty`, like those of penalties.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gan_jax.types import Pair

Outcome = tuple[Float[Array, ""], Any]
LECAM_DECAY = 0.99
GEN_CONSISTENCY = 0.1  # the published ratio of zCR's two weights, 0.5 to 5


class View(NamedTuple):
    """What a regulariser may look at.

    params: of the player that moves. memory: this regulariser's own, for this player. real, fake, near: D's
    Scores of real pictures, of G(z) and of G(z') with z' near z (None where a player's loss has none).
    images: (G(z), G(z')).
    """

    params: Any
    memory: Any
    real: Any = None
    fake: Any = None
    near: Any = None
    images: Any = None


class Regulariser(NamedTuple):
    """A row of REGULARISERS: what is added to each player's loss, and the memory before the first step.

    start(params of the player) -> memory. needs_near: G(z') has to be made, z' = z + noise.
    """

    gen: Callable[[View], Outcome] | None = None
    disc: Callable[[View], Outcome] | None = None
    start: Callable[[Any], Any] = lambda params: {}
    needs_near: bool = False


def lecam(view: View) -> Outcome:
    """mean (D(x) - a_F)^2 + mean (D(G(z)) - a_R)^2, a_R and a_F running means (decay 0.99) of D on real and fake.

    Tseng et al. 2021 (arXiv:2104.03310), eq. 5. Keeps D's answers together when there are few data.
    """
    kept = jax.lax.stop_gradient(view.memory)
    now = {"real": jnp.mean(view.real.logits), "fake": jnp.mean(view.fake.logits)}
    value = jnp.mean((view.real.logits - kept["fake"]) ** 2)
    value += jnp.mean((view.fake.logits - kept["real"]) ** 2)
    memory = jax.tree.map(
        lambda old, new: LECAM_DECAY * old + (1 - LECAM_DECAY) * new, kept, now
    )
    return value, memory


def kernels(params: Any) -> list[Any]:
    """Every parameter with at least two axes: weights, not biases or scales."""
    return [x for x in jax.tree.leaves(params) if x.ndim > 1]


def orthogonal(view: View) -> Outcome:
    """Sum over kernels W [inputs, outputs] of the squared off-diagonal elements of W^T W.

    Brock et al. 2019 (arXiv:1809.11096), eq. 3; the paper's weight is 1e-4. The diagonal is free.
    """
    total = jnp.float32(0.0)
    for w in kernels(view.params):
        matrix = w.reshape(-1, w.shape[-1])
        gram = matrix.T @ matrix
        total += jnp.sum(gram**2) - jnp.sum(jnp.diagonal(gram) ** 2)
    return total, view.memory


def weight_decay(view: View) -> Outcome:
    """Half the sum of squares of every kernel, in the loss (so that Adam rescales it, unlike adamw's)."""
    return 0.5 * sum(jnp.sum(w**2) for w in kernels(view.params)), view.memory


def historical_averaging(view: View) -> Outcome:
    """|theta - mean over time of theta|^2 over all parameters.

    Salimans et al. 2016 (arXiv:1606.03498), section 3.3. The mean is over the parameters before each update.
    """
    mean, count = view.memory["mean"], view.memory["count"]
    apart = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), view.params, mean)
    params = jax.lax.stop_gradient(view.params)
    mean = jax.tree.map(lambda m, p: m + (p - m) / (count + 1), mean, params)
    return sum(jax.tree.leaves(apart)), {"mean": mean, "count": count + 1}


def latent_consistency_disc(view: View) -> Outcome:
    """mean (D(G(z)) - D(G(z')))^2, z' = z + N(0, 0.05^2): neighbours in latent space look alike to D.

    zCR of Zhao et al. 2020 (arXiv:2002.04724), eq. 4; the paper's weight is 5.
    """
    return jnp.mean((view.fake.logits - view.near.logits) ** 2), view.memory


def latent_consistency_gen(view: View) -> Outcome:
    """-0.1 mean (G(z) - G(z'))^2 over all elements: and differ in the picture (same paper, eq. 5)."""
    image, near = view.images
    return -GEN_CONSISTENCY * jnp.mean((image - near) ** 2), view.memory


def pull_away(view: View) -> Outcome:
    """Mean squared cosine of D's features of different fakes of a batch.

    EBGAN-PT, Zhao et al. 2017 (arXiv:1609.03126), eq. 4; the paper's weight is 0.1.
    """
    f = view.fake.features
    unit = f * jax.lax.rsqrt(jnp.sum(f * f, axis=1, keepdims=True) + 1e-12)
    squared = (unit @ unit.T) ** 2
    n = len(f)
    return (jnp.sum(squared) - jnp.trace(squared)) / (n * (n - 1)), view.memory


def start_memory(names: tuple[str, ...], params: Pair) -> dict[str, Any]:
    """The memory of the named regularisers before the first step: {name: Pair of memories}."""
    rows = {name: REGULARISERS[name] for name in names}
    return {
        name: Pair(
            *(
                row.start(p) if side else {}
                for side, p in zip(row[:2], params, strict=True)
            )
        )
        for name, row in rows.items()
    }


REGULARISERS: dict[str, Regulariser] = {
    "lecam": Regulariser(
        disc=lecam, start=lambda params: {"real": jnp.zeros(()), "fake": jnp.zeros(())}
    ),
    "orthogonal": Regulariser(orthogonal, orthogonal),
    "weight_decay": Regulariser(weight_decay, weight_decay),
    "latent_consistency": Regulariser(
        latent_consistency_gen, latent_consistency_disc, needs_near=True
    ),
    "historical_averaging": Regulariser(
        historical_averaging,
        historical_averaging,
        lambda params: {"mean": params, "count": jnp.zeros(())},
    ),
    "pull_away": Regulariser(gen=pull_away),
}
