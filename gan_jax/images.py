"""Pictures for people: grids of samples, scatter plots of toy data, PNG and GIF files.

NumPy and Pillow only; the same arrays give the same bytes.
"""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from gan_jax.files import write_atomic

COMFORTABLE = 96  # pixels; small pictures are enlarged to at most this side
GIF_FRAMES = 60
CHUNK = 256  # pictures converted at a time: float64 copies of a whole sample set would not fit

_LUMINANCE = (299, 587, 114)  # Rec. 601, in thousandths

Limits = tuple[float, float, float, float]  # x low, x high, y low, y high


def to_uint8(images: Any) -> UInt8[np.ndarray, "n h w c"]:
    """Turn pictures [N, H, W, C], uint8 or floats in -1..1, into uint8.

    Floats become (x + 1) * 127.5 rounded half up and clipped to 0..255; uint8 is returned as it is.
    Raises ValueError for another rank or dtype, and for NaN.
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"pictures must be [N, H, W, C], got shape {images.shape}")
    if images.dtype == np.uint8:
        return images
    # bfloat16 is not a NumPy float kind ("V"), but it converts like one.
    if images.dtype.kind not in "fV":
        raise ValueError(
            f"pictures must be uint8 or float in -1..1, got {images.dtype}"
        )
    out = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), CHUNK):
        x = images[start : start + CHUNK].astype(np.float64)
        if np.isnan(x).any():
            bad = start + int(np.isnan(x).any(axis=(1, 2, 3)).argmax())
            raise ValueError(f"picture {bad} contains NaN: the generator has diverged")
        out[start : start + CHUNK] = np.clip(np.floor((x + 1) * 127.5 + 0.5), 0, 255)
    return out


def grid(
    images: UInt8[np.ndarray, "n h w c"],
    columns: int = 0,
    pad: int = 2,
    scale: int = 0,
) -> UInt8[np.ndarray, "height width c"]:
    """Lay pictures uint8 [N, H, W, C] out row by row on white, `pad` pixels apart.

    columns 0: a near-square grid. scale: each pixel becomes scale x scale; 0 enlarges pictures smaller than
    49 pixels to at most 96 (28 becomes 84). Raises ValueError when there is no picture.
    """
    n, h, w, c = images.shape
    if n == 0 or h == 0 or w == 0:
        raise ValueError(f"no picture to show: shape {images.shape}")
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    scale = scale or max(1, COMFORTABLE // max(h, w))
    rows = math.ceil(n / columns)
    h, w = h * scale, w * scale
    big = images.repeat(scale, axis=1).repeat(scale, axis=2)
    sheet = np.full(
        (rows * (h + pad) + pad, columns * (w + pad) + pad, c), 255, np.uint8
    )
    for i, picture in enumerate(big):
        top = pad + (i // columns) * (h + pad)
        left = pad + (i % columns) * (w + pad)
        sheet[top : top + h, left : left + w] = picture
    return sheet


def luminance(images: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "n h w 1"]:
    """Return 0.299 R + 0.587 G + 0.114 B (Rec. 601), rounded half up; grey pictures as they are."""
    if images.shape[3] == 1:
        return images
    total = sum(w * images[..., c].astype(np.int32) for c, w in enumerate(_LUMINANCE))
    return ((total + 500) // 1000).astype(np.uint8)[..., None]


def with_channels(
    images: UInt8[np.ndarray, "n h w _"], channels: int
) -> UInt8[np.ndarray, "n h w c"]:
    """Pictures uint8 [N, H, W, C], C 1 or 3, in 1 channel, the luminance, or in 3, grey repeated."""
    if images.shape[3] == 1:
        return np.repeat(images, channels, axis=3)
    return luminance(images) if channels == 1 else images


def enlarged(
    images: UInt8[np.ndarray, "n h w c"], height: int, width: int
) -> UInt8[np.ndarray, "n height width c"]:
    """Resize pictures uint8 [N, H, W, C], C 1 or 3, by Pillow's BICUBIC (a = -0.5), which rounds to whole levels."""
    from PIL import Image

    out = np.empty((len(images), height, width, images.shape[3]), np.uint8)
    for picture, place in zip(images, out, strict=True):
        grey = picture.shape[2] == 1
        made = Image.fromarray(picture[..., 0] if grey else picture)
        made = np.asarray(made.resize((width, height), Image.Resampling.BICUBIC))
        place[:] = made.reshape(place.shape)
    return out


def plane(points: Shaped[np.ndarray, "n _"]) -> Shaped[np.ndarray, "n 2"]:
    """The first two coordinates of points [N, D]; points of a line are put on the x axis."""
    return points[:, :2] if points.shape[1] > 1 else np.pad(points, ((0, 0), (0, 1)))


def limits_of(points: Shaped[np.ndarray, "n _"]) -> Limits:
    """Return a square window around points [N, D], as `plane` shows them, with a margin of a fifth of its half side."""
    points = plane(points)
    low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
    (x, y), half = (low + high) / 2, 1.2 * float((high - low).max()) / 2 or 1.0
    return float(x - half), float(x + half), float(y - half), float(y + half)


def scatter(
    points: Float[np.ndarray, "n _"],
    real: Float[np.ndarray, "m _"] | None = None,
    limits: Limits | None = None,
    size: int = 384,
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw generated points [N, D] in blue over real ones [M, D] in grey, as `plane` shows them, y upwards, on white.

    The window is `limits`, by default that of the real points, so that frames of one run are comparable;
    points outside are left out. Crowded pixels are darker. Raises ValueError for non-finite points.
    """
    if not np.isfinite(points).all():
        raise ValueError("points are not finite: the generator has diverged")
    if limits is None:
        limits = limits_of(points if real is None else real)
    canvas = np.full((size, size, 3), 255.0)
    layers = [] if real is None else [(real, (150.0, 150.0, 150.0), 0.35)]
    for dots, colour, alpha in [*layers, (points, (31.0, 90.0, 200.0), 0.6)]:
        opacity = 1 - (1 - alpha) ** _count(plane(dots), limits, size)[:, :, None]
        canvas += (np.array(colour) - canvas) * opacity
    return np.floor(canvas + 0.5).astype(np.uint8)


def _count(points: np.ndarray, limits: Limits, size: int) -> np.ndarray:
    """Count the points whose 3 x 3 dot covers each pixel, [size, size]."""
    x0, x1, y0, y1 = limits
    column = np.floor((points[:, 0].astype(np.float64) - x0) / (x1 - x0) * size)
    row = size - 1 - np.floor((points[:, 1].astype(np.float64) - y0) / (y1 - y0) * size)
    # Compare before converting: a far point would overflow the integer and come back inside.
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    centre = row[inside].astype(np.int64) + 1, column[inside].astype(np.int64) + 1
    count = np.zeros((size + 2, size + 2))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            np.add.at(count, (centre[0] + down, centre[1] + right), 1)
    return count[1:-1, 1:-1]


def save_png(path: str | Path, image: UInt8[np.ndarray, "..."]) -> None:
    """Write one picture uint8 [H, W], [H, W, 1] or [H, W, 3] as PNG, whole or not at all.

    The bytes depend on the picture and the Pillow version only.
    """
    from PIL import Image

    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[-1] == 3):
        raise ValueError(
            f"a picture must be [H, W], [H, W, 1] or [H, W, 3], got {image.shape}"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", compress_level=6)
    write_atomic(Path(path), buffer.getvalue())


def read_frames(pngs: Sequence[str | Path]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """PNG files in the order given as RGB uint8 [H, W, 3], one at a time, each of the last one's size."""
    from PIL import Image

    with Image.open(pngs[-1], formats=["PNG"]) as last:
        size = last.size
    for png in pngs:
        with Image.open(png, formats=["PNG"]) as picture:
            frame = picture.convert("RGB")
        yield np.asarray(frame if frame.size == size else frame.resize(size))


def save_gif(
    path: str | Path, pngs: Sequence[str | Path], milliseconds: int = 150
) -> None:
    """Write an endless GIF of PNG files in the order given, at most 60 of them chosen evenly.

    Each frame stays `milliseconds`, the last ten times as long; frames take the last one's size. Raises ValueError
    when there is no picture.
    """
    if not pngs:
        raise ValueError(f"no pictures to make {path} from")
    chosen = np.unique(np.linspace(0, len(pngs) - 1, GIF_FRAMES).round().astype(int))
    save_frames(path, read_frames([pngs[i] for i in chosen]), milliseconds, 10)


def save_frames(
    path: str | Path,
    frames: Iterable[UInt8[np.ndarray, "h w c"]],
    milliseconds: int = 50,
    hold: int = 1,
) -> None:
    """Write an endless GIF of frames uint8 [n, H, W, C] (an array, or any iterable of [H, W, C]; C is 1 or 3).

    Each frame stays `milliseconds`, the last `hold` times as long. Grey frames are exact; coloured ones have 256
    colours each. Pillow merges identical neighbours into one longer frame. Raises ValueError when there is no frame.
    """
    from PIL import Image

    made = [Image.fromarray(x[..., 0] if x.shape[2] == 1 else x) for x in frames]
    if not made:
        raise ValueError(f"no frames to make {path} from")
    durations = [milliseconds] * (len(made) - 1) + [hold * milliseconds]
    buffer = io.BytesIO()
    made[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=made[1:],
        duration=durations,
        loop=0,
    )
    write_atomic(Path(path), buffer.getvalue())
