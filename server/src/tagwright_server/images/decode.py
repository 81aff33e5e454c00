"""From the bytes of a JPEG, PNG or WebP to the square a network looks at. The decode boundary: a hostile place.

Promises: what `decode` and `read` raise is `ImageRejected` and nothing else, whatever the bytes are, with a text for a
person that names the limit and leaks nothing of the library or the machine. Size in bytes and pixels is checked before
any pixel is decoded; only the first picture of a file is; what follows it in the file is ignored.
Must never: look at a file's name or at what the caller says the format is; go on with half a photo.

Colour profiles are not applied to the square: the training photos' were not either. What is kept of the photo, where
that is asked for, changes nothing of the square.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tagwright_server.errors import ImageRejected
from tagwright_server.images.keep import Kept, Original, upright
from tagwright_server.images.metadata import orientation
from tagwright_server.images.preprocess import Preprocessing, square

if TYPE_CHECKING:  # the worker processes decode without numpy: they start in half the time and stay small
    import numpy as np
    from numpy.typing import NDArray

ACCEPTED = "JPEG, PNG or WebP"
# A JPEG is decoded at 1/2, 1/4 or 1/8 where at least this many times the square's side is left to scale down from.
DRAFT_MARGIN = 2.0

# Opened by class, not by Image.open: no other parser ever sees the bytes, and Pillow's own limit on pixels (which only
# warns at three times ours) stays out of the way of our check. A multi-picture JPEG (MPO) is the JPEG it begins with.
_READERS: dict[str, type[ImageFile.ImageFile]] = {"JPEG": JpegImageFile, "PNG": PngImageFile, "WEBP": WebPImageFile}

# What people send by mistake, by the bytes it begins with: the rejection can then say what it was.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftyp", "a video"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"PK\x03\x04", "a ZIP archive"),
)
_MARKUP = ((b"<svg", "SVG"), (b"<!doctype html", "HTML"), (b"<html", "HTML"))

_TURN = {  # what undoes each EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What is refused before a pixel is decoded."""

    size_bytes: int = 20 * 1024 * 1024
    pixels: int = 32_000_000  # 128 MB decoded, at Pillow's four bytes a pixel
    side: int = 16_384

    @property
    def kept_bytes(self) -> int:
        """What is kept of a photo may be so long: encoded in a hurry, it may be longer than what came."""
        return 2 * self.size_bytes

    def of_ours(self) -> DecodeLimits:
        """Return what holds for the bytes that were kept of a photo."""
        return replace(self, size_bytes=self.kept_bytes)


@dataclass(frozen=True, slots=True)
class DecodedPhoto:
    """A photo ready for the network: `pixels` is uint8 [size, size, 3] RGB; `width`, `height` as a person sees it.

    `kept` is there where it was asked for.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """The same before it is an array: `square` is an RGB picture, size by size."""

    square: Image.Image
    width: int
    height: int
    format: str
    kept: Kept | None = None


def decode(data: bytes, preprocessing: Preprocessing, limits: DecodeLimits, *, keep: bool = False) -> DecodedPhoto:
    """Decode in this process; raises ImageRejected. A server decodes in `worker.DecodePool`, which can be killed."""
    import numpy as np  # see above

    picture = read(data, preprocessing, limits, keep=keep)
    return DecodedPhoto(np.array(picture.square), picture.width, picture.height, picture.format, picture.kept)


def read(data: bytes, preprocessing: Preprocessing, limits: DecodeLimits, *, keep: bool = False) -> Picture:
    """Decode, cut, scale and turn upright; with `keep` also encode what is kept. Raises ImageRejected.

    With `keep` the square is that of what is kept: tagged anew, it is the same.
    """
    check_size(data, limits)
    kind = kind_of(data)
    kept = None
    with boundary(data, kind):
        photo = open_photo(data, kind, limits)
        width, height = photo.size
        if not keep:
            draft(photo, math.ceil(preprocessing.size * DRAFT_MARGIN))
        photo.load()
        turned = orientation(photo)
        turn, on_its_side = _TURN.get(turned), turned in _ON_ITS_SIDE
        if keep:
            original = Original.of(photo, data, kind, on_its_side=on_its_side)
            pixels = upright(photo, turn)
            del photo  # a WebP's reader holds the picture three times more
            kept = original.keep(pixels)
            del pixels
            if len(kept.data) > limits.kept_bytes:
                claim = f"Encoded anew, the photo has {len(kept.data):,} bytes"
                raise _over("bytes", claim, limits.kept_bytes, len(kept.data))
            seen = read(kept.data, preprocessing, limits.of_ours()).square
        else:
            seen = square(photo, preprocessing)
            if turn is not None:  # cheaper here than on the whole photo, and the same: the cut is centred
                seen = seen.transpose(turn)
    if on_its_side:
        width, height = height, width
    return Picture(seen, width, height, kind, kept)


@contextmanager
def boundary(data: bytes, kind: str) -> Iterator[None]:
    """Raise nothing but ImageRejected over what is done to the photo in here."""
    try:
        yield
    except ImageRejected:
        raise
    except MemoryError as err:
        raise ImageRejected("This photo takes more memory to decode than is allowed.", limit="memory") from err
    except Exception as err:  # the decode boundary: Pillow raises whatever it likes
        raise _damaged(data, kind, err) from err


def draft(photo: ImageFile.ImageFile, side: int) -> None:
    """Have a JPEG decoded at a fraction of its size that leaves `side` pixels: only its library can do that."""
    if isinstance(photo, JpegImageFile):
        photo.draft(None, (side, side))


def check_size(data: bytes, limits: DecodeLimits) -> None:
    """Refuse what need not be looked at: nothing, or too many bytes."""
    if not data:
        raise ImageRejected("The photo is empty: it has 0 bytes.", limit="empty", actual="0 bytes")
    if len(data) > limits.size_bytes:
        raise _over("bytes", f"The photo has {len(data):,} bytes", limits.size_bytes, len(data))


def kind_of(data: bytes) -> str:
    """Name the format, from the bytes it begins with; raises ImageRejected unless it is one that is accepted."""
    kind = next((kind for at, magic, kind in _SIGNATURES if data[at : at + len(magic)] == magic), "")
    if kind in _READERS:
        return kind
    head = data[:512].lower()
    kind = kind or next((kind for magic, kind in _MARKUP if magic in head), "")
    what = f"This is {kind}, not a photo that is accepted" if kind else "This is not a photo in a known format"
    raise ImageRejected(f"{what}; send {ACCEPTED}.", limit="format", allowed=ACCEPTED, actual=kind)


def open_photo(data: bytes, kind: str, limits: DecodeLimits) -> ImageFile.ImageFile:
    """Read the head of a photo, and refuse one that is too large before its pixels are decoded."""
    if kind == "WEBP" and (canvas := _webp_canvas(data)):  # its reader sets the canvas aside as it opens
        _check_pixels(*canvas, limits)
    photo = _READERS[kind](BytesIO(data))
    _check_pixels(*photo.size, limits)
    return photo


def _check_pixels(width: int, height: int, limits: DecodeLimits) -> None:
    pixels, side = width * height, max(width, height)
    if pixels > limits.pixels:
        raise _over("pixels", f"The photo has {pixels:,} pixels ({width:,} x {height:,})", limits.pixels, pixels)
    if side > limits.side:
        raise _over("side", f"The photo's longer side has {side:,} pixels", limits.side, side)


def _webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height from a WebP's first chunk (RFC 9649, sections 2.5 to 2.7); None where it says neither."""
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if chunk == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def _over(limit: str, claim: str, allowed: int, actual: int) -> ImageRejected:
    text = f"{claim}; at most {allowed:,} are accepted."
    return ImageRejected(text, limit=limit, allowed=str(allowed), actual=str(actual))


def _damaged(data: bytes, kind: str, err: Exception) -> ImageRejected:
    shorter_than_it_says = kind == "WEBP" and len(data) < 8 + int.from_bytes(data[4:8], "little")
    if shorter_than_it_says or isinstance(err, EOFError) or "truncated" in str(err).lower():
        return ImageRejected(f"The file ends before its {kind} photo is complete.", limit="truncated")
    return ImageRejected(f"This begins like a {kind} file but cannot be decoded: it is damaged.", limit="format")
