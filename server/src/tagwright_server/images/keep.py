"""What the server keeps of a photo: its pixels, upright, encoded anew, and nothing else that came with them.

Promises: not one byte of the file that came is in the file that is kept; no metadata, profile, comment or thumbnail
is; it has the same format, and the same bytes give the same bytes again. A photo with another colour profile than
sRGB is converted, for without it it would look wrong.

The settings are chosen so that the largest photo that is accepted is encoded within seconds and a gigabyte; a JPEG
takes over the tables that it came with, so that what they rounded once is rounded to the same again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import product
from typing import Any

from PIL import Image, ImageChops, ImageCms
from PIL.JpegImagePlugin import JpegImageFile

from tagwright_server.images.likeness import difference_hash
from tagwright_server.images.metadata import captured, keywords

# Up to here it is worth taking some time over: it saves 5 % of a JPEG, 12 % of a PNG and a third of a lossless WebP.
_SMALL_PIXELS = 4_000_000
_UNKNOWN_QUALITY = 92  # for the rare JPEG that brings its tables between its scans
# WebP's lossy format has room for half a megabyte of modes: a very large photo of grass overflows that at 90.
_WEBP_QUALITIES = (90, 60)
_PROFILE_BYTES_MAX = 4 * 2**20  # those of printing presses have up to 3
_FAR = [0] * 3 + [255] * 253  # a profile that moves no colour by more than 2 of 255 is sRGB, whatever its name


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a photo; `perceptual_hash` has 64 bits, `captured` is in UTC."""

    data: bytes
    width: int
    height: int
    perceptual_hash: int
    captured: datetime | None
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Original:
    """How a photo came, all of it but its pixels: to be asked before the reader, and its memory, is let go."""

    format: str
    attempts: tuple[dict[str, Any], ...]  # the encoder's options; the next where it gives up on the one before
    profile: bytes
    captured: datetime | None
    keywords: tuple[str, ...]

    @classmethod
    def of(cls, photo: Image.Image, data: bytes, kind: str, *, on_its_side: bool) -> Original:
        """Ask a photo that has been decoded from `data`."""
        profile = photo.info.get("icc_profile")
        return cls(
            kind,
            _attempts(photo, data, on_its_side),
            profile if isinstance(profile, bytes) else b"",
            captured(photo),
            keywords(photo),
        )

    def keep(self, pixels: Image.Image) -> Kept:
        """Encode the photo's upright pixels, which may be changed in place."""
        picture = _in_srgb(pixels, self.profile)
        picture.info = _clear_colour(picture)  # what the encoders would take from there is the photo's, not ours
        data = _encode(picture, self.format, self.attempts)
        return Kept(data, *picture.size, difference_hash(picture), self.captured, self.keywords)


def upright(photo: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    """Give a copy of the pixels, turned."""
    return photo.copy() if turn is None else photo.transpose(turn)


def _encode(picture: Image.Image, kind: str, attempts: tuple[dict[str, Any], ...]) -> bytes:
    for options in attempts[:-1]:
        with suppress(OSError, ValueError):
            return _saved(picture, kind, options)
    return _saved(picture, kind, attempts[-1])


def _saved(picture: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    out = BytesIO()
    picture.save(out, kind, exif=b"", **options)
    return out.getvalue()


def _attempts(photo: Image.Image, data: bytes, on_its_side: bool) -> tuple[dict[str, Any], ...]:
    small = photo.width * photo.height <= _SMALL_PIXELS
    if isinstance(photo, JpegImageFile):
        options = _as_it_came(photo, on_its_side)
        # The optimising pass has a buffer of fixed size, which pure noise overflows.
        return ({**options, "optimize": True}, options) if small else (options,)
    if data[:4] != b"RIFF":
        return ({"compress_level": 6 if small else 1},)
    if _is_lossless(data):
        # More than that takes 10 seconds and a gigabyte for the largest.
        effort, method = (20, 1) if small else (0, 0)
        return ({"lossless": True, "quality": effort, "method": method},)
    return tuple({"quality": quality, "method": 2} for quality in _WEBP_QUALITIES)  # 3 takes seven times as long


def _as_it_came(photo: JpegImageFile, on_its_side: bool) -> dict[str, Any]:
    """Give the options for the JPEG encoder to round as the photo's own did."""
    options: dict[str, Any] = {}
    if len(photo.layer) > 1:
        options["subsampling"] = _subsampling(photo.layer, on_its_side)
        plain = photo.info.get("adobe_transform") == 0 and options["subsampling"] == 0
        options["keep_rgb"] = plain and len(photo.layer) == 3
    try:
        tables = [photo.quantization[layer[3]] for layer in photo.layer]
    except KeyError:
        return {**options, "quality": _UNKNOWN_QUALITY}
    if len(tables) == 4:  # written as plain inks, of which none is less visible than the others
        tables = tables[:1]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    if on_its_side:  # so are its frequencies
        tables = [[table[8 * (at % 8) + at // 8] for at in range(64)] for table in tables]
    return {**options, "qtables": tables}


def _subsampling(layers: list[tuple[int, int, int, int]], on_its_side: bool) -> int:
    """Say how coarse the colours may be and lose nothing: Pillow writes them at full (0), half or quarter (2) size."""
    if len(layers) != 3:
        return 0
    (_, across, down, _), *others = layers
    across, down = across // max(each[1] for each in others), down // max(each[2] for each in others)
    if on_its_side:
        across, down = down, across
    if across < 2:
        return 0
    return 2 if down >= 2 else 1


def _is_lossless(data: bytes) -> bool:
    """Whether a WebP's first picture is (RFC 9649, section 2.7)."""
    at = 12
    while (chunk := data[at : at + 4]) in (b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"EXIF", b"XMP "):
        # A frame's own chunks lie within its chunk, behind 16 bytes.
        length = 16 if chunk == b"ANMF" else int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return chunk == b"VP8L"


def _clear_colour(picture: Image.Image) -> dict[str | tuple[int, int], Any]:
    """Give the one entry of `info` that is part of the picture: which colour is transparent."""
    clear = picture.info.get("transparency")
    if clear is None or picture.mode not in ("1", "L", "P", "RGB", "I;16"):
        return {}
    if picture.mode == "1":  # there Pillow reads 255 and writes what it is given
        clear = int(bool(clear))
    if isinstance(clear, tuple) and max(clear) > 255:  # said in 16 bits a sample, of which Pillow keeps the upper 8
        return {}
    return {"transparency": clear}


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    if not profile or len(profile) > _PROFILE_BYTES_MAX or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture
    mode = "RGB" if picture.mode == "CMYK" else picture.mode
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            picture.mode,
            mode,
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode == picture.mode and _moves_nothing(transform, mode):
            return picture
        if "transparency" in picture.info:  # that colour would move, too
            picture, mode = picture.convert("RGBA"), "RGBA"
            return _in_srgb(picture, profile)
        if mode != picture.mode:
            return ImageCms.applyTransform(picture, transform) or picture
        ImageCms.applyTransform(picture, transform, inPlace=True)
    except Exception:  # a profile that is broken, or not one for these pixels
        return picture
    return picture


def _moves_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = range(0, 256, 51)
    colours = Image.frombytes("RGB", (36, 6), bytes(value for colour in product(steps, repeat=3) for value in colour))
    moved = ImageCms.applyTransform(colours.convert(mode), transform)
    assert moved is not None  # it is where it is not asked to work in place
    return all(not band.point(_FAR).getbbox() for band in ImageChops.difference(moved.convert("RGB"), colours).split())
