"""What is kept of a photo: its pixels, upright, in its own format; and nothing else that was in its file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import photos
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from tagwright_server.errors import ImageRejected
from tagwright_server.images.decode import DecodeLimits, decode
from tagwright_server.images.keep import Kept
from tagwright_server.images.likeness import difference_hash
from tagwright_server.images.preprocess import Preprocessing

SMALL = Preprocessing(size=32)
_SCENE = photos.scene()
_TURNED = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the Transpose that makes what the camera stored
_EXACT: list[tuple[str, dict[str, Any]]] = [("PNG", {}), ("WEBP", {"lossless": True})]


def kept(data: bytes, limits: DecodeLimits | None = None) -> Kept:
    photo = decode(data, SMALL, limits or DecodeLimits(), keep=True)
    assert photo.kept is not None
    with Image.open(io.BytesIO(photo.kept.data)) as picture:
        assert picture.format == photo.format
        assert picture.size == (photo.kept.width, photo.kept.height) == (photo.width, photo.height)
    return photo.kept


def picture(data: bytes, mode: str | None = None) -> Image.Image:
    with Image.open(io.BytesIO(data)) as opened:
        shown: Image.Image = opened.convert(mode) if mode else opened.copy()
        return shown


def quantization(data: bytes) -> dict[int, list[int]]:
    return JpegImageFile(io.BytesIO(data)).quantization


def psnr(one: Image.Image, other: Image.Image) -> float:
    """How alike two pictures are, in decibels; from 40 on nobody sees a difference."""
    error = np.asarray(one.convert("RGB")).astype(float) - np.asarray(other.convert("RGB")).astype(float)
    return float(10 * np.log10(255**2 / max(float((error**2).mean()), 1e-9)))


def differing_bits(one: Kept, other: Kept) -> int:
    return (one.perceptual_hash ^ other.perceptual_hash).bit_count()


def everything(kind: str, orientation: int = 1) -> dict[str, Any]:
    """All that a file can carry beside its pixels."""
    fields = {"exif": photos.exif({}, orientation=orientation, make="SECRET"), "icc_profile": photos.swapping_profile()}
    if kind == "PNG":
        text = photos.png_info("SECRET")
        return {**fields, "pnginfo": text, "dpi": (72, 72)}
    fields["xmp"] = photos.xmp("SECRET")
    if kind == "JPEG":
        fields |= {"comment": b"SECRET", "extra": photos.iptc(b"SECRET"), "dpi": (72, 72)}
    return fields


def test_without_being_asked_nothing_is_kept() -> None:
    assert decode(photos.jpeg(), SMALL, DecodeLimits()).kept is None


@pytest.mark.parametrize("size", [(96, 72), (640, 480), (1500, 1100)])  # the last two are decoded at a fraction
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_square_of_a_photo_that_is_kept_is_that_of_what_is_kept(kind: str, size: tuple[int, int]) -> None:
    data = photos.encoded(photos.scene(*size), kind)
    photo = decode(data, SMALL, DecodeLimits(), keep=True)
    assert photo.kept is not None
    again = decode(photo.kept.data, SMALL, DecodeLimits())
    assert np.array_equal(photo.pixels, again.pixels)
    difference = again.pixels.astype(int) - decode(data, SMALL, DecodeLimits()).pixels
    assert abs(difference).mean() < 2  # and hardly another than that of what came


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), [*_EXACT, ("JPEG", {"quality": 95, "subsampling": 0})])
def test_every_exif_orientation_is_kept_upright(orientation: int, kind: str, options: dict[str, Any]) -> None:
    turn = _TURNED[orientation]
    stored = _SCENE if turn is None else _SCENE.transpose(Image.Transpose(turn))
    upright = kept(photos.with_orientation(stored, orientation, kind, **options))
    if kind == "JPEG":
        assert psnr(picture(upright.data), _SCENE) > 32
    else:
        assert ImageChops.difference(picture(upright.data, "RGB"), _SCENE).getbbox() is None
    assert not picture(upright.data).getexif()


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_kept_jpeg_holds_tables_and_pixels_and_nothing_else(orientation: int) -> None:
    data = photos.jpeg(**everything("JPEG", orientation)) + b"SECRET"
    assert data.count(b"SECRET") >= 5
    *markers, (_, rest) = photos.segments(kept(data).data)
    assert rest == b""
    assert {marker for marker, _ in markers} == {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}
    assert [body for marker, body in markers if marker == 0xE0] == [b"JFIF\0\1\1\0\0\1\0\1\0\0"]  # with no thumbnail


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_kept_png_holds_a_header_and_pixels_and_nothing_else(orientation: int) -> None:
    data = photos.encoded(_SCENE, "PNG", **everything("PNG", orientation)) + b"SECRET"
    assert data.count(b"SECRET") >= 3
    names = [name for name, _ in photos.chunks(kept(data).data)]
    assert set(names[1:-2]) == {b"IDAT"}
    assert (names[0], names[-2], names[-1]) == (b"IHDR", b"IEND", b"")
    assert photos.chunks(kept(data).data)[-1][1] == b""


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
def test_a_kept_webp_holds_pixels_and_nothing_else(options: dict[str, Any]) -> None:
    data = photos.encoded(_SCENE, "WEBP", **everything("WEBP"), **options) + b"SECRET"
    assert data.count(b"SECRET") >= 3
    found = photos.chunks(kept(data).data)
    assert [name for name, _ in found] == [b"VP8L" if "lossless" in options else b"VP8 ", b""]
    assert found[-1][1] == b""


def test_a_hidden_thumbnail_and_a_second_picture_are_not_kept() -> None:
    other = Image.new("RGB", (96, 72), "blue")
    data = photos.encoded(_SCENE, "MPO", save_all=True, append_images=[other], quality=95)
    assert len(kept(data).data) < len(data) - len(photos.encoded(other, "JPEG")) + 500
    assert photos.segments(kept(data).data)[-1][1] == b""


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_a_moving_picture_the_first_frame_is_kept(kind: str) -> None:
    with Image.open(io.BytesIO(kept(photos.animation(kind, 5)).data)) as still:
        assert getattr(still, "n_frames", 1) == 1
        assert still.convert("RGB").getcolors() == [(256, (255, 0, 0))]


def _deep() -> NDArray[np.uint16]:
    return np.arange(0, 40 * 30 * 50, 50).astype(np.uint16).reshape(30, 40)


@pytest.mark.parametrize(
    ("drawn", "options"),
    [
        (_SCENE, {}),
        (_SCENE.convert("L"), {}),
        (_SCENE.convert("1"), {}),
        (_SCENE.quantize(7), {}),
        (_SCENE.quantize(200), {"transparency": 5}),
        (_SCENE.quantize(4), {"transparency": bytes([0, 128, 255])}),
        (_SCENE.convert("RGBA").rotate(30), {}),
        (_SCENE.convert("LA").rotate(30), {}),
        (_SCENE.convert("L"), {"transparency": 40}),
        (_SCENE.convert("1"), {"transparency": 1}),
        (Image.new("RGB", (9, 8), (1, 2, 3)), {"transparency": (1, 2, 3)}),
        (Image.fromarray(_deep()), {}),
        (Image.fromarray(_deep()), {"transparency": 100}),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_png_pixels_of_every_kind_are_kept_exactly(
    drawn: Image.Image, options: dict[str, Any], orientation: int
) -> None:
    data = photos.with_orientation(drawn, orientation, "PNG", **options)
    came, stays = picture(data), picture(kept(data).data)
    if orientation == 6:
        came = came.transpose(Image.Transpose.ROTATE_270)
    assert came.mode == stays.mode
    assert stays.info.get("transparency") == came.info.get("transparency")
    assert np.array_equal(np.asarray(stays), np.asarray(came))
    if drawn.mode == "P":
        assert np.array_equal(np.asarray(stays.convert("RGBA")), np.asarray(came.convert("RGBA")))


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_keeps_what_is_transparent(lossless: bool) -> None:
    drawn = _SCENE.convert("RGBA").rotate(30)
    stays = picture(kept(photos.encoded(drawn, "WEBP", lossless=lossless, quality=90)).data)
    assert stays.mode == "RGBA"
    assert np.array_equal(np.asarray(stays)[..., 3], np.asarray(drawn)[..., 3])


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [50, 92])
def test_a_jpeg_is_kept_with_its_own_tables_and_looks_the_same(
    subsampling: int, quality: int, orientation: int
) -> None:
    data = photos.with_orientation(_SCENE, orientation, "JPEG", subsampling=subsampling, quality=quality)
    came, tables = picture(data), quantization(data)
    stays = kept(data)
    shown = picture(stays.data)
    if orientation == 6:
        came = came.transpose(Image.Transpose.ROTATE_270)
        tables = {name: np.asarray(table).reshape(8, 8).T.ravel().tolist() for name, table in tables.items()}
    assert quantization(stays.data) == tables
    assert psnr(shown, came) > (40 if orientation == 1 else 34)
    assert len(stays.data) < 1.25 * len(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_was_kept_can_be_kept_again_and_again(kind: str) -> None:
    large = photos.texture(300, 200)
    first = kept(photos.encoded(large, kind, **({} if kind == "PNG" else {"quality": 85})))
    last = first
    for _ in range(5):
        last = kept(last.data)
    assert psnr(picture(last.data), picture(first.data)) > 38
    assert differing_bits(first, last) <= 2
    assert 0.9 < len(last.data) / len(first.data) < 1.1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_same_bytes_give_the_same_bytes(kind: str) -> None:
    data = photos.with_orientation(_SCENE, 6, kind)
    assert kept(data) == kept(data)


def test_inks_grey_and_plain_rgb_jpegs_keep_their_look() -> None:
    for drawn, options in ((_SCENE.convert("CMYK"), {}), (_SCENE.convert("L"), {}), (_SCENE, {"keep_rgb": True})):
        data = photos.encoded(drawn, "JPEG", quality=90, **options)
        came, stays = picture(data), picture(kept(data).data)
        assert stays.mode == came.mode
        assert psnr(stays, came) > 42


def test_noise_that_overflows_the_optimising_encoder_is_kept_too() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3)).astype(np.uint8))
    data = photos.encoded(noise, "JPEG", quality=100, subsampling=0)
    assert psnr(picture(kept(data).data), picture(data)) > 40


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 97, "subsampling": 0})]
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_photo_with_another_profile_than_srgb_is_converted(kind: str, options: dict[str, Any], mode: str) -> None:
    if (kind, mode) == ("JPEG", "RGBA"):
        mode = "RGB"
    data = photos.encoded(_SCENE.convert(mode), kind, icc_profile=photos.swapping_profile(), **options)
    red, green, blue = _SCENE.split()
    assert psnr(picture(kept(data).data), Image.merge("RGB", (blue, green, red))) > 35
    plain = photos.encoded(_SCENE.convert(mode), kind, **options)
    assert np.array_equal(decode(data, SMALL, DecodeLimits()).pixels, decode(plain, SMALL, DecodeLimits()).pixels)


def test_a_colour_declared_transparent_stays_so_where_a_profile_moves_it() -> None:
    drawn = Image.new("RGB", (8, 8), (200, 0, 0))
    data = photos.encoded(drawn, icc_profile=photos.swapping_profile(), transparency=(200, 0, 0))
    assert picture(kept(data).data, "RGBA").getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize("profile", [photos.swapping_profile()[:300], b"nonsense", bytes(5_000_000), photos.srgb()])
def test_an_srgb_or_broken_profile_changes_no_pixel(profile: bytes) -> None:
    assert kept(photos.jpeg(icc_profile=profile)).data == kept(photos.jpeg()).data


def test_a_profile_for_other_pixels_is_ignored() -> None:
    data = photos.encoded(_SCENE.convert("CMYK"), "JPEG", icc_profile=photos.swapping_profile())
    assert picture(kept(data).data).mode == "CMYK"


def test_a_photo_that_grows_beyond_twice_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = photos.encoded(_SCENE)
    monkeypatch.setattr("tagwright_server.images.keep._encode", lambda *_: bytes(2 * len(data) + 1))
    with pytest.raises(ImageRejected, match=r"Encoded anew, the photo has .* bytes; at most") as caught:
        kept(data, DecodeLimits(size_bytes=len(data)))
    assert (caught.value.limit, caught.value.actual) == ("bytes", str(2 * len(data) + 1))


@pytest.mark.parametrize("colour", ["black", "white", "teal"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_flat_picture_looks_like_nothing(kind: str, colour: str) -> None:
    assert kept(photos.encoded(Image.new("RGB", (64, 48), colour), kind)).perceptual_hash == 0


def test_the_hash_goes_by_rows_and_says_where_it_gets_lighter() -> None:
    ramp = Image.linear_gradient("L").rotate(90)  # lighter to the right or to the left
    assert {difference_hash(ramp), difference_hash(ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT))} == {0, 2**64 - 1}
    top = Image.new("L", (90, 80))
    top.paste(ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((90, 10)), (0, 0))
    assert difference_hash(top) in (0xFF << 56, 0)


def test_copies_look_alike_and_others_do_not() -> None:
    original = kept(photos.encoded(photos.texture(400, 300), "JPEG", quality=95))
    drawn = photos.texture(400, 300)
    for other in (
        photos.encoded(drawn, "JPEG", quality=60),
        photos.encoded(drawn, "WEBP", quality=80),
        photos.encoded(drawn.resize((200, 150))),
        photos.encoded(drawn.resize((800, 600)), "JPEG"),
        photos.with_orientation(drawn.transpose(Image.Transpose.ROTATE_90), 6),
    ):
        assert differing_bits(original, kept(other)) <= 3
    mirrored = photos.encoded(drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert differing_bits(original, kept(mirrored)) > 10


@pytest.mark.parametrize("size", [(1, 1), (16_000, 1), (1, 16_000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_tiny_and_very_long_photos_are_kept(kind: str, size: tuple[int, int]) -> None:
    stays = kept(photos.encoded(Image.new("RGB", size, "red"), kind))
    assert (stays.width, stays.height, stays.perceptual_hash) == (*size, 0)
