"""Decoding in process: what is accepted, what becomes of it, and what is refused with which words."""

from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import photos
import pytest
from PIL import Image

from tagwright_server.errors import ImageRejected
from tagwright_server.images.decode import DecodedPhoto, DecodeLimits, decode
from tagwright_server.images.preprocess import Preprocessing, square

SMALL = Preprocessing(size=32)
LIMITS = DecodeLimits()
_SCENE = photos.scene()
_JPEG = photos.jpeg()


def decoded(data: bytes, preprocessing: Preprocessing = SMALL, limits: DecodeLimits = LIMITS) -> DecodedPhoto:
    photo = decode(data, preprocessing, limits)
    assert photo.pixels.shape == (preprocessing.size, preprocessing.size, 3)
    assert photo.pixels.dtype == np.uint8
    return photo


def rejection(data: bytes, limits: DecodeLimits = LIMITS) -> ImageRejected:
    with pytest.raises(ImageRejected) as caught:
        decode(data, SMALL, limits)
    text = str(caught.value)
    assert re.fullmatch(r"[A-Z][^\n]{10,160}\.", text)
    assert not re.search(r"(?i)pillow|pil\b|traceback|/tmp|site-packages|0x[0-9a-f]|errno|-\d+ when", text)
    return caught.value


def difference(photo: DecodedPhoto, expected: Image.Image) -> float:
    wanted = np.asarray(square(expected, SMALL)).astype(int)
    return float(np.abs(photo.pixels.astype(int) - wanted).mean())


@pytest.mark.parametrize(
    ("kind", "options", "allowed"),
    [
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 4),
        ("JPEG", {"quality": 95}, 3),
        ("JPEG", {"quality": 95, "progressive": True}, 3),
        ("JPEG", {"quality": 95, "subsampling": 0}, 2),
    ],
)
def test_each_accepted_format_gives_the_square_of_its_picture(kind: str, options: dict[str, int], allowed: int) -> None:
    photo = decoded(photos.encoded(_SCENE, kind, **options))
    assert (photo.width, photo.height, photo.format) == (96, 72, kind)
    assert difference(photo, _SCENE) <= allowed


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 98})])
def test_every_exif_orientation_gives_the_same_upright_square(
    orientation: int, kind: str, options: dict[str, int]
) -> None:
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the Transpose that makes what the camera stored
    stored = _SCENE if orientation == 1 else _SCENE.transpose(Image.Transpose(inverse[orientation]))
    photo = decoded(photos.with_orientation(stored, orientation, kind, **options))
    assert (photo.width, photo.height) == (96, 72)
    assert difference(photo, _SCENE) <= (2 if kind == "JPEG" else 0.5)


@pytest.mark.parametrize(
    "exif", [b"Exif\x00\x00", b"Exif\x00\x00MM\x00*\xff\xff\xff\xff", b"\x00" * 9, b"Exif\x00\x00II"]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # as in the worker
def test_broken_exif_does_not_cost_the_photo(exif: bytes) -> None:
    assert difference(decoded(photos.jpeg(exif=exif)), _SCENE) <= 3


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(value: int) -> None:
    assert decoded(photos.with_orientation(_SCENE, value)).width == 96


@pytest.mark.parametrize("margin", [9, 17])
def test_a_large_jpeg_decoded_at_reduced_scale_looks_the_same(margin: int) -> None:
    large = photos.scene(32 * margin, 32 * margin + 40)
    photo = decoded(photos.encoded(large, "JPEG", quality=95))
    assert (photo.width, photo.height) == large.size
    assert difference(photo, large) <= 2.5


def test_alpha_and_transparent_palette_entries_become_white() -> None:
    clear = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([200, 0, 0, 0, 200, 0])
    for data in (
        photos.encoded(clear),
        photos.encoded(clear, "WEBP", lossless=True),
        photos.encoded(palette, transparency=0),
        photos.encoded(Image.new("RGB", (40, 40), (200, 0, 0)), transparency=(200, 0, 0)),
        photos.encoded(Image.new("L", (40, 40), 7), transparency=7),
        photos.encoded(Image.new("LA", (40, 40), (7, 0))),
    ):
        assert (decoded(data).pixels == 255).all()


def test_grey_palette_one_bit_sixteen_bit_and_cmyk_photos_keep_their_look() -> None:
    grey = _SCENE.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    few_colours = _SCENE.quantize(64)
    assert difference(decoded(photos.encoded(grey, "JPEG", quality=95)), grey) <= 3
    assert difference(decoded(photos.encoded(deep)), grey) <= 1
    assert difference(decoded(photos.encoded(few_colours)), few_colours) == 0
    assert difference(decoded(photos.encoded(_SCENE.convert("1"))), _SCENE.convert("1")) == 0
    assert difference(decoded(photos.encoded(_SCENE.convert("CMYK"), "JPEG", quality=95)), _SCENE) <= 6


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_a_moving_picture_the_first_frame_counts(kind: str) -> None:
    pixels = decoded(photos.animation(kind, 12)).pixels
    assert (pixels == (255, 0, 0)).all()


def test_ten_thousand_frames_cost_no_more_than_one() -> None:
    assert (decoded(photos.webp_frames(10_000)).pixels == (255, 0, 0)).all()


def test_a_multi_picture_jpeg_is_the_jpeg_it_begins_with() -> None:
    data = photos.encoded(_SCENE, "MPO", save_all=True, append_images=[Image.new("RGB", (96, 72), "blue")], quality=95)
    photo = decoded(data)
    assert photo.format == "JPEG"
    assert difference(photo, _SCENE) <= 3


def test_what_follows_the_photo_in_its_file_is_ignored() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("evil.sh", "rm -rf /")
    assert np.array_equal(decoded(_JPEG + archive.getvalue()).pixels, decoded(_JPEG).pixels)


@pytest.mark.parametrize("size", [(1, 1), (16_384, 1), (1, 16_384), (3, 5000)])
def test_tiny_and_very_long_photos_decode(size: tuple[int, int]) -> None:
    assert (decoded(photos.encoded(Image.new("RGB", size, "red"))).pixels == (255, 0, 0)).all()


def test_an_empty_file_is_refused_as_empty() -> None:
    assert rejection(b"").limit == "empty"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (photos.encoded(_SCENE, "GIF"), "GIF"),  # however it is named: nobody asks for a name
        (photos.encoded(_SCENE, "BMP"), "BMP"),
        (photos.encoded(_SCENE, "TIFF"), "TIFF"),
        (photos.encoded(_SCENE, "PDF"), "PDF"),
        (photos.encoded(_SCENE, "EPS"), "PostScript"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "AVIF"),
        (b"\x00\x00\x00\x1cftypisom\x00\x00\x00\x00", "a video"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (b"just some words", ""),
        (bytes(1000), ""),
        (b"\xff", ""),
    ],
)
def test_what_is_not_a_photo_we_take_is_refused_naming_what_we_take(data: bytes, name: str) -> None:
    err = rejection(data)
    assert (err.limit, err.allowed, err.actual) == ("format", "JPEG, PNG or WebP", name)
    assert name in str(err)
    assert "JPEG, PNG or WebP" in str(err)


def test_too_many_bytes_are_refused_with_both_figures() -> None:
    err = rejection(_JPEG + bytes(25 * 1024 * 1024 - len(_JPEG)))
    assert (err.limit, err.allowed, err.actual) == ("bytes", "20971520", "26214400")
    assert "26,214,400 bytes; at most 20,971,520" in str(err)


@pytest.mark.parametrize(
    ("data", "limit", "actual"),
    [
        (photos.png_of_zeros(10_000, 10_000), "pixels", "100000000"),
        (photos.png_of_zeros(65_500, 3), "side", "65500"),
        (photos.png_of_zeros(3, 65_500), "side", "65500"),
        (photos.encoded(Image.new("L", (65_500, 40)), "JPEG"), "side", "65500"),
        (photos.encoded(Image.new("L", (8_000, 8_000)), "JPEG"), "pixels", "64000000"),
        (photos.webp_canvas(16_000, 16_000), "pixels", "256000000"),
        (photos.webp_canvas(1 << 24, 10), "pixels", "167772160"),
        (photos.webp_canvas(20_000, 10), "side", "20000"),
    ],
)
def test_too_many_pixels_are_refused_from_the_header(
    data: bytes, limit: str, actual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("a pixel was decoded"))
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.__init__", lambda *_: pytest.fail("a canvas was made"))
    assert len(data) < 2_000_000
    err = rejection(data)
    assert (err.limit, err.actual) == (limit, actual)
    assert err.allowed == {"pixels": "32000000", "side": "16384"}[limit]


def test_limits_can_be_set_tighter() -> None:
    assert rejection(_JPEG, DecodeLimits(pixels=6_000)).allowed == "6000"
    assert rejection(_JPEG, DecodeLimits(side=95)).actual == "96"
    assert rejection(_JPEG, DecodeLimits(size_bytes=100)).limit == "bytes"
    assert decoded(_JPEG, limits=DecodeLimits(size_bytes=len(_JPEG), pixels=96 * 72, side=96)).width == 96


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_cut_short_anywhere_is_refused(kind: str) -> None:
    data = photos.encoded(_SCENE, kind)
    spare = 24 if kind == "PNG" else 0  # its checksums and its last chunk, which tell nothing about the picture
    limits = {rejection(data[:length]).limit for length in range(0, len(data) - spare, 7)}
    assert limits <= {"empty", "format", "truncated"}
    assert rejection(data[: len(data) // 2]).limit == "truncated"


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_compressed_chunk_that_unpacks_to_200_mb_is_refused(kind: bytes) -> None:
    assert rejection(photos.png_with_bomb(kind)).limit == "format"


def test_a_huge_colour_profile_is_harmless() -> None:
    noise = np.random.default_rng(1).bytes(4_000_000)
    assert difference(decoded(photos.jpeg(icc_profile=noise)), _SCENE) <= 3


def test_memory_that_runs_out_is_said_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", starve)
    assert rejection(_JPEG).limit == "memory"
