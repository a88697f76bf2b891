"""Pictures in a folder or a zip file, and CelebA, which is one of them."""

import hashlib
import os
import threading
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from gan_jax.data import tfds
from gan_jax.data.cache import load_or_decode
from gan_jax.data.pictures import SUFFIXES, Pictures
from gan_jax.data.spec import DataError, Dataset, DataSpec, check_split

MAX_MEMBER = 64 * 2**20  # bytes of one unpacked zip member, which is held in memory
CELEBA = "img_align_celeba"


def load_folder(spec: DataSpec, argument: str) -> Dataset:
    """Return every picture below a folder, decoded to uint8 [N, side, side, C] and cached; sorted by path.

    First-level sub-folders are the labels if every picture is in one of them (a single folder around
    everything does not count). Hidden files and other file types are passed over.
    Raises DataError if the folder is missing or a picture cannot be read.
    """
    check_split(spec, ("train",))
    folder = Path(argument).expanduser().absolute()
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {str(folder)!r} (data source {spec.source!r})"
        )
    stats = {}
    for parent, _, files in os.walk(folder):
        for file in files:
            path = Path(parent, file)
            name = path.relative_to(folder).as_posix()
            if _is_picture(name):
                stat = path.stat()
                stats[name] = (stat.st_size, stat.st_mtime_ns)
    names = sorted(stats)

    def read(i: int) -> Path:
        return folder / names[i]

    labels, label_names = labels_of(names)
    facts = _fingerprint((name, *stats[name]) for name in names)
    pictures = Pictures(names, read, labels, label_names, f"folder {folder}", facts)
    return load_or_decode(pictures, spec)


def load_zip(spec: DataSpec, argument: str) -> Dataset:
    """Return every picture of a zip file as `load_folder` does; members are read in memory, never extracted.

    Raises DataError if the file is missing or no zip file, or a member is damaged or above 64 MiB.
    """
    check_split(spec, ("train",))
    path = Path(argument).expanduser().absolute()
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r} (data source {spec.source!r})")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{str(path)!r} cannot be opened as a zip file: {error}"
        ) from error
    with archive:
        members = {m.filename: m for m in archive.infolist() if _is_picture(m.filename)}
        names = sorted(members)
        lock = threading.Lock()  # around the file position; decoding runs beside it

        def read(i: int) -> bytes:
            member = members[names[i]]
            if member.file_size > MAX_MEMBER:
                raise DataError(
                    f"{member.file_size:,} bytes, more than the limit of {MAX_MEMBER:,}"
                )
            with lock, archive.open(member) as file:
                return file.read()

        labels, label_names = labels_of(names)
        facts = _fingerprint(
            (name, members[name].file_size, members[name].CRC) for name in names
        )
        pictures = Pictures(names, read, labels, label_names, f"zip {path}", facts)
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


def labels_of(
    names: list[str],
) -> tuple[Callable[[], np.ndarray] | None, tuple[str, ...]]:
    """Return (a function giving int32 labels [N], class names) from the first-level folders of relative paths.

    (None, ()) unless each path has such a folder; folders around everything are passed over.
    """
    parts = [PurePosixPath(name).parts for name in names]
    while parts and all(len(p) > 1 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    if not parts or any(len(p) == 1 for p in parts):
        return None, ()
    classes = sorted({p[0] for p in parts})
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[p[0]] for p in parts], np.int32)
    return (lambda: labels), tuple(classes)


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
