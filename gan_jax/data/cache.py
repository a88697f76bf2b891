"""Decode once: pictures become a uint8 array on disk, which later runs only open.

An entry is a folder with images.npy, labels.npy (if any) and manifest.json. It is written under another name
and renamed when complete, so an interrupted run leaves nothing that counts.
"""

import hashlib
import json
import math
import os
import re
import shutil
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gan_jax.data.pictures import Pictures, crop_side, decode, header
from gan_jax.data.pool import NAMED, Pool, listed, printable
from gan_jax.data.spec import DataError, Dataset, DataSpec, hasher

FORMAT = 1  # of the entry; raise it when the same source would give other pixels
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
    if found is None or (found.skipped and _mended(pictures, spec)):
        folder = root(spec.cache_dir)
        try:
            _write(pictures, spec)
        except OSError as error:
            raise DataError(
                f"cannot write decoded pictures to {folder}: {error}; "
                "choose another folder with $GAN_JAX_CACHE"
            ) from error
        found = find(pictures.key, pictures.fingerprint, spec)
    if found is None:
        raise DataError(
            f"{_entry(pictures.key, spec)} was changed while it was written; run the same command again"
        )
    if found.skipped:
        total = len(found.images) + len(found.skipped)
        more = len(found.skipped) - NAMED
        print(
            f"{printable(spec.source)}: {len(found.skipped):,} of {total:,} pictures cannot be read and are left out: "
            + "; ".join(found.skipped[:NAMED])
            + (f"; and {more:,} more" if more > 0 else ""),
            file=sys.stderr,
            flush=True,
        )
    return found


def find(key: str, fingerprint: str, spec: DataSpec) -> Dataset | None:
    """Return what the cache holds of these pictures (`Pictures.key`, `.fingerprint`), None if it must be decoded.

    An entry that lacks pictures is another one, for those only who want to leave out what cannot be read.
    """
    whole = _open(_entry(key, spec), fingerprint, spec.source)
    if whole is None and spec.skip_bad:
        return _open(_entry(key, spec, lacking=True), fingerprint, spec.source)
    return whole


def _mended(pictures: Pictures, spec: DataSpec) -> bool:
    """Whether a picture that was left out can be read by now, though neither its size nor its time has changed."""
    entry = _entry(pictures.key, spec, lacking=True)
    try:
        manifest = json.loads((entry / "manifest.json").read_text())
        numbers = [i for i, _ in manifest["skipped"]]
    except (OSError, ValueError, KeyError):
        return True

    with Pool(pictures, spec) as pool:
        _find_bad(pool, numbers)
    return len(pool.bad) < len(numbers)


def _entry(key: str, spec: DataSpec, lacking: bool = False) -> Path:
    facts = [FORMAT, key, spec.split, spec.crop, spec.resolution]
    what = json.dumps(facts + ["lacking"] * lacking)
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
            images,
            labels,
            tuple(manifest["label_names"]),
            name,
            manifest["digest"],
            tuple(line for _, line in manifest.get("skipped", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(pictures: Pictures, spec: DataSpec) -> None:
    folder, name = root(spec.cache_dir), _entry(pictures.key, spec).name
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f".{name}.*"):
        if time.time() - left.stat().st_mtime > STALE_S:
            shutil.rmtree(left, ignore_errors=True)
    part = folder / f".{name}.{uuid.uuid4().hex}"
    part.mkdir()
    try:
        manifest = _decode_into(part, pictures, spec)
        with open(part / "manifest.json", "w") as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        entry = _entry(pictures.key, spec, lacking=bool(manifest["skipped"]))
        _publish(part, entry, pictures)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _publish(part: Path, entry: Path, pictures: Pictures) -> None:
    """Rename the finished folder; another process may have finished the same work a moment ago."""
    old, new = (_open(at, pictures.fingerprint, "") for at in (entry, part))
    if old and new and (old.digest, old.skipped) == (new.digest, new.skipped):
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
    with Pool(pictures, spec) as pool:
        grey = np.zeros(len(pictures.names), bool)
        sides = np.zeros(len(pictures.names), np.int32)
        for i, head in pool.each(range(len(grey)), header, "reading headers"):
            grey[i] = head.grey
            sides[i] = crop_side(head.width, head.height, spec.crop)
        digest = None
        while digest is None:
            # Where pixels are damaged below a sound header, once more without those: the good ones must come out
            # as if the others had never been there, and one of those may have been the only one in colour.
            kept = [i for i in range(len(grey)) if i not in pool.bad]
            if not kept:
                raise DataError(
                    f"data source {spec.source!r} has no picture that can be read:\n{listed(pool.bad)}"
                )
            low, high = int(sides[kept].min()), int(sides[kept].max())
            if low != high and not spec.resolution:
                if spec.skip_bad and _find_bad(pool, kept):
                    continue
                raise DataError(
                    f"the pictures of {spec.source!r} differ in size ({low} to {high} pixels a "
                    "side after the centre crop): set --config.data.resolution=64, say (eval: --resolution=64)"
                )
            side = spec.resolution or low
            shape = (len(kept), side, side, 1 if grey[kept].all() else 3)
            digest = _write_images(part / "images.npy", pool, kept, shape)
    labels, label_names = pictures.labels(kept)
    if labels is not None:
        labels = np.ascontiguousarray(labels, np.int32)
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
        "labels": labels is not None,
        "label_names": list(label_names),
        "digest": digest.hexdigest(),
        "pillow": Image.__version__,
        "skipped": sorted(pool.bad.items()),
    }


def _find_bad(pool: Pool, numbers: list[int]) -> bool:
    """Decode for nothing but to know; whether more proved to be unreadable."""
    known = len(pool.bad)

    def one(raw: Any) -> None:
        decode(raw, pool.spec.crop, 1, False)

    for _ in pool.each(numbers, one, "checking"):
        pass
    return len(pool.bad) > known


def _write_images(
    path: Path, pool: Pool, kept: list[int], shape: tuple[int, ...]
) -> Any:
    """Write the pictures and return their digest, None if some proved to be unreadable."""
    spec, known = pool.spec, len(pool.bad)
    digest = hasher(shape, np.uint8)

    def one(raw: Any) -> np.ndarray:
        pixels = decode(raw, spec.crop, spec.resolution, shape[3] == 1)
        if pixels.shape != shape[1:]:
            raise DataError("changed while it was read")
        return np.ascontiguousarray(pixels)

    # Written as a stream, not through a memory map: a full disk is then an error, not a crash.
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        for _, pixels in pool.each(kept, one, "decoding", math.prod(shape[1:])):
            if len(pool.bad) == known:
                file.write(pixels.data)
                digest.update(pixels)
        file.flush()
        os.fsync(file.fileno())
    return digest if len(pool.bad) == known else None
