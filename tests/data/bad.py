"""Pictures that cannot be read, by the name of their fault."""

import struct
import zlib

import numpy as np

from .files import encode

NOISE = np.random.default_rng(5).integers(0, 256, (16, 16, 3), np.uint8)


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, *more, after=()):
    """A PNG of that header whose pixels are one row of zeros; chunks before and after the pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((1 + width) * height) if width < 99 else b"\0")
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", pixels), *after]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def jpeg(width, height):
    raw = bytearray(encode(NOISE, "JPEG"))
    at = raw.index(b"\xff\xc0") + 5
    raw[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(raw)


def webp(width, height):
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0" * 4 + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flipped(raw, at):
    return raw[:at] + bytes([raw[at] ^ 16]) + raw[at + 1 :]


def packed_zeros(megabytes):
    return zlib.compress(bytes(megabytes * 10**6))


PNG, JPEG = encode(NOISE), encode(NOISE, "JPEG")
WEBP = encode(NOISE, "WEBP", lossless=True)
TEXT_BOMB = chunk(b"zTXt", b"k\0\0" + packed_zeros(100))
COLOUR_BOMB = chunk(b"iCCP", b"k\0\0" + packed_zeros(100))

# In "late" the header is sound, so that only decoding finds the fault.
EARLY = {
    "empty.png": b"",
    "garbage.jpg": bytes(np.random.default_rng(6).integers(0, 256, 999, np.uint8)),
    "text.png": b"this is a text and no picture\n" * 9,
    "bitmap.png": encode(NOISE, "BMP"),
    "head.png": PNG[:20],
    "huge.png": png(20_000, 20_000),
    "144megapixel.png": png(12_000, 12_000),
    "144megapixel.jpg": jpeg(12_000, 12_000),
    "144megapixel.webp": webp(12_000, 12_000),
    "largest.png": png(2**31 - 1, 2**31 - 1),
    "no_width.png": png(0, 16),
    "text_bomb.png": png(16, 16, TEXT_BOMB),
    "colour_bomb.png": png(16, 16, COLOUR_BOMB),
    "flipped_header.png": flipped(PNG, 19),
}
LATE = {
    "truncated.png": PNG[: len(PNG) // 2],
    "truncated.jpg": JPEG[: len(JPEG) * 2 // 3],
    "truncated.webp": WEBP[: len(WEBP) - 40],
    "flipped.png": flipped(PNG, len(PNG) // 2),
    "flipped_last_row.png": flipped(PNG, len(PNG) - 40),
    "no_end.png": PNG[:-12],
    "late_text_bomb.png": png(16, 16, after=[TEXT_BOMB]),
}
BAD = EARLY | LATE
