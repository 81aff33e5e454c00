"""Thousands of spoilt photos through the decoder: a square or ImageRejected, never anything else. Seeded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import photos
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagwright_server.errors import ImageRejected
from tagwright_server.images.decode import DecodeLimits, decode
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.images.thumbnail import shrink

SMALL = Preprocessing(size=16)
LIMITS = DecodeLimits(pixels=1_000_000, side=4_096)  # a flipped bit in a size may not make the test slow
KNOWN = {"format", "bytes", "pixels", "side", "memory", "truncated", "empty"}
CASES = 400

_META: dict[str, Any] = {
    "exif": photos.exif({0x9003: "2024:05:06 12:30:15", 0x9011: "+02:00"}, orientation=5),
    "icc_profile": photos.swapping_profile(),
    "xmp": photos.xmp("sea", "sky"),
}
_PALETTE = photos.scene().quantize(32)
GOOD: dict[str, bytes] = {
    "baseline JPEG": photos.jpeg(48, 36),
    "progressive JPEG with EXIF": photos.with_orientation(photos.scene(48, 36), 6, "JPEG", progressive=True),
    "CMYK JPEG": photos.encoded(photos.scene(48, 36).convert("CMYK"), "JPEG"),
    "PNG": photos.encoded(photos.scene(24, 18)),
    "interlaced-size palette PNG": photos.encoded(_PALETTE, transparency=3),
    "16-bit PNG with EXIF": photos.with_orientation(photos.scene(24, 18).convert("I;16"), 5),
    "animated PNG": photos.animation("PNG", 3),
    "lossy WebP": photos.encoded(photos.scene(48, 36), "WEBP"),
    "lossless WebP with alpha": photos.encoded(photos.scene(24, 18).convert("RGBA"), "WEBP", lossless=True),
    "animated WebP": photos.animation("WEBP", 3),
    "JPEG with all kinds of metadata": photos.jpeg(48, 36, extra=photos.iptc(b"sea", b"sky"), **_META),
    "PNG with all kinds of metadata": photos.encoded(photos.scene(24, 18), pnginfo=photos.png_info("sea"), **_META),
    "WebP with all kinds of metadata": photos.encoded(photos.scene(24, 18), "WEBP", **_META),
}


def outcome(data: bytes) -> str:
    refusal: ImageRejected | None = None
    try:
        photo = decode(data, SMALL, LIMITS, keep=True)
    except ImageRejected as err:
        refusal = err
    if refusal is not None:
        assert refusal.limit in KNOWN
        assert len(str(refusal)) < 200
        return refusal.limit
    assert photo.pixels.shape == (16, 16, 3)
    assert photo.pixels.dtype == np.uint8
    assert 1 <= photo.width <= LIMITS.side
    assert 1 <= photo.height <= LIMITS.side
    assert photo.kept is not None
    assert (photo.kept.width, photo.kept.height) == (photo.width, photo.height)
    assert 0 <= photo.kept.perceptual_hash < 2**64
    assert len(photo.kept.keywords) <= 256
    assert b"a camera" not in photo.kept.data
    assert shrink(photo.kept.data, LIMITS).width <= 384  # what was kept can be read again
    return "decoded"


def flip_bits(data: bytearray, rng: np.random.Generator) -> bytearray:
    for at in rng.integers(0, len(data), rng.integers(1, 8)):
        data[at] ^= 1 << int(rng.integers(8))
    return data


def spoil_head(data: bytearray, rng: np.random.Generator) -> bytearray:
    for at in rng.integers(0, min(len(data), 200), 3):
        data[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
    return data


def cut_out(data: bytearray, rng: np.random.Generator) -> bytearray:
    begin, end = sorted(rng.integers(0, len(data), 2))
    del data[begin : min(end, begin + 64)]
    return data


def repeat_part(data: bytearray, rng: np.random.Generator) -> bytearray:
    begin = int(rng.integers(0, len(data)))
    return data[:begin] + data[begin : begin + 50] * int(rng.integers(2, 6)) + data[begin:]


def cut_short(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(0, len(data)))]


@pytest.mark.parametrize("spoil", [flip_bits, spoil_head, cut_out, repeat_part, cut_short])
@pytest.mark.parametrize("name", GOOD)
@pytest.mark.filterwarnings("ignore")  # Pillow remarks on spoilt files; the worker does not print that either
def test_a_spoilt_photo_is_decoded_or_refused(
    name: str, spoil: Callable[[bytearray, np.random.Generator], bytearray]
) -> None:
    assert outcome(GOOD[name]) == "decoded"
    rng = np.random.default_rng([*name.encode(), *spoil.__name__.encode()])
    seen = {outcome(bytes(spoil(bytearray(GOOD[name]), rng))) for _ in range(CASES // 4)}
    assert seen != {"decoded"}  # a spoiler that changes nothing would test nothing


@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\x00\x00\x00WEBPVP8X"]),
    st.binary(max_size=400),
)
@settings(max_examples=CASES, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_random_bytes_are_refused(magic: bytes, rest: bytes) -> None:
    assert outcome(magic + rest) in KNOWN


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore")
def test_spoilt_metadata_cost_no_photo(kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    picture = photos.scene(24, 18)
    for spoil in (flip_bits, spoil_head, cut_out, repeat_part, cut_short):
        for _ in range(CASES // 20):
            packets = {name: bytes(spoil(bytearray(_raw(packet)), rng)) for name, packet in _META.items()}
            if kind == "PNG":
                del packets["xmp"]
            assert outcome(photos.encoded(picture, kind, **packets)) == "decoded"


def _raw(packet: Any) -> bytes:
    raw: bytes = packet if isinstance(packet, bytes) else packet.tobytes()
    return raw
