"""Pictures in a folder or a zip file, and CelebA, which is one of them."""

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from gan_jax.data import tfds, zips
from gan_jax.data.cache import load_or_decode
from gan_jax.data.pictures import SUFFIXES, Labels, Pictures
from gan_jax.data.spec import DataError, Dataset, DataSpec, check_split

MAX_MEMBER = 64 * 2**20  # bytes of one unpacked zip member, which is held in memory
CELEBA = "img_align_celeba"


def load_folder(spec: DataSpec, argument: str) -> Dataset:
    """Return every picture below a folder, decoded to uint8 [N, side, side, C] and cached; sorted by path.

    First-level sub-folders are the labels if every picture is in one of them (a single folder around
    everything does not count). Hidden files and other file types are passed over.
    Raises DataError if the folder is missing or cannot be listed, or a picture cannot be read (see `DataSpec`).
    """
    check_split(spec, ("train",))
    folder = Path(argument).expanduser().absolute()
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {str(folder)!r} (data source {spec.source!r})"
        )
    facts = facts_of(folder)
    names = sorted(facts)
    return load_or_decode(folder_pictures(folder, facts, names, _labels(names)), spec)


def folder_pictures(
    folder: Path,
    facts: dict[str, tuple],
    names: list[str],
    labels: Callable[[list[int]], Labels],
) -> Pictures:
    """The pictures of these names below a folder, in this order. facts: as `facts_of`; labels: as `Pictures.labels`."""

    def read(i: int) -> Path:
        path = folder / names[i]
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise DataError("not a regular file")
        return path

    fingerprint = _fingerprint((name, *facts[name]) for name in names)
    return Pictures(names, read, labels, f"folder {folder}", fingerprint)


def load_zip(spec: DataSpec, argument: str) -> Dataset:
    """Return every picture of a zip file as `load_folder` does; members are read in memory, never extracted.

    Raises DataError if the file is missing or no zip file (see `zips.opened`), or a member is damaged or above 64 MiB.
    """
    check_split(spec, ("train",))
    path = Path(argument).expanduser().absolute()
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r} (data source {spec.source!r})")
    with zips.opened(path, "a zip file") as archive:
        members = {m.filename: m for m in archive.infolist() if _is_picture(m.filename)}
        names = sorted(members)
        lock = threading.Lock()  # around the file position; decoding runs beside it

        def read(i: int) -> bytes:
            with lock:
                return zips.read(archive, members[names[i]], MAX_MEMBER)

        facts = _fingerprint(
            (name, members[name].file_size, members[name].CRC) for name in names
        )
        pictures = Pictures(names, read, _labels(names), f"zip {path}", facts)
        return load_or_decode(pictures, spec)


def load_celeba(spec: DataSpec, argument: str) -> Dataset:
    """Return CelebA's 202,599 aligned faces (178 x 218 before the crop) from the first place that has them.

    The places: $GAN_JAX_DATA, ./data, a prepared TFDS `celeb_a` (all its splits). Nothing is downloaded.
    Raises DataError with the commands to run if there are none.
    """
    del argument
    check_split(spec, ("train",))
    path = find_celeba()
    if path is not None:
        return (load_folder if path.is_dir() else load_zip)(spec, str(path))
    if tfds.available("celeb_a"):
        return tfds.load(spec._replace(split="all"), "celeb_a")
    raise DataError(
        CELEBA_HELP.format(looked=", ".join(str(p) for p in _celeba_places()))
    )


def celeba_available(argument: str) -> bool:
    """Whether CelebA is on this machine."""
    del argument
    return find_celeba() is not None or tfds.available("celeb_a")


def find_celeba() -> Path | None:
    """Return the zip file or folder with CelebA's pictures, None if there is none."""
    for place in _celeba_places():
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            return place
    return None


def _celeba_places() -> list[Path]:
    """Return where to look, in order; $GAN_JAX_DATA may be the parent of the data or the data itself."""
    places = []
    given = os.environ.get("GAN_JAX_DATA")
    if given:
        top = Path(given).expanduser()
        places += [top / f"{CELEBA}.zip", top / CELEBA]
        if top.is_file() or (
            top.is_dir() and any(_is_picture(p.name) for p in top.iterdir())
        ):
            places.append(top)
    places += [Path("data", f"{CELEBA}.zip"), Path("data", CELEBA)]
    return places


def labels_of(names: list[str]) -> Labels:
    """Return int32 labels [N] and class names from the first-level folders of relative paths.

    (None, ()) unless each path has such a folder; folders around everything are passed over.
    """
    parts = [PurePosixPath(name).parts for name in names]
    while parts and all(len(p) > 1 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    if not parts or any(len(p) == 1 for p in parts):
        return None, ()
    classes = sorted({p[0] for p in parts})
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[p[0]] for p in parts], np.int32), tuple(classes)


def _labels(names: list[str]) -> Callable[[list[int]], Labels]:
    return lambda kept: labels_of([names[i] for i in kept])


def facts_of(folder: Path) -> dict[str, tuple]:
    """Return path below the folder -> size and time of every picture, or why that cannot be known (a dead link)."""

    def stop(error: OSError) -> None:
        raise DataError(f"cannot list the folder {error.filename!r}: {error.strerror}")

    facts: dict[str, tuple] = {}
    for parent, _, files in os.walk(folder, onerror=stop):
        for path in (Path(parent, file) for file in files):
            name = path.relative_to(folder).as_posix()
            if not _is_picture(name):
                continue
            try:
                found = path.stat()
                facts[name] = (found.st_size, found.st_mtime_ns)
            except OSError as error:
                facts[name] = (str(error.strerror),)
    return facts


def _is_picture(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return name.lower().endswith(SUFFIXES) and not hidden


def _fingerprint(facts: Iterable[tuple]) -> str:
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(repr(fact).encode())
    return digest.hexdigest()


CELEBA_HELP = """CelebA is not on this machine (looked for {looked} and a prepared TFDS celeb_a). One of:
  - download img_align_celeba.zip (1.4 GB) by hand from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, then
      mkdir -p data && mv ~/Downloads/img_align_celeba.zip data/
    or, where it is already on a disk,
      export GAN_JAX_DATA=/path/to/the/folder/that/holds/it
  - prepare it by TFDS (its download often fails: Google Drive's quota):
      pip install tensorflow-cpu
      python -c "import tensorflow_datasets as tfds; tfds.builder('celeb_a').download_and_prepare(file_format='array_record')"
Or run on pictures that are here: --config.data.source=fashion_mnist"""
