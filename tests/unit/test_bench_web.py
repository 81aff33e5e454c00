"""What the bench's scenario for the web pages stands on: photos no server has had, a library with bytes, weights."""

from __future__ import annotations

import urllib.error
import urllib.request
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from load.figures import spread
from load.pages import pages
from load.photos import generate, largest, versions
from load.serving import NotServed
from load.synthetic import Picture, Seed, fill, lay
from load.tab import Wire
from PIL import Image

from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.image_records import ImageFilter
from tagwright_server.store.store import open_store

DEMO = Path(__file__).resolve().parents[2] / "demo" / "photos"


def test_a_spread_is_the_median_and_what_95_in_a_hundred_are_within() -> None:
    assert spread([float(value) for value in range(101)], "KB") == {"median_KB": 50.0, "p95_KB": 95.0}
    assert spread([], "ms") == {"median_ms": None, "p95_ms": None}


def test_the_largest_photo_up_to_a_size_is_taken_else_the_smallest(tmp_path: Path) -> None:
    for name, size in (("a", 100), ("b", 300), ("c", 200)):
        (tmp_path / f"{name}.jpg").write_bytes(bytes(size))
    assert [largest(tmp_path, most).name for most in (300, 299, 199, 1)] == ["b.jpg", "c.jpg", "a.jpg", "a.jpg"]


def test_each_version_of_a_photo_has_pixels_of_its_own_and_about_as_many_bytes(tmp_path: Path) -> None:
    photo = largest(DEMO, 3_000_000)
    files = list(islice(versions(photo, tmp_path), 70))  # what 20 rounds take, and some
    pixels = {Image.open(file).tobytes() for file in files}
    assert len(pixels) == len(files)
    sizes = [file.stat().st_size / photo.stat().st_size for file in files]
    assert 0.9 < min(sizes) <= max(sizes) < 1.1


def test_the_photos_of_a_made_up_library_have_the_bytes_that_its_rows_tell_of(tmp_path: Path) -> None:
    pictures = [Picture.of(file) for file in generate(DEMO, tmp_path, count=3).files]
    url = f"sqlite://{tmp_path / 'made.sqlite3'}"
    open_store(url).close()
    vectors = np.eye(4, 8, dtype=np.float32)
    seed = Seed(vectors, [["sky"], ["sea", "sky"], ["dog"], ["cat"]])
    fill(url, seed, photos=40, labels=["animals"], model_version="tagger@1", pictures=pictures)
    lay(tmp_path / "photos", pictures, 40)
    blobs, store = FolderBlobs(tmp_path / "photos"), open_store(url)
    try:
        images = store.images.page(ImageFilter(), before=None, limit=100)
        assert len(images) == 40
        for image in images:
            data = blobs.read(image.content.sha256)
            assert len(data) == image.content.size_bytes
            assert data == (pictures[(image.number - 1) % 3].file or tmp_path).read_bytes()
            assert (image.content.width, image.content.height) == (500, 375)
    finally:
        store.close()


def test_what_the_browser_had_kept_weighs_nothing_and_photos_are_told_apart() -> None:
    wire = Wire()
    for id, path in enumerate(
        ("/", "/static/a.js", "/photos/1/thumbnail", "/photos/2/thumbnail", "/photos/3/thumbnail")
    ):
        wire.asked({"requestId": str(id), "request": {"url": f"http://127.0.0.1{path}"}})
        wire.answered({"requestId": str(id), "response": {"fromDiskCache": id == 1}})
        wire.ended({"requestId": str(id), "encodedDataLength": 1000.0 * (id + 1)})
    wire.asked({"requestId": "preview", "request": {"url": "blob:http://127.0.0.1/7"}})
    wire.was_kept({"requestId": "3"})
    assert wire.weight(photos=False) == (1.0, 1)
    assert wire.weight(photos=True) == (8.0, 2)


def test_pages_are_served_on_a_free_port_and_gone_afterwards() -> None:
    with pages("127.0.0.1:1") as address, urllib.request.urlopen(f"{address}/sign-in", timeout=60) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=60)


def test_pages_that_do_not_start_say_why() -> None:
    with pytest.raises(NotServed, match=r"the pages ended: .*no address"), pages("127.0.0.1:port"):
        pass
