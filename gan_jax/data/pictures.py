"""One picture from untrusted bytes to uint8 [side, side, C]: limits, colour, centre crop, resize.

Pixels are as stored (no EXIF rotation); transparency is composited on white; 16-bit grey keeps its upper
byte. Resizing is Pillow's BILINEAR, which averages over the whole footprint when it shrinks, without
reducing_gap or JPEG draft mode: the same filter as the 108 -> 64 of the DCGAN code.
"""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gan_jax.data.spec import DataError

MAX_PIXELS = (
    50_000_000  # read from the header, before any memory is taken for the pixels
)
FORMATS = ("PNG", "JPEG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class Half(NamedTuple):
    """One half of a picture that is twice as wide as high: a pair side by side. number: 0 left, 1 right."""

    whole: Path | bytes
    number: int


Raw = (
    Path | bytes | np.ndarray | Half
)  # a file, a file's content, pixels uint8 [H, W] or [H, W, C], or a half of a file

Labels = tuple[np.ndarray | None, tuple[str, ...]]


class Pictures(NamedTuple):
    """A list of pictures that are not decoded yet.

    names: for messages. read(i) gives the raw picture. labels(kept) gives int32 labels and the class names
    of the pictures of these numbers, (None, ()) without labels; it is called when they are decoded. key: what
    tells this list from any other (an absolute path, a dataset's name). fingerprint: changes when the content does.
    """

    names: list[str]
    read: Callable[[int], Raw]
    labels: Callable[[list[int]], Labels]
    key: str
    fingerprint: str


class Header(NamedTuple):
    """Width and height in pixels, and whether the picture has no colour."""

    width: int
    height: int
    grey: bool


def header(raw: Raw) -> Header:
    """Read size and colour without decoding. Raises what Pillow raises for a damaged file, DataError for a huge one."""
    with _open(raw) as image:
        _, width = _span(raw, image)
        return Header(width, image.height, _is_grey(image))


def decode(raw: Raw, crop: int, resolution: int, grey: bool) -> np.ndarray:
    """Return uint8 [side, side, C], C = 1 if grey else 3; side is the resolution, or the crop's where that is 0."""
    with _open(raw) as image:
        if image.format == "PNG":
            # the decoder passes over checksums: a changed byte could be a changed pixel
            with _open(raw) as again:
                again.verify()
        begin, width = _span(raw, image)
        side = crop_side(width, image.height, crop)
        left, top = begin + (width - side) // 2, (image.height - side) // 2
        image = _flatten(image.crop((left, top, left + side, top + side)), grey)
    if resolution and resolution != side:
        image = image.resize((resolution, resolution), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[:, :, None] if grey else pixels


def crop_side(width: int, height: int, crop: int) -> int:
    """Return the side of the centre crop: `crop`, never more than the shorter side; 0 = the shorter side."""
    shorter = min(width, height)
    return min(crop, shorter) if crop else shorter


def resize_all(images: np.ndarray, crop: int, resolution: int) -> np.ndarray:
    """Crop and resize uint8 [N, H, W, C] in memory as `decode` does; the input itself if nothing changes."""
    height, width, channels = images.shape[1:]
    side = crop_side(width, height, crop)
    if height == width == side and resolution in (0, side):
        return images
    return np.stack(
        [decode(image, crop, resolution, channels == 1) for image in images]
    )


def _span(raw: Raw, image: Any) -> tuple[int, int]:
    """Where the picture begins in its file, and its width, in pixels. Raises DataError for a half of what is no pair."""
    if not isinstance(raw, Half):
        return 0, image.width
    if image.width != 2 * image.height:
        raise DataError(
            f"{image.width} x {image.height} pixels, and a pair side by side is twice as wide as high"
        )
    return raw.number * image.height, image.height


def _open(raw: Raw) -> AbstractContextManager[Any]:
    if isinstance(raw, Half):
        raw = raw.whole
    if isinstance(raw, np.ndarray):
        return Image.fromarray(raw[:, :, 0] if raw.shape[2:] == (1,) else raw)
    source = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    _refuse_huge(
        *_webp_size(raw)
    )  # Pillow's WebP reader takes memory for the canvas when it opens
    image = Image.open(source, formats=FORMATS)
    try:
        _refuse_huge(image.width, image.height)
    except DataError:
        image.close()
        raise
    return image


def _refuse_huge(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{width} x {height} pixels, more than the limit of {MAX_PIXELS:,}"
        )


def _webp_size(raw: Path | bytes) -> tuple[int, int]:
    """Return width and height from the first chunk of a WebP file, (0, 0) for anything else."""
    if isinstance(raw, bytes):
        head = raw[:30]
    else:
        with open(raw, "rb") as file:
            head = file.read(30)
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0, 0

    def number(begin: int, end: int) -> int:
        return int.from_bytes(head[begin:end], "little")

    lossless = number(21, 25)
    sizes = {
        b"VP8 ": (number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF),
        b"VP8L": ((lossless & 0x3FFF) + 1, (lossless >> 14 & 0x3FFF) + 1),
        b"VP8X": (number(24, 27) + 1, number(27, 30) + 1),
    }
    return sizes.get(head[12:16], (0, 0))


def _is_grey(image: Any) -> bool:
    if image.mode in ("P", "PA"):
        palette = np.frombuffer(image.palette.tobytes(), np.uint8)
        channels = len(image.palette.mode)
        colours = palette[: len(palette) // channels * channels].reshape(-1, channels)[
            :, :3
        ]
        return bool((colours == colours[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")


def _flatten(image: Any, grey: bool) -> Any:
    if image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
        wide = np.asarray(image).astype(np.uint32) >> 8
        image = Image.fromarray(np.minimum(wide, 255).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB")
