"""Image datasets of TensorFlow Datasets, read without TensorFlow: random access to array_record files."""

import contextlib
import hashlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from gan_jax.data.cache import load_or_decode
from gan_jax.data.pictures import Labels, Pictures
from gan_jax.data.spec import DataError, Dataset, DataSpec, NoSplit


def load(spec: DataSpec, argument: str) -> Dataset:
    """Return a split of the TFDS dataset NAME[/config][:version], decoded to uint8 [N, side, side, C] and cached.

    `spec.split` may be any TFDS expression ("test", "train[:10%]", "all"). Labels come from the dataset's
    class label, if it has one. A dataset that is not there is downloaded and prepared as array_record.
    Raises DataError with the commands to run if that fails, or if it is prepared in another format.
    """
    builder = _builder(argument)
    if not _is_prepared(builder):
        _prepare(builder, argument)
    splits = tuple(builder.info.splits)
    base = spec.split.split("[")[0].split("+")[0]
    if splits and base not in (*splits, "all"):
        raise NoSplit(
            f"data source {spec.source!r} has no split {spec.split!r}; choices: {', '.join(splits)}"
        )
    image, label = _features(builder, argument)
    try:
        source = _open(builder, spec.split, image)
    except NotImplementedError as error:
        raise DataError(
            f"the TFDS dataset {argument!r} in {builder.data_dir} is prepared in a format without random "
            "access (tfrecord). Prepare it again as array_record, in another folder:\n"
            f"    export TFDS_DATA_DIR=~/tfds_array_record\n{_commands(argument)}"
        ) from error
    names = tuple(builder.info.features[label].names) if label else ()
    size = len(source)
    key = f"tfds {builder.info.full_name} {builder.data_dir}"
    facts = hashlib.sha256(
        f"{key} {spec.split} {size} {_shards(builder)}".encode()
    ).hexdigest()
    lock = threading.Lock()  # around the file reader; decoding runs beside it

    def read(i: int) -> Any:
        with lock:
            return source[i][image]

    def labels(kept: list[int]) -> Labels:
        if not label:
            return None, ()
        return np.array([source[i][label] for i in kept], np.int32), names

    examples = [f"{argument} {spec.split} example {i}" for i in range(size)]
    pictures = Pictures(examples, read, labels, key, facts)
    return load_or_decode(pictures, spec)


def available(argument: str) -> bool:
    """Whether the dataset is prepared on this machine, in a format that can be read without TensorFlow."""
    try:
        builder = _builder(argument)
        return (
            _is_prepared(builder) and builder.info.file_format.value == "array_record"
        )
    except (DataError, AttributeError):
        return False


def _builder(name: str) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"data source 'tfds:{name}' needs a package: pip install tensorflow-datasets array_record ({error})"
        ) from error
    with _quiet():
        try:
            return tfds.builder(name)
        except tfds.core.registered.DatasetNotFoundError as error:
            raise DataError(
                f"TFDS has no dataset {name!r}; the list: https://www.tensorflow.org/datasets/catalog/overview"
            ) from error
        except (ValueError, AssertionError) as error:  # no such config or version
            raise DataError(
                f"TFDS cannot make {name!r}: {_first_line(error)}"
            ) from error
        except ImportError as error:
            raise DataError(_failed(name, error)) from error


def _is_prepared(builder: Any) -> bool:
    with _quiet():
        return builder.is_prepared()


def _prepare(builder: Any, name: str) -> None:
    """Download and prepare as array_record: what cannot be done here, the message says how to do elsewhere."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(file_format="array_record")
    except Exception as error:  # each dataset's own code: anything from a quota page to a missing module
        raise DataError(_failed(name, error)) from error


def _failed(name: str, error: Exception) -> str:
    if isinstance(error, ImportError):
        why = f"needs TensorFlow or another package, for this step only ({_first_line(error)})"
    else:
        why = f"failed ({type(error).__name__}: {_first_line(error)}); downloads from Google Drive often do (quota)"
    return (
        f"preparing the TFDS dataset {name!r} {why}. Either run\n{_commands(name)}\n"
        "once, or fetch the pictures by hand and use --config.data.source=zip:FILE or "
        "--config.data.source=folder:DIR (for CelebA: --config.data.source=celeba says where to put them)"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _commands(name: str) -> str:
    call = f"tfds.builder('{name}').download_and_prepare(file_format='array_record')"
    return f'    pip install tensorflow-cpu\n    python -c "import tensorflow_datasets as tfds; {call}"'


def _features(builder: Any, name: str) -> tuple[str, str]:
    """Return the keys of the picture and of the class label ("" if there is none)."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    images = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8
    ]
    if not images:
        raise DataError(
            f"the TFDS dataset {name!r} has no uint8 picture; its features: {', '.join(features)}"
        )
    labels = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.ClassLabel)
    ]
    return ("image" if "image" in images else images[0]), (labels[0] if labels else "")


def _open(builder: Any, split: str, image: str) -> Any:
    """Open a split with its pictures left encoded where that can be done.

    Our own decoder gives the same pixels on each machine, TFDS takes OpenCV where it is. What has no encoded
    form here (mocked data: TFDS then asks for TensorFlow) is taken as TFDS decodes it.
    """
    import tensorflow_datasets as tfds

    skip = {image: tfds.decode.SkipDecoding()}
    source = builder.as_data_source(split=split, decoders=skip)
    try:
        source[0]
    except ImportError:
        return builder.as_data_source(split=split)
    return source


def _shards(builder: Any) -> list[Any]:
    return [
        (name, split.shard_lengths, split.num_bytes)
        for name, split in builder.info.splits.items()
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep absl's remarks about half-known folders off the terminal."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
