"""A small JPEG of a photo that is kept, for lists of them. Like `decode`, it raises ImageRejected and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from tagwright_server.errors import ImageRejected
from tagwright_server.images.decode import DecodeLimits, boundary, draft, kind_of, open_photo
from tagwright_server.images.preprocess import on_white, resizable

SIDE_MAX = 384
_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG of at most `SIDE_MAX` pixels a side."""

    data: bytes
    width: int
    height: int


def shrink(data: bytes, limits: DecodeLimits) -> Thumbnail:
    """Scale down what is kept of a photo, which is upright and in sRGB; a smaller one keeps its size."""
    check_kept_size(data, limits)
    kind = kind_of(data)
    with boundary(data, kind):
        photo = open_photo(data, kind, limits)
        width, height = photo.size
        share = min(1.0, SIDE_MAX / max(width, height))
        size = max(1, round(width * share)), max(1, round(height * share))
        # Sharp where twice the thumbnail is left to scale down from. A draft has at least that of its shorter side.
        draft(photo, 2 * min(size))
        photo.load()
        small = on_white(resizable(photo).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))
        small.info = {}
        out = BytesIO()
        small.save(out, "JPEG", quality=_QUALITY, optimize=True, exif=b"")
    return Thumbnail(out.getvalue(), *size)


def check_kept_size(data: bytes, limits: DecodeLimits) -> None:
    """Refuse what need not be looked at, as `decode.check_size` does with photos that come."""
    if len(data) > limits.kept_bytes:
        raise ImageRejected("This is longer than anything that is kept.", limit="bytes")
