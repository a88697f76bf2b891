"""A state as a flat dictionary of host arrays, and back: what a checkpoint holds.

Names are paths in the state ("players.gen.params.Dense_0.kernel"). Arrays carry no trace of devices; typed keys
become their data, and the description beside each array says so.
"""

from typing import Any

import jax
import numpy as np

Tree = dict[str, dict[str, Any]]  # by name: dtype, shape, and impl of a key


def named(tree: Any) -> list[tuple[str, Any]]:
    """(path, leaf) of every leaf, paths as "players.gen.params.kernel"."""
    pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
    found = [(jax.tree_util.keystr(p, simple=True, separator="."), x) for p, x in pairs]
    if len(dict(found)) != len(found):
        raise ValueError("two leaves of the state have the same path")
    return found


def snapshot(state: Any) -> tuple[dict[str, np.ndarray], Tree]:
    """Copies of the arrays on the host by path, and what each leaf is.

    Copies, as on a CPU the host would otherwise look into buffers that the next step may reuse.
    Raises ValueError for a leaf that is not an array.
    """
    leaves, tree = dict(named(state)), {}
    for name, leaf in leaves.items():
        dtype, shape = _describe(leaf)
        if dtype == "object":
            raise ValueError(f"leaf {name} of the state is not an array: {leaf!r:.80}")
        tree[name] = {"dtype": dtype, "shape": shape}
        if dtype.startswith("key<"):
            tree[name]["impl"] = str(jax.random.key_impl(leaf))
            leaves[name] = jax.random.key_data(leaf)
    host = jax.device_get(leaves)
    # Orbax refuses arrays without elements; `rebuilt` makes them from their description.
    return {n: np.array(x, order="C") for n, x in host.items() if np.size(x)}, tree


def rebuilt(arrays: dict[str, Any], tree: Tree, target: Any) -> Any:
    """The state in the structure of `target`: NumPy leaves, and keys where it has keys."""
    leaves = [_leaf(arrays.get(name), **tree[name]) for name, _ in named(target)]
    return jax.tree.unflatten(jax.tree.structure(target), leaves)


def difference(tree: Tree, target: Any) -> str:
    """Say where a saved tree and the target differ first; "" when they agree."""
    have = {name: f"{said['dtype']}{said['shape']}" for name, said in tree.items()}
    want = {name: "{}{}".format(*_describe(leaf)) for name, leaf in named(target)}
    wrong = [name for name in {**want, **have} if have.get(name) != want.get(name)]
    if not wrong:
        return ""
    saved, here = have.get(wrong[0], "absent"), want.get(wrong[0], "absent")
    more = f" ({len(wrong) - 1} more differ)" if wrong[1:] else ""
    return f"{wrong[0]} is {saved} in the checkpoint and {here} here{more}"


def unknown(tree: Tree, hyper: Any) -> dict[str, Any]:
    """By path in the state, the numbers of `hyper` that a saved tree lacks."""
    found = {f"hyper.{name}": np.asarray(x) for name, x in named(hyper)}
    return {name: x for name, x in found.items() if name not in tree}


def stacked(tree: Any, count: int) -> Any:
    """Each number of a tree `count` times: [count]."""
    return jax.tree.map(lambda x: np.full(count, x), tree)


def stored(tree: Tree) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of the arrays that `snapshot` makes of such a tree, to be compared before any is read."""
    found = {}
    for name, said in tree.items():
        shape, dtype = tuple(said["shape"]), said["dtype"]
        if "impl" in said:
            keys = jax.eval_shape(
                lambda impl=said["impl"]: jax.random.key_data(
                    jax.random.key(0, impl=impl)
                )
            )
            shape, dtype = (*shape, *keys.shape), str(keys.dtype)
        if 0 not in shape:
            found[name] = (shape, dtype)
    return found


def _describe(leaf: Any) -> tuple[str, list[int]]:
    leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return str(leaf.dtype), list(leaf.shape)


def _leaf(array: Any, dtype: str, shape: list[int], impl: str = "") -> Any:
    if impl:
        return jax.random.wrap_key_data(array, impl=impl)
    return np.zeros(shape, dtype) if array is None else array
