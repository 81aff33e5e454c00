"""Photos for tests, made on the fly: good ones, odd ones, and files that only claim to be photos."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo


def scene(width: int = 96, height: int = 72, seed: int = 0) -> Image.Image:
    """A picture with large shapes, an edge and some grain, different in each corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 255 * x / max(width - 1, 1)
    green = 255 * y / max(height - 1, 1)
    blue = np.where(x * height > y * width, 200.0, 40.0)
    pixels = np.stack([red, green, blue], axis=-1) + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")


def texture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture with light and dark everywhere, as photos have it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return Image.fromarray(coarse, "RGB").resize((width, height), Image.Resampling.BICUBIC)


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


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """The markers of a JPEG with what they hold, and as the last what follows its end; read without Pillow."""
    assert data[:2] == b"\xff\xd8"
    found: list[tuple[int, bytes]] = []
    at = 2
    while (marker := data[at + 1]) != 0xD9:
        assert data[at] == 0xFF
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((marker, data[at + 4 : at + 2 + length]))
        at += 2 + length
        if marker == 0xDA:  # its pixels, in which 0xFF is followed by 0 or a restart marker
            while data[at] != 0xFF or data[at + 1] in (0, *range(0xD0, 0xD8)):
                at += 1
    return [*found, (0xD9, data[at + 2 :])]


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG or a WebP, and as the last what follows its end; read without Pillow."""
    png = data[:4] == b"\x89PNG"
    found: list[tuple[bytes, bytes]] = []
    at, end = 8 if png else 12, len(data) if png else 8 + int.from_bytes(data[4:8], "little")
    while at < end and (not found or found[-1][0] != b"IEND"):
        if png:
            length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        else:
            name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((name, data[at + 8 : at + 8 + length]))
        at += 8 + length + (4 if png else length % 2)
    return [*found, (b"", data[at:])]


def iptc(*words: bytes) -> bytes:
    """The segment of a JPEG with these IPTC keywords."""
    records = b"".join(b"\x1c\x02\x19" + struct.pack(">H", len(word)) + word for word in words)
    block = b"Photoshop 3.0\x00" + b"8BIM\x04\x04\x00\x00" + struct.pack(">I", len(records)) + records
    return b"\xff\xed" + struct.pack(">H", len(block) + 2) + block


def xmp(*words: str) -> bytes:
    """An XMP packet with these words, which may be markup, as dc:subject."""
    items = "".join(f"<rdf:li>{word}</rdf:li>" for word in words)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def exif(moments: dict[int, object], **others: Any) -> Image.Exif:
    """EXIF with these entries beside the camera's own, and a place."""
    made = Image.Exif()
    made[0x010F] = others.get("make", "a camera")
    made[0x0112] = others.get("orientation", 1)
    made.get_ifd(0x8769).update(moments)
    made.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0)})
    return made


def swapping_profile() -> bytes:
    """An sRGB profile that calls red blue and blue red."""
    return srgb().replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")


def srgb() -> bytes:
    """An sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def png_info(word: str) -> PngInfo:
    """Text chunks of a PNG, XMP among them."""
    info = PngInfo()
    info.add_text("Comment", word)
    info.add_itxt("XML:com.adobe.xmp", xmp(word).decode())
    return info
