"""A small classifier of a data set's own labels: what reads the digits of stacked MNIST, and gives features.

Two 4 x 4 convolutions of stride 2 (16 and 32 channels), a dense layer of 64, all with ReLU, and a dense layer to the
classes; cross entropy, Adam. VEEGAN (arXiv:1705.07761) and PacGAN (arXiv:1712.04086) count modes by such a one.
"""

import hashlib
import io
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from gan_jax.data.cache import root
from gan_jax.data.npz import every
from gan_jax.data.spec import Dataset
from gan_jax.files import write_atomic
from gan_jax.models.conv import down
from gan_jax.types import AnyArray, Params, UserError

_FORMAT = 1  # of the file; raise it when the same data would give other parameters
_KERNEL, _WIDTHS, _FEATURES = 4, (16, 32), 64
_BATCH = 64
_LR = 2e-3
_AT_ONCE = 500  # pictures of one call: bounds the memory, and one shape is compiled
_LAYERS = ("conv1", "conv2", "dense", "out")


class Classifier(NamedTuple):
    """A trained network. params: {layer: {"w", "b"}} float32. shape: (H, W, C) of its pictures."""

    params: Params
    shape: tuple[int, int, int]

    def logits(self, images: AnyArray) -> Float[np.ndarray, "n classes"]:
        """Return the classes' logits of uint8 pictures [N, H, W, C]. Raises UserError for other pictures."""
        return _in_parts(self, images, _logits)

    def features(self, images: AnyArray) -> Float[np.ndarray, "n 64"]:
        """Return the last hidden layer, after its ReLU, of uint8 pictures [N, H, W, C]. Raises as `logits`."""
        return _in_parts(self, images, _features)

    def accuracy(self, images: AnyArray, labels: AnyArray) -> float:
        """Return the share 0..1 of the pictures whose largest logit is their label's (int [N])."""
        return float((self.logits(images).argmax(axis=1) == labels).mean())


def train_classifier(
    images: AnyArray, labels: AnyArray, classes: int, seed: int = 0, epochs: int = 10
) -> Classifier:
    """Return a classifier trained on uint8 pictures [N, H, W, C] with labels int [N] in 0..classes-1.

    The same arguments give the same parameters. An epoch is N // 64 batches of 64 in a new order.
    Raises UserError for other types or shapes, labels out of range, or fewer than 64 pictures.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    _check(images, labels, classes)
    random = np.random.Generator(np.random.Philox(seed))
    params = _init(random, images.shape[1:], classes)
    state = params, jax.jit(optax.adam(_LR).init)(params)
    data = jnp.asarray(images), jnp.asarray(labels, jnp.int32)
    batches = len(images) // _BATCH
    for _ in range(epochs):
        order = random.permutation(len(images))[: batches * _BATCH]
        state = _epoch(state, *data, order.reshape(batches, _BATCH))
    return Classifier(jax.device_get(state[0]), images.shape[1:])


def load_or_train(dataset: Dataset, cache_dir: str = "") -> Classifier:
    """Return the classifier of a labelled data set (all its pictures), trained once and then read from the cache.

    cache_dir: "" = $GAN_JAX_CACHE or ~/.cache/gan_jax. The file holds the data's digest; a file that is damaged or
    of other data is written again. Raises UserError without labels, or as `train_classifier`, or if the folder
    cannot be written.
    """
    if dataset.labels is None:
        raise UserError(
            f"a classifier needs labels, and data source {dataset.name!r} has none"
        )
    what = f"classifier {_FORMAT} {dataset.digest}"
    digest = hashlib.sha256(what.encode()).hexdigest()
    path = root(cache_dir) / f"classifier-{digest[:16]}.npz"
    found = _read(path, digest)
    if found is not None:
        return found
    classes = len(dataset.label_names)
    classifier = train_classifier(dataset.images, dataset.labels, classes)
    try:
        write_atomic(path, _pack(classifier, digest))
    except OSError as error:
        raise UserError(
            f"cannot write the classifier to {path}: {error}; choose another folder with "
            "$GAN_JAX_CACHE"
        ) from error
    return classifier


def _check(images: np.ndarray, labels: np.ndarray, classes: int) -> None:
    if images.ndim != 4 or images.dtype != np.uint8 or len(images) < _BATCH:
        raise UserError(
            f"a classifier needs at least {_BATCH} pictures uint8 [N, H, W, C], not "
            f"{images.dtype} {list(images.shape)}"
        )
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UserError(
            f"labels must be {len(images)} whole numbers, not {labels.dtype} {list(labels.shape)}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"labels are {labels.min()} to {labels.max()}, and must be 0 to {classes - 1}"
        )


def _init(random: np.random.Generator, shape: tuple[int, ...], classes: int) -> Params:
    """He et al. 2015 (arXiv:1502.01852): normal, variance 2 / fan-in; biases 0."""
    height, width, channels = shape
    flat = -(-height // 4) * -(-width // 4) * _WIDTHS[1]
    shapes = (
        (_KERNEL, _KERNEL, channels, _WIDTHS[0]),
        (_KERNEL, _KERNEL, *_WIDTHS),
        (flat, _FEATURES),
        (_FEATURES, classes),
    )
    params = {}
    for name, s in zip(_LAYERS, shapes, strict=True):
        w = random.standard_normal(s) * np.sqrt(2 / np.prod(s[:-1]))
        params[name] = {
            "w": w.astype(np.float32),
            "b": np.zeros(s[-1], np.float32),
        }
    return params


def _features(params: Params, images: Array) -> Array:
    x = images.astype(jnp.float32) / 127.5 - 1
    # two halvings: zeros (grey) below and to the right up to a multiple of 4
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % 4), (0, -x.shape[2] % 4), (0, 0)))
    for name in ("conv1", "conv2"):
        x = jax.nn.relu(down(x, params[name]["w"], 2) + params[name]["b"])
    x = x.reshape(len(x), -1)
    return jax.nn.relu(x @ params["dense"]["w"] + params["dense"]["b"])


def _logits(params: Params, images: Array) -> Array:
    return _features(params, images) @ params["out"]["w"] + params["out"]["b"]


@partial(jax.jit, donate_argnums=0)
def _epoch(state: Any, images: Array, labels: Array, order: Array) -> Any:
    """One step for each row of order, int [batches, B]: which pictures are its batch."""

    def loss(params: Params, which: Array) -> Array:
        logits = _logits(params, images[which])
        terms = optax.softmax_cross_entropy_with_integer_labels(logits, labels[which])
        return terms.mean()

    def step(state: Any, which: Array) -> Any:
        params, opt = state
        updates, opt = optax.adam(_LR).update(jax.grad(loss)(params, which), opt)
        return (optax.apply_updates(params, updates), opt), None

    return jax.lax.scan(step, state, order)[0]


_run = jax.jit(lambda function, *inputs: function(*inputs), static_argnums=0)


def _in_parts(
    classifier: Classifier, images: AnyArray, function: Callable[..., Array]
) -> np.ndarray:
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != classifier.shape:
        raise UserError(
            f"this classifier takes pictures uint8 [N, {', '.join(map(str, classifier.shape))}], "
            f"not {images.dtype} {list(images.shape)}"
        )
    if not len(images):
        raise UserError("there are no pictures to classify")
    rows = []
    for begin in range(0, len(images), _AT_ONCE):
        part = images[begin : begin + _AT_ONCE]
        full = np.pad(part, ((0, _AT_ONCE - len(part)), (0, 0), (0, 0), (0, 0)))
        rows.append(np.asarray(_run(function, classifier.params, full))[: len(part)])
    return np.concatenate(rows)


def _pack(classifier: Classifier, digest: str) -> bytes:
    arrays = {
        f"{layer}.{part}": value
        for layer, both in classifier.params.items()
        for part, value in both.items()
    }
    buffer = io.BytesIO()
    np.savez(buffer, digest=digest, shape=np.array(classifier.shape), **arrays)
    return buffer.getvalue()


def _read(path: Any, digest: str) -> Classifier | None:
    """Return the file's classifier, None if there is none, it is damaged or of other data."""
    try:
        file = every(path)
        if str(file["digest"]) != digest:
            return None
        params = {
            layer: {part: file[f"{layer}.{part}"] for part in ("w", "b")}
            for layer in _LAYERS
        }
        height, width, channels = map(int, file["shape"])
        return Classifier(params, (height, width, channels))
    except (ValueError, TypeError, KeyError):
        return None
