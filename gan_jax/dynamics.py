"""The game as a dynamical system: its vector field, the eigenvalues of the field's Jacobian, and those of a whole step.

All parameters are one vector w [n], G's first, and v(w) [n] is both players' slopes: simultaneous gradient descent is
w - lr v(w). Of an eigenvalue a + bi of J = dv/dw a > 0 attracts, a < 0 repels and b rotates. At a stationary point such
steps contract where every a > 0 and lr < 2 a / (a^2 + b^2) (Mescheder et al. 2017, arXiv:1705.10461, whose v
has the other sign): the more rotation, the smaller the steps have to be. Batch, noise and statistics are held fixed.

Only products J^T u are taken, in reverse mode, which the fast convolutions have: J and its transpose share their spectrum.
They are of float32, so an eigenvalue far below 1e-6 of the largest one is rounding. Adam's division by the root of its
second moments is left out: this is the spectrum of the game, not of an optimizer.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Complex, Float

from gan_jax.games import field
from gan_jax.step import Step, dealt
from gan_jax.turns import Turns
from gan_jax.types import AnyArray, Batch, Pair, Recipe, TrainState

Vector = Float[AnyArray, " n"]
Values = Complex[np.ndarray, " k"]
Transposed = Callable[[Any], Any]  # u [n] -> J^T u [n]
Product = Callable[[TrainState, Batch, Any], Any]  # (state, batch, u) -> J^T u
WHOLE = 600  # parameters up to which the whole matrix is made
TOLERANCE = 1e-4  # of an eigenvalue by Krylov, relative
RESTARTS = 60  # at most, of Arnoldi's method
PROBES = 64  # random vectors of `split`


def parameters(state: TrainState) -> Vector:
    """All parameters as one vector, G's first."""
    return ravel_pytree(_pair(state))[0]


def _pair(state: TrainState) -> Pair:
    return Pair(state.players.gen.params, state.players.disc.params)


def make_field(
    recipe: Recipe, nets: Pair
) -> Callable[[Any, TrainState, Batch], Vector]:
    """v(w, state, batch) -> both slopes [n] at parameters w, with all else as the step after `state` has it.

    batch: [1, B, ...], B as it comes; both players see it. Lazy penalties count as if they were taken in every step.
    """
    recipe = replace(recipe, penalty_every=1)
    turns = Turns(recipe, nets, None)

    def v(w: Any, state: TrainState, batch: Batch) -> Vector:
        deal = dealt(recipe, state, batch)
        slopes = field(turns, state.players, state.memory, deal)
        rebuilt = ravel_pytree(_pair(state))[1]
        return ravel_pytree(slopes(rebuilt(w))[0])[0]

    return v


def make_product(recipe: Recipe, nets: Pair) -> Product:
    """product(state, batch, u) -> J^T u at the state's parameters, compiled once."""
    v = make_field(recipe, nets)

    @jax.jit
    def product(state: TrainState, batch: Batch, u: Any) -> Vector:
        at = parameters(state)
        return jax.vjp(lambda w: v(w, state, batch), at)[1](u)[0]

    return product


def matrix(transposed: Transposed, n: int) -> Float[np.ndarray, "n n"]:
    """J, a row a product."""
    rows = [np.asarray(transposed(unit)) for unit in np.eye(n, dtype=np.float32)]
    return np.stack(rows).astype(np.float64)


class Direction(NamedTuple):
    """A row of DIRECTIONS: ARPACK's name for it, and how far out an eigenvalue is."""

    which: str
    rank: Callable[[Any], Any]


def krylov(transposed: Transposed, n: int, k: int, direction: str) -> Values:
    """The k < n - 2 eigenvalues of J that are outermost in a direction, or as many as converged; the outermost first.

    ARPACK's implicitly restarted Arnoldi method (Lehoucq et al. 1998) on J^T, always from the same vector.
    """
    from scipy.sparse import linalg  # slow to import

    def times(u: Any) -> Any:
        return np.asarray(transposed(np.float32(u).ravel()), np.float64)

    operator = linalg.LinearOperator((n, n), times, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n)
    how = {"v0": start, "tol": TOLERANCE, "maxiter": RESTARTS}
    how |= {"ncv": min(n, 3 * k + 23), "return_eigenvectors": False}
    try:
        # one more, so that no pair is cut in two
        found = linalg.eigs(operator, k + 1, which=DIRECTIONS[direction].which, **how)
    except linalg.ArpackNoConvergence as stopped:
        found = stopped.eigenvalues
    return outermost(found, k, direction)


def outermost(values: Any, k: int, direction: str) -> Values:
    """The first k of eigenvalues, ordered from the outermost in a direction inwards; of a pair the positive imaginary part first."""
    values = np.asarray(values, np.complex128)
    order = np.lexsort((-values.imag, -DIRECTIONS[direction].rank(values)))
    return values[order][:k]


def spectrum(transposed: Transposed, n: int, k: int) -> dict[str, Values]:
    """For each of DIRECTIONS the k outermost eigenvalues of J: of the whole matrix up to 600 parameters, else by Krylov."""
    if n <= max(WHOLE, k + 3):
        whole = np.linalg.eigvals(matrix(transposed, n))
        return {name: outermost(whole, k, name) for name in DIRECTIONS}
    return {name: krylov(transposed, n, k, name) for name in DIRECTIONS}


def rotation(values: Any) -> Float[np.ndarray, "..."]:
    """|Im| / |lambda| of eigenvalues: 0 where they attract or repel alone, 1 where they rotate alone; 0 of zero."""
    size = np.abs(values)
    return np.abs(np.imag(values)) / np.where(size > 0, size, 1.0)


class Split(NamedTuple):
    """Squared Frobenius norms of S = (J + J^T) / 2, which attracts and repels, and of A = (J - J^T) / 2, which rotates.

    Balduzzi et al. 2018 (arXiv:1802.05642): the potential and the Hamiltonian part of a game.
    """

    symmetric: float
    antisymmetric: float


def split(transposed: Transposed, n: int) -> Split:
    """The parts of J, by |S|^2 + |A|^2 = tr J J^T and |S|^2 - |A|^2 = tr J J.

    Exact up to 600 parameters; else both traces are means over 64 vectors of random signs, always the same (Hutchinson
    1990), which are off by about a sixth where one eigenvalue outweighs all others, and by far less where many share.
    """
    if n <= WHOLE:
        j = matrix(transposed, n)
        whole, square = np.sum(j * j), np.sum(j * j.T)
    else:
        signs = np.random.default_rng(0).choice(np.float32([-1, 1]), (PROBES, n))
        once = [np.asarray(transposed(u)) for u in signs]
        twice = [np.asarray(transposed(u)) for u in once]
        whole = np.mean([u @ u for u in once])
        square = np.mean([u @ w for u, w in zip(signs, twice, strict=True)])
    return Split(float(whole + square) / 2, float(whole - square) / 2)


def step_eigenvalues(step: Step, state: TrainState, batch: Batch) -> Values:
    """Eigenvalues of the derivative of a whole step in all that the players are: parameters, statistics, optimizers' memory.

    The largest size is the step's spectral radius: below 1 a fixed point draws near. For toys: the matrix is made whole.
    """
    leaves, tree = jax.tree.flatten(state.players)
    floats = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]
    values, rebuilt = ravel_pytree([leaves[i] for i in floats])

    def move(values: Any) -> Vector:
        full = list(leaves)
        for i, x in zip(floats, rebuilt(values), strict=True):
            full[i] = x
        players = jax.tree.unflatten(tree, full)
        after = jax.tree.leaves(step(replace(state, players=players), batch)[0].players)
        return ravel_pytree([after[i] for i in floats])[0]

    jacobian = np.asarray(jax.jit(jax.jacrev(move))(values), np.float64)
    return np.linalg.eigvals(jacobian).astype(np.complex128)


# what is asked for -> where in the plane it is
DIRECTIONS = {
    "magnitude": Direction("LM", np.abs),
    "rotation": Direction("LI", lambda values: np.abs(np.imag(values))),
    "attraction": Direction("LR", np.real),
    "repulsion": Direction("SR", lambda values: -np.real(values)),
}
