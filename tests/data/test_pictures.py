import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataError
from gan_jax.data.pictures import crop_side, decode, header, resize_all

from .files import encode

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def position():
    """A CelebA-shaped picture whose pixels say where they are: (row, column, 7)."""
    rows, columns = np.mgrid[:218, :178].astype(np.uint8)
    return np.stack([rows, columns, np.full_like(rows, 7)], axis=-1)


@pytest.mark.parametrize(
    "crop, top, left, side",
    [(108, 55, 35, 108), (178, 20, 0, 178), (0, 20, 0, 178), (999, 20, 0, 178)],
)
def test_centre_crop_is_exact(crop, top, left, side):
    got = decode(encode(position()), crop, 0, grey=False)
    assert got.shape == (side, side, 3) and crop_side(178, 218, crop) == side
    np.testing.assert_array_equal(got, position()[top : top + side, left : left + side])


def test_resize_is_bilinear_over_the_footprint(faces):
    got = decode(encode(faces[0]), 108, 64, grey=False)
    cut = Image.fromarray(faces[0]).crop((35, 55, 143, 163))
    expected = cut.resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(got, np.asarray(expected))
    # halving a checkerboard gives its mean, not one of its colours
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    assert set(np.unique(decode(encode(board), 0, 8, grey=True)[1:-1, 1:-1])) <= {
        127,
        128,
    }


def test_arrays_in_memory_go_the_same_way(faces):
    np.testing.assert_array_equal(
        resize_all(faces, 108, 64), [decode(encode(x), 108, 64, False) for x in faces]
    )


def rgba():
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, RAMP
    return pixels


def palette(colours):
    image = Image.new("P", (16, 16))
    image.putdata((RAMP // 64).ravel().tolist())
    image.putpalette(np.array(colours, np.uint8).ravel().tolist())
    return image


CASES = {  # raw bytes, grey?, the pixels expected as [16, 16, C]
    "grey": (encode(RAMP), True, RAMP[..., None]),
    "colour": (
        encode(np.stack([RAMP, RAMP.T, RAMP], -1)),
        False,
        np.stack([RAMP, RAMP.T, RAMP], -1),
    ),
    "grey_alpha": (
        encode(Image.merge("LA", [Image.new("L", (16, 16), 0), Image.fromarray(RAMP)])),
        True,
        255 - RAMP[..., None],
    ),
    "alpha_on_white": (
        encode(rgba()),
        False,
        np.round(
            rgba()[..., :3] * (RAMP[..., None] / 255.0)
            + 255 * (1 - RAMP[..., None] / 255.0)
        ),
    ),
    "palette_colour": (
        encode(palette([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]])),
        False,
        np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]])[RAMP // 64],
    ),
    "palette_grey": (
        encode(palette([[10] * 3, [20] * 3, [30] * 3, [40] * 3])),
        True,
        np.array([10, 20, 30, 40])[RAMP // 64][..., None],
    ),
    "palette_transparent": (
        encode(
            palette([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]), transparency=0
        ),
        False,
        np.array([[255] * 3, [0, 255, 0], [0, 0, 255], [9, 9, 9]])[RAMP // 64],
    ),
    "sixteen_bits": (encode(RAMP.astype(np.uint16) * 257), True, RAMP[..., None]),
    "one_bit": (encode(Image.fromarray(RAMP > 99)), True, (RAMP > 99)[..., None] * 255),
    "webp": (encode(rgba()[..., :3], "WEBP", lossless=True), False, rgba()[..., :3]),
}


@pytest.mark.parametrize("case", CASES)
def test_colour_of_each_kind(case):
    raw, grey, expected = CASES[case]
    assert header(raw) == (16, 16, grey)
    got = decode(raw, 0, 0, grey)
    assert got.dtype == np.uint8 and got.shape == expected.shape
    assert np.abs(got.astype(int) - expected).max() <= (
        1 if case == "alpha_on_white" else 0
    )
    if grey:  # among colour pictures it becomes three equal channels
        np.testing.assert_array_equal(
            decode(raw, 0, 0, False), np.repeat(got, 3, axis=-1)
        )


def test_jpeg_in_cmyk_and_grey():
    grey = encode(RAMP, "JPEG", quality=100)
    assert (
        header(grey).grey
        and np.abs(decode(grey, 0, 0, True)[..., 0].astype(int) - RAMP).max() < 4
    )
    white = encode(Image.new("CMYK", (16, 16)), "JPEG")
    assert not header(white).grey and (decode(white, 0, 0, False) >= 253).all()


def lying_png(width, height):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def lying_webp(width, height):
    flags = (
        b"\0" * 4
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    body = b"WEBPVP8X" + struct.pack("<I", 10) + flags
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lying_jpeg(width, height):
    raw = bytearray(encode(RAMP, "JPEG"))
    at = raw.index(b"\xff\xc0") + 5
    raw[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(raw)


@pytest.mark.parametrize(
    "raw",
    [lying_png(7100, 7100), lying_webp(16000, 16000), lying_jpeg(8000, 8000)],
    ids=["png", "webp", "jpeg"],
)
def test_huge_header_is_refused_before_any_memory(raw):
    tracemalloc.start()
    for function in (header, lambda raw: decode(raw, 0, 8, False)):
        with pytest.raises(DataError, match="more than the limit of 50,000,000"):
            function(raw)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_just_below_the_limit_is_read():
    assert header(lying_png(7000, 7000)) == (7000, 7000, False)


def test_webp_sizes_are_read_from_all_three_kinds():
    from gan_jax.data.pictures import _webp_size

    tall = np.zeros((30, 20, 3), np.uint8)
    alpha = np.full((30, 20, 4), 99, np.uint8)
    kinds = [
        encode(tall, "WEBP"),
        encode(tall, "WEBP", lossless=True),
        encode(alpha, "WEBP"),
    ]
    assert [k[12:16] for k in kinds] == [b"VP8 ", b"VP8L", b"VP8X"]
    assert [_webp_size(k) for k in kinds] == [(20, 30)] * 3
    assert _webp_size(encode(RAMP)) == (0, 0)


def test_other_formats_are_refused():
    with pytest.raises(OSError, match="cannot identify"):
        header(encode(RAMP, "BMP"))
