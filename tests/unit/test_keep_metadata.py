"""When a photo was taken and its keywords, out of whatever is written beside its pixels; and thumbnails of it."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any

import photos
import pytest
from PIL import Image

from tagwright_server.errors import ImageRejected
from tagwright_server.images.decode import DecodeLimits, decode
from tagwright_server.images.keep import Kept
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.images.thumbnail import shrink

LIMITS = DecodeLimits()
ORIGINAL, DIGITIZED, ZONE, DIGITIZED_ZONE = 0x9003, 0x9004, 0x9011, 0x9012
NOON = datetime(2024, 5, 6, 12, 30, 15, tzinfo=timezone.utc)
_SCENE = photos.scene()

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Metadata Warning")  # as in the worker


def kept(data: bytes) -> Kept:
    photo = decode(data, Preprocessing(size=32), LIMITS, keep=True)
    assert photo.kept is not None
    return photo.kept


def words(data: bytes) -> tuple[str, ...]:
    return kept(data).keywords


def taken(moments: dict[int, object], kind: str = "JPEG") -> datetime | None:
    return kept(photos.encoded(_SCENE, kind, exif=photos.exif(moments))).captured


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "moments",
    [
        {ORIGINAL: "2024:05:06 12:30:15"},
        {ORIGINAL: "2024:05:06 14:30:15", ZONE: "+02:00"},
        {ORIGINAL: "2024:05:06 07:00:15", ZONE: "-05:30"},
        {ORIGINAL: "2024:05:06 12:30:15", ZONE: "+99:00"},
        {ORIGINAL: "2024:05:06 12:30:15", ZONE: "about here"},
        {ORIGINAL: "2024:05:06 12:30:15", DIGITIZED: "2025:01:01 00:00:00", DIGITIZED_ZONE: "+03:00"},
        {DIGITIZED: "2024:05:06 15:30:15", DIGITIZED_ZONE: "+03:00"},
        {ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: "2024:05:06 12:30:15"},
    ],
)
def test_the_moment_is_that_of_the_exif_in_utc(kind: str, moments: dict[int, object]) -> None:
    assert taken(moments, kind) == NOON


@pytest.mark.parametrize(
    "text",
    [
        "0000:00:00 00:00:00",
        "1825:12:31 23:59:59",
        "2101:01:01 00:00:00",
        "9999:12:31 23:59:59",
        "2024:02:30 12:00:00",
        "2024:05:06 25:00:00",
        "2024:05:06 12:30:60",
        "2024-05-06T12:30:15",
        "    :  :     :  :  ",
        "٢٠٢٤:05:06 12:30:15",
        "2024:05:06 12:30:15" * 200,
        "",
    ],
)
def test_a_moment_that_cannot_be_is_none(text: str) -> None:
    assert taken({ORIGINAL: text}) is None
    assert taken({}) is None


@pytest.mark.parametrize("year", [1826, 2100])
def test_the_first_and_the_last_year_are_kept_in_any_zone(year: int) -> None:
    for text, zone in ((f"{year}:01:01 00:00:00", "+14:00"), (f"{year}:12:31 23:59:59", "-12:00")):
        assert taken({ORIGINAL: text, ZONE: zone}) is not None


def carrying(packet: bytes, kind: str = "JPEG") -> bytes:
    """A photo with these bytes as its XMP; of any length only in a WebP."""
    if kind == "PNG":
        body = b"XML:com.adobe.xmp\0\0\0\0\0" + packet
        return photos.png_of_zeros(20, 10, before_pixels=photos.png_chunk(b"iTXt", body))
    return photos.encoded(_SCENE, kind, xmp=packet)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_words_of_xmp_come_in_their_order(kind: str) -> None:
    assert words(carrying(photos.xmp("sea", " big  waves ", "été", "海", "R&amp;B"), kind)) == (
        "sea",
        "big  waves",
        "été",
        "海",
        "R&B",
    )


def test_the_words_of_iptc_come_first_and_none_twice() -> None:
    block = photos.iptc(b"dog", b"sea", "Größe".encode(), "café".encode("latin-1"), b"dog", b"night\0")
    data = photos.jpeg(extra=block, xmp=photos.xmp("sea", "sky", "dog"))
    assert words(data) == ("dog", "sea", "Größe", "café", "night", "sky")


def test_at_most_256_words_of_128_characters_are_taken_and_the_others_dropped() -> None:
    many = [f"word {n}" for n in range(400)]
    assert words(carrying(photos.xmp(*many))) == tuple(many[:256])
    long = photos.xmp("a" * 129, "b" * 128, "", "  ", "two\nlines", "海" * 128)
    assert words(carrying(long)) == ("b" * 128, "海" * 128)
    assert words(photos.jpeg(extra=photos.iptc(b"c" * 129, b"nul\0nul", b"d"))) == ("d",)


_BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)


@pytest.mark.parametrize(
    "packet",
    [
        _BOMB.encode() + b"]>" + photos.xmp("&j;"),
        b'<!doctype x SYSTEM "file:///etc/passwd">' + photos.xmp("a"),
        b'<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:1/">%p;]>' + photos.xmp("a"),
        photos.xmp("a").decode().encode("utf-16"),
        photos.xmp("a")[:-40],
        photos.xmp("&undefined;"),
        b"<a>" * 300_000,
        b"",
        b"\xff" * 50,
        b"not XML",
        photos.xmp("a" * 2**20),
    ],
    ids=lambda packet: repr(packet[:20]),
)
def test_hostile_xmp_gives_no_words_and_costs_no_photo(packet: bytes) -> None:
    assert words(carrying(packet, "WEBP")) == ()


def test_lists_nested_in_lists_take_no_longer_than_their_length() -> None:
    layer = "<dc:subject><rdf:Bag><rdf:li>"
    packet = photos.xmp(layer * 12_000 + "deep" + "</rdf:li></rdf:Bag></dc:subject>" * 12_000)
    assert len(packet) < 2**20
    assert words(carrying(packet, "WEBP")) == ("deep",)  # within the test's time: the square of it would not be


@pytest.mark.parametrize(
    "block",
    [
        photos.iptc(b"x")[:-1] + b"\x1c",
        b"\xff\xed\x00\x10Photoshop 3.0\x00",
        b"\xff\xed\x00\x1cPhotoshop 3.0\x008BIM\x04\x04\x00\x00\xff\xff\xff\xff",
        b"\xff\xed\x00\x20Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x04\x1c\x02\x19\xff",
    ],
)
def test_damaged_iptc_costs_no_photo(block: bytes) -> None:
    assert all(len(word) < 3 for word in words(photos.jpeg(extra=block)))


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\x00\x00MM\x00*\xff\xff\xff\xff",
        b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x69\x87\x04\x00\x01\x00\x00\x00\xf0\xff\xff\xff",
        b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x69\x87\x04\x00\x01\x00\x00\x00\x08\x00\x00\x00",  # in itself
        b"\x00" * 9,
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_gives_no_moment_and_costs_no_photo(kind: str, exif: bytes) -> None:
    assert kept(photos.encoded(_SCENE, kind, exif=exif)).captured is None


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((1600, 1200), (384, 288)),
        ((600, 1800), (128, 384)),
        ((384, 384), (384, 384)),
        ((385, 100), (384, 100)),
        ((60, 40), (60, 40)),
        ((16_000, 2), (384, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_thumbnail_has_at_most_384_pixels_a_side(kind: str, size: tuple[int, int], small: tuple[int, int]) -> None:
    thumbnail = shrink(photos.encoded(Image.new("RGB", size, "teal"), kind), LIMITS)
    assert (thumbnail.width, thumbnail.height) == small
    with Image.open(io.BytesIO(thumbnail.data)) as opened:
        assert (opened.format, opened.mode, opened.size) == ("JPEG", "RGB", small)
        colour = opened.getpixel((0, 0))
    assert isinstance(colour, tuple)
    assert all(abs(one - other) < 6 for one, other in zip(colour, (0, 128, 128), strict=True))


def test_a_thumbnail_lays_what_is_transparent_on_white_and_holds_no_metadata() -> None:
    fields: dict[str, Any] = {"exif": photos.exif({}), "icc_profile": photos.srgb()}
    thumbnail = shrink(photos.encoded(Image.new("RGBA", (50, 50), (9, 9, 9, 0)), "PNG", **fields), LIMITS)
    with Image.open(io.BytesIO(thumbnail.data)) as opened:
        assert opened.getextrema() == ((255, 255),) * 3
    *markers, (_, rest) = photos.segments(thumbnail.data)
    assert {marker for marker, _ in markers} == {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}
    assert rest == b""


@pytest.mark.parametrize("data", [b"", b"words", photos.jpeg()[:700], photos.png_of_zeros(10_000, 10_000)])
def test_no_thumbnail_is_made_of_what_is_no_photo(data: bytes) -> None:
    with pytest.raises(ImageRejected):
        shrink(data, LIMITS)


def test_no_thumbnail_is_made_of_what_is_longer_than_anything_that_is_kept() -> None:
    data = photos.jpeg()
    assert shrink(data, DecodeLimits(size_bytes=len(data))).width == 96
    with pytest.raises(ImageRejected) as caught:
        shrink(data, DecodeLimits(size_bytes=len(data) // 2 - 1))
    assert caught.value.limit == "bytes"
