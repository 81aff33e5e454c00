"""The one definition of preprocessing."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from photos import scene
from PIL import Image

from tagwright_server.images.preprocess import FILTERS, Preprocessing, square

SMALL = Preprocessing(size=32)


def pixels(picture: Image.Image) -> NDArray[np.int64]:
    return np.asarray(picture).astype(int)


def test_a_square_photo_of_the_right_size_stays_as_it_is() -> None:
    photo = scene(32, 32)
    assert np.array_equal(pixels(square(photo, SMALL)), pixels(photo))


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (33, 32), (500, 375), (16, 20)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "PA", "RGBX"])
def test_every_photo_becomes_an_rgb_square_of_the_models_size(size: tuple[int, int], mode: str) -> None:
    photo = Image.new(mode, size)
    result = square(photo, SMALL)
    assert (result.mode, result.size) == ("RGB", (32, 32))


@pytest.mark.parametrize("size", [(96, 32), (32, 96)])
def test_the_centre_is_kept_and_both_ends_are_cut_off(size: tuple[int, int]) -> None:
    photo = Image.new("RGB", size, "red")
    photo.paste("lime", (size[0] // 2 - 16, size[1] // 2 - 16, size[0] // 2 + 16, size[1] // 2 + 16))
    assert square(photo, SMALL).getcolors() == [(32 * 32, (0, 255, 0))]


@pytest.mark.parametrize("filter_name", sorted(set(FILTERS) - {"box"}))  # box counts a halved pixel wholly to one side
@pytest.mark.parametrize("size", [(97, 64), (64, 97), (96, 71)])
@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_turning_the_photo_turns_the_square(filter_name: str, size: tuple[int, int], turn: Image.Transpose) -> None:
    preprocessing = Preprocessing(size=32, filter=filter_name)
    photo = scene(*size)
    turned_before = pixels(square(photo.transpose(turn), preprocessing))
    turned_after = pixels(square(photo, preprocessing).transpose(turn))
    assert np.abs(turned_before - turned_after).max() <= 1  # each pass rounds, and they come in another order


@pytest.mark.parametrize("filter_name", FILTERS)
def test_fine_stripes_become_grey_and_no_moire(filter_name: str) -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    result = pixels(square(Image.fromarray(stripes), Preprocessing(size=32, filter=filter_name)))
    assert np.abs(result - 127.5).max() <= 8


def test_the_same_photo_gives_the_same_square() -> None:
    assert square(scene(), SMALL).tobytes() == square(scene(), SMALL).tobytes()


def test_what_is_transparent_becomes_white_as_if_laid_on_white_first() -> None:
    photo = scene(90, 70)
    photo.putalpha(Image.linear_gradient("L").resize((90, 70)))
    white = Image.new("RGBA", photo.size, "white")
    expected = square(Image.alpha_composite(white, photo).convert("RGB"), SMALL)
    assert np.abs(pixels(square(photo, SMALL)) - pixels(expected)).max() <= 2


def test_the_colour_of_fully_transparent_pixels_is_never_seen() -> None:
    photo = Image.new("RGBA", (64, 64), (255, 0, 255, 0))
    assert square(photo, SMALL).getcolors() == [(32 * 32, (255, 255, 255))]


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))
    result = pixels(square(Image.fromarray(ramp), SMALL))[:, :, 0]
    assert np.abs(result[0] - np.linspace(0, 255, 32)).max() <= 1


@pytest.mark.parametrize("clear", [0, 255, 30_000, 30_001, 65_535])
def test_one_transparent_grey_of_sixteen_bits_becomes_white_and_the_others_stay(clear: int) -> None:
    samples = np.repeat(np.array([1_000, 30_000, 30_001, 60_000], np.uint16), 8)  # two of them are one grey in 8 bits
    samples[:4] = clear
    file = BytesIO()
    Image.fromarray(np.tile(samples, (32, 1))).save(file, "PNG", transparency=clear)
    with Image.open(file) as photo:
        assert (photo.mode, photo.info["transparency"]) == ("I;16", clear)
        result = pixels(square(photo, SMALL))[:, :, 0]
    assert np.abs(result[0] - np.where(samples == clear, 255, samples / 257)).max() <= 1


def test_the_manifest_reads_back_what_was_written() -> None:
    preprocessing = Preprocessing(size=192, filter="lanczos")
    assert Preprocessing.from_manifest(preprocessing.to_manifest()) == preprocessing


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ({}, "nothing"),
        ({"size": 128, "crop": "center-square"}, "expected crop, size and filter"),
        ({"size": 128, "crop": "center-square", "filter": "bicubic", "mean": 127}, "mean"),
        ({"size": "128", "crop": "center-square", "filter": "bicubic"}, "size is a number"),
        ({"size": True, "crop": "center-square", "filter": "bicubic"}, "size is True"),
        ({"size": 8, "crop": "center-square", "filter": "bicubic"}, "16 to 1024"),
        ({"size": 100_000, "crop": "center-square", "filter": "bicubic"}, "16 to 1024"),
        ({"size": 128, "crop": "none", "filter": "bicubic"}, "crop is 'none'"),
        ({"size": 128, "crop": "center-square", "filter": "nearest"}, "filter is 'nearest'"),
    ],
)
def test_a_manifest_that_asks_for_something_else_is_refused(manifest: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Preprocessing.from_manifest(manifest)
