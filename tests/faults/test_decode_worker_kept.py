"""What is kept of a photo, and thumbnails, through real decoding processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import photos
import pytest
from PIL import Image

from tagwright_server.errors import ImageRejected
from tagwright_server.images import process
from tagwright_server.images.decode import DecodeLimits, decode
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.images.thumbnail import shrink
from tagwright_server.images.worker import Decoded, DecodePool

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not limit memory")

SMALL = Preprocessing(size=32)
MIB = 1024 * 1024
PHOTO = photos.jpeg()


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with DecodePool(1) as one:
        yield one


def tagged(pool: DecodePool, data: bytes = PHOTO) -> Decoded:
    return pool.submit(data, SMALL).result(timeout_s=60)


def test_what_is_kept_comes_back_as_if_made_here(pool: DecodePool) -> None:
    words = tuple(f"\U0001f600{n:03}" + "\U0001f600" * 124 for n in range(256))  # 12 bytes of JSON a character
    moment = photos.exif({0x9003: "1901:02:03 04:05:06"})
    data = photos.encoded(photos.scene(900, 700), "WEBP", xmp=photos.xmp(*words), exif=moment)
    result = pool.submit(data, SMALL, keep=True).result(timeout_s=60)
    expected = decode(data, SMALL, DecodeLimits(), keep=True)
    assert np.array_equal(result.photo.pixels, expected.pixels)
    assert result.photo.pixels.flags.writeable
    assert result.photo.kept == expected.kept
    assert expected.kept is not None
    # What is kept is what is looked at.
    assert np.array_equal(result.photo.pixels, tagged(pool, expected.kept.data).photo.pixels)
    assert expected.kept.keywords == words
    assert tagged(pool, data).photo.kept is None


def test_a_thumbnail_comes_back_as_if_made_here(pool: DecodePool) -> None:
    kept = pool.submit(photos.jpeg(900, 700), SMALL, keep=True).result(timeout_s=60).photo.kept
    assert kept is not None
    assert pool.submit_thumbnail(kept.data).result(timeout_s=60) == shrink(kept.data, DecodeLimits())
    assert tagged(pool).photo.width == 96


def test_what_cannot_be_made_small_is_refused_and_keeps_its_worker(pool: DecodePool) -> None:
    pids = pool.worker_pids
    for data in (b"", b"words", PHOTO[:500], bytes(41 * MIB), photos.png_of_zeros(10_000, 10_000)):
        with pytest.raises(ImageRejected):
            pool.submit_thumbnail(data).result(timeout_s=60)
    assert pool.submit_thumbnail(PHOTO).result(timeout_s=60).width == 96
    assert pool.worker_pids == pids


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_largest_photo_of_each_format_is_kept_within_the_memory(kind: str) -> None:
    options = {"PNG": {"compress_level": 1}, "WEBP": {"lossless": True, "quality": 0, "method": 0}}.get(kind, {})
    data = photos.with_orientation(Image.effect_mandelbrot((5600, 5600), (-2, -2, 2, 2), 8), 6, kind, **options)
    with DecodePool(1, timeout_s=30) as pool:  # half of the default is enough on a machine that does nothing else
        pids = pool.worker_pids
        result = pool.submit(data, SMALL, keep=True).result(timeout_s=60)
        assert result.photo.kept is not None
        assert pool.submit_thumbnail(result.photo.kept.data).result(timeout_s=60).width == 384
        assert pool.worker_pids == pids


_LIAR = """
import json, socket, sys
sys.path[:] = json.loads(sys.argv[2])["path"]
from tagwright_server.images.messages import receive, send
peer = socket.socket(fileno=int(sys.argv[1]))
send(peer, {"ready": True})
receive(peer, body_bytes=1 << 30)
send(peer, {"width": 1, "height": 1, "format": "PNG", "kept": {}}, bytes(32 * 32 * 3))
peer.recv(1)
"""


def test_a_worker_that_lies_about_what_is_kept_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PROGRAM", _LIAR)  # other lies: test_keep_messages
    with DecodePool(1) as pool:
        for pending in (pool.submit(PHOTO, SMALL, keep=True), pool.submit_thumbnail(PHOTO)):
            with pytest.raises(ImageRejected) as caught:
                pending.result(timeout_s=60)
            assert caught.value.limit == "format"
