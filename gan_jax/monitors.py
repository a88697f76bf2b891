"""What is looked at while a GAN trains, as pure functions of arrays. observed.py says of which arrays.

A layer is the parameters of one module, named by its path with dots; its norm is that of all of them joined. Sums are
float32. Nothing here divides by 0: where there is nothing to compare the answer is 0.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gan_jax.leaves import named
from gan_jax.types import AnyArray, Metrics

Examples = Float[AnyArray, "batch ..."]
Number = Float[AnyArray, ""]
STEPS, SQUARINGS = 32, 10  # of Lanczos, and of the small matrix that it leaves
LEAST, SMALL = (
    16,
    128,
)  # grams up to the second are padded to a power of two, so that few sizes are left
TINY = 1e-30
FEW = 64  # numbers of an example up to which its distances are taken one by one
CLOSE = (
    0.1  # a duplicate is nearer than this share of the real examples' nearest distance
)
MOST = 4096  # elements of a histogram


def dot(a: Any, b: Any) -> Float[Array, ""]:
    """The inner product of two trees of the same structure."""
    return sum(jnp.sum(x * y) for x, y in _leaves(a, b))


def norm(tree: Any) -> Float[Array, ""]:
    """The Euclidean length of all numbers of a tree."""
    return jnp.sqrt(dot(tree, tree))


def cosine(a: Any, b: Any) -> Float[Array, ""]:
    """The cosine of the angle between two trees of the same structure."""
    return dot(a, b) / jnp.maximum(norm(a) * norm(b), TINY)


def _leaves(*trees: Any) -> list[Any]:
    return list(zip(*map(jax.tree.leaves, trees), strict=True))


def layers(tree: Any) -> dict[str, list[Any]]:
    """The arrays of each layer. What is no module's, such as a learned picture, is a layer of its own."""
    found: dict[str, list[Any]] = {}
    for path, x in named(tree):
        found.setdefault(path.rpartition(".")[0] or path, []).append(x)
    return found


def layer_norms(tree: Any) -> Metrics:
    """The norm of each layer."""
    return {layer: norm(arrays) for layer, arrays in layers(tree).items()}


def spectral_norms(params: Any) -> Metrics:
    """The largest singular value of each kernel as a matrix [everything else, outputs], by its layer.

    Before spectral normalisation, where a layer has that. A transposed convolution's kernel is [k, k, outputs, inputs].
    """
    sizes: dict[int, dict[str, Any]] = {}
    for path, kernel in named(params):
        layer, _, name = path.rpartition(".")
        if name == "kernel" and kernel.ndim > 1:
            turned = layer.rpartition(".")[2].startswith("ConvTranspose")
            gram = smaller_gram(kernel.swapaxes(-2, -1) if turned else kernel)
            sizes.setdefault(len(gram), {})[layer] = gram
    found = {}
    for grams in sizes.values():  # one program for all of a size
        values = jnp.sqrt(top_eigenvalues(jnp.stack(list(grams.values()))))
        found |= dict(zip(grams, values, strict=True))
    return dict(sorted(found.items()))


def smaller_gram(kernel: Float[AnyArray, "*inputs outputs"]) -> Float[Array, "n n"]:
    """A A^T or A^T A of the kernel as a matrix A, whichever is smaller: their largest eigenvalue is the same.

    A small one has zeros around it, which add no other eigenvalue.
    """
    matrix = jnp.asarray(kernel, jnp.float32).reshape(-1, kernel.shape[-1])
    matrix = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    gram = jnp.matmul(matrix, matrix.T, precision="highest")
    if len(gram) > SMALL:
        return gram
    size = max(LEAST, 1 << (len(gram) - 1).bit_length())
    return jnp.pad(gram, (0, size - len(gram)))


def top_eigenvalues(grams: Float[AnyArray, "k n n"]) -> Float[Array, " k"]:
    """The largest eigenvalue of symmetric matrices without negative ones, by 32 steps of Lanczos.

    Never more than it but by rounding, and less where others crowd below it: the root of it, a norm, was at worst 1 in a
    thousand less for 80 random kernels of 512, 6 for 32 of 1,024. Vectors are not made orthogonal again, which repeats
    eigenvalues and adds none (Paige 1980, doi:10.1016/0024-3795(80)90167-6). All is products of matrices, whatever the
    device and the axes it is mapped over.
    """
    largest = _diagonal(grams).max(axis=-1)[:, None, None]
    grams = grams / jnp.maximum(largest, TINY)

    def step(at: Any, _: Any) -> Any:
        before, now, far = at
        ahead = _product(grams, now) - far * before
        along = _inner(ahead, now)
        after, further = _unit(ahead - along * now)
        return (now, after, further), (along, further)

    # a column of the matrix may be orthogonal to the eigenvector; noise is to none that comes by a rule
    noise = np.random.default_rng(0).normal(size=(grams.shape[-1], 1))
    first, _ = _unit(_product(grams, noise.astype(np.float32)))
    begin = jnp.zeros_like(first), first, jnp.zeros_like(largest)
    _, told = jax.lax.scan(step, begin, length=STEPS)
    along, far = (x[..., 0, 0].T for x in told)
    return largest[:, 0, 0] * _top_of_tridiagonal(along, far[:, :-1])


def _top_of_tridiagonal(
    diagonal: Float[Array, "k s"], beside: Float[Array, "k s_1"]
) -> Float[Array, " k"]:
    """By 1,024 steps of power iteration, of which each squaring doubles the number."""
    whole = jax.vmap(lambda a, b: jnp.diag(a) + jnp.diag(b, 1) + jnp.diag(b, -1))
    matrices = whole(diagonal, beside)

    def squared(_: Any, x: Any) -> Any:
        x = _product(x, x)
        return x / jnp.maximum(_diagonal(x).max(axis=-1)[:, None, None], TINY)

    power = jax.lax.fori_loop(0, SQUARINGS, squared, matrices)
    column = jnp.argmax(_diagonal(power), axis=-1)[:, None, None]
    vector, _ = _unit(jnp.take_along_axis(power, column, axis=-1))
    return _inner(vector, _product(matrices, vector))[:, 0, 0]


_product = partial(jnp.matmul, precision="highest")
_diagonal = partial(jnp.diagonal, axis1=-2, axis2=-1)


def _inner(a: Any, b: Any) -> Any:
    return jnp.sum(a * b, axis=-2, keepdims=True)


def _unit(vector: Any) -> tuple[Any, Any]:
    """(Vectors of length 1, their lengths before); of 0 none."""
    length = jnp.sqrt(_inner(vector, vector))
    return vector / jnp.maximum(length, TINY), length


def distances(x: Examples) -> Float[Array, "batch batch"]:
    """Euclidean distances within a batch; of pictures to about 3e-4 of their mean, of points exactly."""
    flat = jnp.asarray(x, jnp.float32).reshape(len(x), -1)
    if flat.shape[1] <= FEW:
        return jnp.sqrt(jnp.sum((flat[:, None] - flat[None]) ** 2, axis=-1))
    flat = flat - flat.mean(0)
    square = jnp.sum(flat * flat, axis=1)
    inner = jnp.matmul(flat, flat.T, precision="highest")
    return jnp.sqrt(jnp.maximum(square[:, None] + square[None] - 2 * inner, 0.0))


def diversity(fake: Examples, real: Examples) -> Metrics:
    """How different the examples of a batch are from one another, beside those of a real batch of the same size.

    "ratio": mean distance of two fakes / of two real examples. "nearest": the mean distance of a fake to its nearest
    other fake / the same of real ones. "duplicates": share of fakes whose nearest other fake is nearer than a tenth of
    the real examples' mean nearest distance. {} for a batch of one.
    """
    if len(fake) < 2 or len(real) < 2:
        return {}
    mean, nearest = zip(*(_spread(distances(x)) for x in (fake, real)), strict=True)
    typical = jnp.mean(nearest[1])
    return {
        "ratio": mean[0] / jnp.maximum(mean[1], TINY),
        "nearest": jnp.mean(nearest[0]) / jnp.maximum(typical, TINY),
        "duplicates": jnp.mean(nearest[0] < CLOSE * typical, dtype=jnp.float32),
    }


def _spread(between: Float[Array, "batch batch"]) -> tuple[Any, Any]:
    """(Mean distance of two examples, each one's distance to its nearest [batch])."""
    n = len(between)
    others = between + jnp.where(jnp.eye(n, dtype=bool), jnp.inf, 0.0)
    return jnp.sum(between) / (n * (n - 1)), others.min(axis=1)


def shape_of_game(gg: Number, gd: Number, dg: Number, dd: Number) -> Metrics:
    """What a game of two numbers, whose slopes change by [[gg, gd], [dg, dd]], does where it stands.

    gd: the change of G's slope as D moves, dg: of D's as G moves, gg and dd: of each one's own. A matrix is the sum of four that are
    orthogonal: ((gg + dd) / 2) I, two of strain, and ((gd - dg) / 2) [[0, 1], [-1, 0]]. With their squares as shares
    of its own, "rotation" is the share of the last, 0..1, and "attraction" the signed root of the first's, -1..1:
    players who go down their slopes come together where it is positive. Balduzzi et al. 2018 (arXiv:1802.05642),
    section 2: a potential game has no rotation, a Hamiltonian one nothing else.
    """
    parts = jnp.stack([gg, gd, dg, dd])
    gg, gd, dg, dd = parts / jnp.maximum(jnp.max(jnp.abs(parts)), TINY)
    whole = jnp.maximum(gg**2 + gd**2 + dg**2 + dd**2, TINY)
    return {
        "rotation": 0.5 * (gd - dg) ** 2 / whole,
        "attraction": (gg + dd) / jnp.sqrt(2 * whole),
    }


def sampled(arrays: Sequence[Any]) -> Float[Array, " n"]:
    """The elements of some arrays in a row, of more than 4,096 every k-th."""
    flat = jnp.concatenate([jnp.ravel(x) for x in arrays])
    return flat[:: -(-len(flat) // MOST)]
