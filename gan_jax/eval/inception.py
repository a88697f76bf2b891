"""Features of pictures by the Inception-v3 of December 2015: what FID (arXiv:1706.08500) and IS (arXiv:1606.03498) use.

Pictures uint8 are resized to 299 x 299 as TensorFlow 1 did it, become (x - 128) / 128, and go through
`gan_jax.models.inception`. The weights are those of `pt_inception-2015-12-05-6726825d.pth` (of pytorch-fid; torch-fidelity
has the same file as `weights-inception-2015-12-05-6726825d.pth`).
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import tree_flatten_with_path, tree_map_with_path
from jaxtyping import Array, Float, UInt8

from gan_jax.eval import weights
from gan_jax.eval.fetch import FILE, PREFIX
from gan_jax.models.inception import Inception
from gan_jax.types import AnyArray, Params, UserError

_SIDE = 299
_BATCH = {"cpu": 4}  # pictures of one call on this backend, 64 elsewhere
_SHOWN = 3  # keys of a message


def digest(path: str | Path) -> str:
    """Return the sha256 of a file in hexadecimal. Raises UserError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"cannot read the Inception weights {path}: {error}; the file is {FILE} of pytorch-fid's or "
            "torch-fidelity's releases"
        ) from error


def load(path: str | Path) -> Params:
    """Return the parameters in the file of the FID Inception, whose sha256 is looked at before its contents.

    Raises UserError if it cannot be read, is another file, or has other arrays.
    """
    found = digest(path)
    if not found.startswith(PREFIX):
        raise UserError(
            f"{path} has the sha256 {found}; expected is {FILE}, whose sha256 begins with {PREFIX}"
        )
    return from_torch_state(weights.read_torch(path))


def from_torch_state(state: dict[str, np.ndarray]) -> Params:
    """Return the parameters from arrays under the names of the PyTorch conversions (kernels OIHW, fc [1008, 2048]).

    `num_batches_tracked` may be there and is left out. Raises UserError naming the first keys that are missing,
    unexpected, or not floats of their shape; all become float32.
    """
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), _layout())
    right = {key: v.shape for key, v in to_torch_state(zeros).items()}
    stems = {k.removesuffix("running_var") for k in right if "running_var" in k}
    counters = {f"{stem}num_batches_tracked" for stem in stems}
    arrays = {k: np.asarray(v) for k, v in state.items() if k not in counters}
    wrong = {
        "missing": sorted(right.keys() - arrays.keys()),
        "unexpected": sorted(arrays.keys() - right.keys()),
        "of another shape or type": [
            f"{k} ({arrays[k].dtype} {list(arrays[k].shape)}, not float {list(right[k])})"
            for k in sorted(right.keys() & arrays.keys())
            if arrays[k].shape != right[k] or arrays[k].dtype.kind != "f"
        ],
    }
    if any(wrong.values()):
        text = "; ".join(f"{what}: {_first(k)}" for what, k in wrong.items() if k)
        raise UserError(f"these are not the arrays of {FILE}: {text}")
    return tree_map_with_path(
        lambda path, leaf: _from_torch(arrays[_key(path)]).astype(leaf.dtype), _layout()
    )


def to_torch_state(params: Params) -> dict[str, np.ndarray]:
    """Return what `from_torch_state` takes, bit for bit, without `num_batches_tracked`."""
    leaves = tree_flatten_with_path(params)[0]
    return {_key(path): _to_torch(np.asarray(leaf)) for path, leaf in leaves}


def resize_tf1(
    images: Float[AnyArray, "n h w c"], size: tuple[int, int]
) -> Float[Array, "n high wide c"]:
    """Resize to size (high, wide) as TensorFlow 1 did with align_corners=False, in float32.

    Bilinear with corners at 0: output i lies at i * in / out (no half pixel), the last pixel repeats, and nothing is
    averaged when it shrinks. On a CPU the bits are those of the published kernel: first along the rows, every
    product rounded before its sum.
    """
    for axis in (2, 1):
        n, out = images.shape[axis], size[axis - 1]
        at = np.arange(out, dtype=np.float32) * np.float32(n / out)
        low = at.astype(np.int32)
        part = np.expand_dims(
            at - low.astype(np.float32), (1,) if axis == 2 else (1, 2)
        )
        a = jnp.take(images, low, axis, mode="clip")
        b = jnp.take(images, low + 1, axis, mode="clip")
        # the maximum changes nothing but keeps the compiler from a fused multiply-add, which rounds once
        images = a + jnp.maximum((b - a) * part, jnp.finfo(jnp.float32).min)
    return images


def apply(params: Params, images: AnyArray) -> dict[str, np.ndarray]:
    """Return what the network says of uint8 pictures [N, H, W, 3], in float32.

    pool [N, 2048]: features of FID and KID. logits [N, 1008]. logits_no_bias [N, 1008]: pool @ weight, those of IS.
    Raises UserError for other types or shapes (grey pictures included), or no pictures.
    """
    images = np.asarray(images)
    _check(images)
    backend = jax.default_backend()
    size = _BATCH.get(backend, 64)
    network = _network(size)
    params = jax.device_put(params)

    def run(begin: int) -> dict[str, np.ndarray]:
        part = images[begin : begin + size]
        full = np.pad(part, ((0, size - len(part)), (0, 0), (0, 0), (0, 0)))
        out = jax.device_get(network(params, _inputs(full)))
        return {name: value[: len(part)] for name, value in out.items()}

    # XLA's own threads gain 1.4 times on two cores: here every core has its batch; elsewhere two keep the device busy
    workers = (os.cpu_count() or 1) if backend == "cpu" else 2
    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(run, range(0, len(images), size)))
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


@jax.jit
def _inputs(images: UInt8[Array, "n h w 3"]) -> Float[Array, "n 299 299 3"]:
    resized = resize_tf1(images.astype(jnp.float32), (_SIDE, _SIDE))
    return (resized - 128) / 128


@cache
def _network(batch: int) -> jax.stages.Compiled:
    """The compiled network: its arguments are the parameters and pictures [batch, 299, 299, 3]."""
    one_thread = {"xla_cpu_multi_thread_eigen": False}
    options = one_thread if jax.default_backend() == "cpu" else {}
    pictures = jax.ShapeDtypeStruct((batch, _SIDE, _SIDE, 3), jnp.float32)
    program = jax.jit(_forward, compiler_options=options)
    return program.lower(_layout(), pictures).compile()


def _forward(params: Params, pictures: Array) -> dict[str, Array]:
    return Inception().apply({"params": params}, pictures)


@cache
def _layout() -> Params:
    """The parameters' shapes."""
    pictures = jax.ShapeDtypeStruct((1, _SIDE, _SIDE, 3), jnp.float32)
    return jax.eval_shape(Inception().init, jax.random.key(0), pictures)["params"]


_PARTS = {
    "kernel": "conv.weight",
    "scale": "bn.weight",
    "bias": "bn.bias",
    "mean": "bn.running_mean",
    "var": "bn.running_var",
}
_LAST = {"kernel": "weight", "bias": "bias"}  # of the layer fc


def _key(path: tuple[Any, ...]) -> str:
    """The PyTorch name of a leaf: ("Mixed_5b", "branch1x1", "kernel") is Mixed_5b.branch1x1.conv.weight."""
    *layer, leaf = (entry.key for entry in path)
    return ".".join([*layer, (_LAST if layer == ["fc"] else _PARTS)[leaf]])


def _to_torch(x: np.ndarray) -> np.ndarray:
    """HWIO to OIHW, [in, out] to [out, in]; vectors stay."""
    return np.ascontiguousarray(np.moveaxis(x, (-1, -2), (0, 1)) if x.ndim > 1 else x)


def _from_torch(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(x, (0, 1), (-1, -2)) if x.ndim > 1 else x)


def _first(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more


def _check(images: np.ndarray) -> None:
    what = f"{images.dtype} {list(images.shape)}"
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise UserError(
            f"Inception takes pictures uint8 [N, height, width, 3], at least one, not {what}"
        )
    if images.shape[-1] == 1:
        raise UserError(
            f"Inception takes colour pictures and these are grey, {what}; repeat the channel: "
            "np.repeat(images, 3, axis=-1)"
        )
    if images.shape[-1] != 3:
        raise UserError(f"Inception takes pictures of three channels, not {what}")
