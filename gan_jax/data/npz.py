"""Pictures or points in a NumPy .npz file, such as the `sample` command writes."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from gan_jax.data import zips
from gan_jax.data.arrays import (
    MAX_RATIO,
    Arrays,
    check_labels,
    check_size,
    load_arrays,
)
from gan_jax.data.spec import (
    DataError,
    Dataset,
    DataSpec,
    check_split,
    in_memory,
    untrusted,
)

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load(spec: DataSpec, argument: str) -> Dataset:
    """Return `images` uint8 [N, H, W, C] or [N, H, W] as pictures, or `points` float32 [N, D] as they are.

    Optional: `labels`, whole numbers [N] from 0, and `label_names`, strings. Nothing is ever unpickled.
    Raises DataError if the file is missing or damaged, or an array has another type or shape.
    """
    check_split(spec, ("train",))
    path = Path(argument).expanduser().absolute()
    damaged = untrusted(f"{path} cannot be read as an .npz file")
    with damaged, zips.opened(path, "an .npz file") as archive:
        kinds = {"images", "points"} & set(_members(archive))
        if kinds == {"points"}:
            return _points(archive, path, spec)
        if kinds == {"images"}:
            return load_arrays(
                spec, f"npz {path}", [path], lambda: _images(archive, path)
            )
        have = ", ".join(_members(archive)) or "nothing"
    raise DataError(
        f"{path} must hold either images (uint8 [N, H, W, C] or [N, H, W]) or points "
        f"(float32 [N, D]); it holds {have}"
    )


def every(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, read as untrusted. Raises DataError for one that is missing or damaged."""
    damaged = untrusted(f"{path} cannot be read as an .npz file")
    with damaged, zips.opened(path, "an .npz file") as archive:
        return {
            name: read_member(archive, name, path).copy() for name in _members(archive)
        }


def read_member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """Return one array of the file; its header must agree with the member's size before anything is allocated."""
    member = archive.getinfo(f"{name}.npy")
    where = f"{name!r} in {path}"
    zips.check_method(member)
    packed = min(member.compress_size, path.stat().st_size)
    check_size(where, member.file_size, MAX_RATIO * packed)
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise DataError(f"{where} has the .npy format {version}, not 1.0 or 2.0")
        shape, fortran, dtype = _HEADERS[version](file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or dtype.fields or size != member.file_size - file.tell():
            raise DataError(
                f"{where} is damaged or no plain array: its header says {dtype} {list(shape)}, "
                f"its member holds {member.file_size - file.tell():,} bytes"
            )
        content = file.read(size)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _images(archive: zipfile.ZipFile, path: Path) -> Arrays:
    images = read_member(archive, "images", path)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3):
        raise DataError(
            f"images in {path} must be uint8 (0 to 255) [N, H, W, C] with C = 1 or 3, or [N, H, W]; "
            f"they are {images.dtype} {list(images.shape)}"
        )
    return Arrays(images, *_labels(archive, path, len(images)))


def _points(archive: zipfile.ZipFile, path: Path, spec: DataSpec) -> Dataset:
    if spec.resolution or spec.crop:
        raise DataError(
            f"{path} has points, not pictures: set --config.data.resolution=0 and --config.data.crop=0"
        )
    points = read_member(archive, "points", path)
    if points.ndim != 2 or points.dtype != np.float32 or not points.size:
        raise DataError(
            f"points in {path} must be float32 [N, D]; they are {points.dtype} {list(points.shape)}"
        )
    if not np.isfinite(points).all():
        raise DataError(f"points in {path} are not all finite; remove those")
    return in_memory(points, *_labels(archive, path, len(points)), spec.source)


def _labels(archive: zipfile.ZipFile, path: Path, count: int) -> tuple[Any, ...]:
    members = _members(archive)
    if "labels" not in members:
        return None, ()
    names = ()
    if "label_names" in members:
        array = read_member(archive, "label_names", path)
        if array.ndim != 1 or array.dtype.kind != "U":
            raise DataError(
                f"label_names in {path} must be strings [K], not {array.dtype} {list(array.shape)}"
            )
        names = tuple(array.tolist())
    return check_labels(str(path), read_member(archive, "labels", path), count, names)


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
