"""Decode once: pictures become a uint8 array on disk, which later runs only open.

An entry is a folder with images.npy, labels.npy (if any) and manifest.json. It is written under another name
and renamed when complete, so an interrupted run leaves nothing that counts.
"""

import hashlib
import json
import os
import re
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from gan_jax.data.pictures import Pictures, crop_side, decode, header
from gan_jax.data.spec import DataError, Dataset, DataSpec, hasher

FORMAT = 1  # of the entry; raise it when the same source would give other pixels
BLOCK = 512  # pictures in flight: bounds the memory, whatever the size of the set
PART = 16  # pictures for a thread at a time: handing over takes longer than a small picture
NAMED = 5  # unreadable pictures that a message names
STALE_S = 24 * 3600.0  # an unfinished entry this old belongs to a run that was killed


def root(cache_dir: str) -> Path:
    """Return the cache folder: the given one, or $GAN_JAX_CACHE, or ~/.cache/gan_jax."""
    given = cache_dir or os.environ.get("GAN_JAX_CACHE") or "~/.cache/gan_jax"
    return Path(given).expanduser().absolute()


def load_or_decode(pictures: Pictures, spec: DataSpec) -> Dataset:
    """Return the pictures as a memory-mapped uint8 [N, side, side, C], decoding them if the cache has not.

    Raises DataError if there are no pictures, some cannot be read, their sizes differ with resolution 0,
    or the cache folder cannot be written.
    """
    if not pictures.names:
        raise DataError(
            f"data source {spec.source!r} holds no pictures (JPEG, PNG or WebP files)"
        )
    found = find(pictures.key, pictures.fingerprint, spec)
    if found is not None:
        return found
    entry = _entry(pictures.key, spec)
    try:
        _write(entry, pictures, spec)
    except OSError as error:
        raise DataError(
            f"cannot write decoded pictures to {entry.parent}: {error}; "
            "choose another folder with $GAN_JAX_CACHE"
        ) from error
    found = find(pictures.key, pictures.fingerprint, spec)
    if found is None:
        raise DataError(
            f"{entry} was changed while it was written; run the same command again"
        )
    return found


def find(key: str, fingerprint: str, spec: DataSpec) -> Dataset | None:
    """Return what the cache holds of these pictures (`Pictures.key`, `.fingerprint`), None if it must be decoded."""
    return _open(_entry(key, spec), fingerprint, spec.source)


def _entry(key: str, spec: DataSpec) -> Path:
    what = json.dumps([FORMAT, key, spec.split, spec.crop, spec.resolution])
    slug = re.sub(r"[^A-Za-z0-9]+", "_", spec.source).strip("_")[-40:]
    code = hashlib.sha256(what.encode()).hexdigest()[:16]
    return root(spec.cache_dir) / f"{slug}-{code}"


def _open(entry: Path, fingerprint: str, name: str) -> Dataset | None:
    """Return the entry's data, or None where there is none, it is damaged or the source has changed."""
    try:
        manifest = json.loads((entry / "manifest.json").read_text())
        if manifest["format"] != FORMAT or manifest["fingerprint"] != fingerprint:
            return None
        images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = (
            np.load(entry / "labels.npy", allow_pickle=False)
            if manifest["labels"]
            else None
        )
        if list(images.shape) != manifest["shape"] or images.dtype != np.uint8:
            return None
        return Dataset(
            images, labels, tuple(manifest["label_names"]), name, manifest["digest"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(entry: Path, pictures: Pictures, spec: DataSpec) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    for left in entry.parent.glob(f".{entry.name}.*"):
        if time.time() - left.stat().st_mtime > STALE_S:
            shutil.rmtree(left, ignore_errors=True)
    part = entry.parent / f".{entry.name}.{uuid.uuid4().hex}"
    part.mkdir()
    try:
        manifest = _decode_into(part, pictures, spec)
        with open(part / "manifest.json", "w") as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        _publish(part, entry, pictures)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _publish(part: Path, entry: Path, pictures: Pictures) -> None:
    """Rename the finished folder; another process may have finished the same work a moment ago."""
    if _open(entry, pictures.fingerprint, "") is not None:
        return
    if entry.exists():
        old = part.with_name(f"{part.name}.old")
        os.rename(entry, old)
        shutil.rmtree(old, ignore_errors=True)
    try:
        os.rename(part, entry)
    except OSError:
        if _open(entry, pictures.fingerprint, "") is None:
            raise


def _decode_into(part: Path, pictures: Pictures, spec: DataSpec) -> dict[str, Any]:
    """Write images.npy and labels.npy and return the manifest. One pass over the headers, one over the pixels."""
    with _Pool(pictures, spec.source) as pool:
        grey, sides = True, set()
        for head in pool.each(header, "reading headers"):
            grey = grey and head.grey
            sides.add(crop_side(head.width, head.height, spec.crop))
        if not spec.resolution and len(sides) > 1:
            raise DataError(
                f"the pictures of {spec.source!r} differ in size ({min(sides)} to {max(sides)} pixels a "
                "side after the centre crop): set --config.data.resolution=64, say (eval: --resolution=64)"
            )
        side = spec.resolution or sides.pop()
        shape = (len(pictures.names), side, side, 1 if grey else 3)
        digest = hasher(shape, np.uint8)
        # Written as a stream, not through a memory map: a full disk is then an error, not a crash.
        with open(part / "images.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )

            def one(raw: Any) -> np.ndarray:
                return np.ascontiguousarray(
                    decode(raw, spec.crop, spec.resolution, grey)
                )

            for pixels in pool.each(one, "decoding"):
                file.write(pixels.data)
                digest.update(pixels)
            file.flush()
            os.fsync(file.fileno())
    if pictures.labels is not None:
        labels = np.ascontiguousarray(pictures.labels(), np.int32)
        np.save(part / "labels.npy", labels)
        digest.update(labels)
    return {
        "format": FORMAT,
        "source": spec.source,
        "split": spec.split,
        "crop": spec.crop,
        "resolution": spec.resolution,
        "fingerprint": pictures.fingerprint,
        "shape": list(shape),
        "labels": pictures.labels is not None,
        "label_names": list(pictures.label_names),
        "digest": digest.hexdigest(),
        "pillow": Image.__version__,
    }


class _Pool:
    """Threads over the pictures (Pillow decodes without the interpreter lock), in order, a block at a time."""

    def __init__(self, pictures: Pictures, source: str):
        self.pictures, self.source = pictures, source

    def __enter__(self) -> "_Pool":
        self.threads = ThreadPoolExecutor(min(16, max(2, os.cpu_count() or 2)))
        # Filters are shared by all threads, so they are set once around the pool.
        self.filters = warnings.catch_warnings()
        self.filters.__enter__()
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return self

    def __exit__(self, *error: Any) -> None:
        self.threads.shutdown(cancel_futures=True)
        self.filters.__exit__(*error)

    def each(self, function: Callable[[Any], Any], doing: str) -> Iterator[Any]:
        def attempt(i: int) -> Any:
            try:
                return function(self.pictures.read(i))
            except (
                Exception
            ) as error:  # a damaged file can make a decoder raise nearly anything
                return error

        def attempts(part: range) -> list[Any]:
            return [attempt(i) for i in part]

        total = len(self.pictures.names)
        # disable=None: no bar where stderr is not a terminal
        with tqdm(
            total=total, desc=f"{self.source}: {doing}", unit="img", disable=None
        ) as bar:
            for begin in range(0, total, BLOCK):
                block = range(begin, min(begin + BLOCK, total))
                parts = [block[i : i + PART] for i in range(0, len(block), PART)]
                results = list(chain(*self.threads.map(attempts, parts)))
                self._refuse_bad(begin, results)
                yield from results
                bar.update(len(results))

    def _refuse_bad(self, begin: int, results: list[Any]) -> None:
        bad = [(i, r) for i, r in enumerate(results, begin) if isinstance(r, Exception)]
        if not bad:
            return
        lines = [
            f"  {self.pictures.names[i]}: {_reason(error)}" for i, error in bad[:NAMED]
        ]
        more = f"\n  and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise DataError(
            f"data source {self.source!r} has pictures that cannot be read; "
            "replace or remove these files and run again:\n" + "\n".join(lines) + more
        )


def _reason(error: Exception) -> str:
    return (
        str(error)
        if isinstance(error, DataError)
        else f"{type(error).__name__}: {error}"
    )
