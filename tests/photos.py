"""Photos for tests, made on the fly: good ones, odd ones, and files that only claim to be photos."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def scene(width: int = 96, height: int = 72, seed: int = 0) -> Image.Image:
    """A picture with large shapes, an edge and some grain, different in each corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 255 * x / max(width - 1, 1)
    green = 255 * y / max(height - 1, 1)
    blue = np.where(x * height > y * width, 200.0, 40.0)
    pixels = np.stack([red, green, blue], axis=-1) + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture as a file of that format."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def jpeg(width: int = 96, height: int = 72, seed: int = 0, **options: Any) -> bytes:
    """A good JPEG."""
    return encoded(scene(width, height, seed), "JPEG", **{"quality": 90, **options})


def with_orientation(picture: Image.Image, orientation: int, kind: str = "PNG", **options: Any) -> bytes:
    """A file whose EXIF says how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture, kind, exif=exif, **options)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file with its right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_zeros(width: int, height: int, *, before_pixels: bytes = b"", rows: int | None = None) -> bytes:
    """A black grey-scale PNG of that size, a thousandth of its pixels as a file; only `rows` of them really there."""
    rows = height if rows is None else rows
    row = bytes(1 + width)
    packer = zlib.compressobj(9)
    pixels = b"".join([packer.compress(row * 64) for _ in range(rows // 64)])
    pixels += packer.compress(row * (rows % 64)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + before_pixels
        + png_chunk(b"IDAT", pixels)
        + png_chunk(b"IEND", b"")
    )


def png_with_bomb(kind: bytes) -> bytes:
    """A small PNG with a text or profile chunk (zTXt, iTXt, iCCP) that unpacks to 200 MB."""
    packer = zlib.compressobj(1)
    packed = b"".join([packer.compress(bytes(1_000_000)) for _ in range(200)]) + packer.flush()
    body = b"name\x00" + {b"iTXt": b"\x01\x00\x00\x00"}.get(kind, b"\x00") + packed
    return png_of_zeros(64, 64, before_pixels=png_chunk(kind, body))


def animation(kind: str, frames: int) -> bytes:
    """A moving picture whose first frame is red, the others green and blue."""
    first, *others = [Image.new("RGB", (16, 16), ("red", "lime", "blue")[n and 1 + n % 2]) for n in range(frames)]
    return encoded(first, kind, save_all=True, append_images=others, duration=20, **_lossless(kind))


def webp_frames(frames: int) -> bytes:
    """A moving WebP of that many red frames, cheaply: one frame, repeated in its container."""
    image = encoded(Image.new("RGB", (16, 16), "red"), "WEBP", lossless=True)[12:]
    frame = bytes(6) + (15).to_bytes(3, "little") * 2 + (20).to_bytes(3, "little") + b"\x00" + image
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\x00\x00\x00" + (15).to_bytes(3, "little") * 2
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6) + (b"ANMF" + struct.pack("<I", len(frame)) + frame) * frames
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def webp_canvas(width: int, height: int) -> bytes:
    """The head of an extended WebP that claims that size, with a small picture inside."""
    inner = encoded(Image.new("RGB", (16, 16)), "WEBP", lossless=True)[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    head = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(head) + len(inner)) + b"WEBP" + head + inner


def _lossless(kind: str) -> dict[str, Any]:
    return {"lossless": True, "quality": 0, "method": 0} if kind == "WEBP" else {}
