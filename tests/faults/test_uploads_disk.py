"""The disk gets full while photos are uploaded: that of the photos, and that of the database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from disks import MIB, fill, small_disk
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from processes import ends_saying
from servers import FakeBackend, FakeDecoder, Running, failure_of, photo, running
from uploads import upload

from tagwright.v1 import tagging_service_pb2 as pb

__all__ = ["small_disk"]  # the fixture

LARGE = [b"%d#" % n + b"x" * 300_000 for n in range(10)]
MANY_TAGS = {"user_tags": [f"{n:03} {'long ' * 24}" for n in range(250)]}


@pytest.fixture(params=["photos", "database"])
def crowded(
    request: pytest.FixtureRequest, small_disk: Path, tmp_path: Path
) -> Iterator[tuple[Running, Path, dict[str, Any]]]:
    """A server whose photos, or whose database, are on a disk that is nearly full; what fills it; its folders."""
    bundles.write_repository(tmp_path / "models")
    folders: dict[str, Any] = {"data_folder": tmp_path / "data"}
    if request.param == "photos":
        folders["photos_folder"] = small_disk / "photos"
    else:
        folders["database"] = f"sqlite://{small_disk}/store.db"
    with running(tmp_path / "models", backend=FakeBackend(), decoder=FakeDecoder(), **folders) as server:
        assert upload(server.channel, [b"55"])[0].tags.image_id
        yield server, fill(small_disk, but_bytes=MIB), folders


def _count(server: Running) -> int:
    return len(server.tagging.ListImages(pb.ListImagesRequest(page_size=500)).images)


def test_a_full_disk_refuses_new_photos_and_takes_them_once_there_is_room(
    crowded: tuple[Running, Path, dict[str, Any]],
) -> None:
    server, ballast, folders = crowded
    stored: set[str] = set()  # ids
    photos = [*LARGE, *(b"%d#more" % n for n in range(90))]
    for turn in range(20):  # the pages of a database are filled up bit by bit
        results = upload(server.channel, [data + b"%d" % turn for data in photos[:40]], said=MANY_TAGS)
        stored |= {result.tags.image_id for result in results.values() if result.tags.image_id}
        errors = [result.error for result in results.values() if result.WhichOneof("result") == "error"]
        if errors:
            break
    else:
        pytest.fail("it never got full")
    for error in errors:
        info, retry = ErrorInfo(), RetryInfo()
        assert sum(detail.Unpack(info) + detail.Unpack(retry) for detail in error.details) == 2
        assert info.reason == "STORAGE_FULL"
    assert _count(server) == 1 + len(stored)  # reads go on, and nothing is half there
    large = b"66#" + os.urandom(600_000).hex().encode()
    request = pb.TagImageRequest(image=large, store=True, user_tags=[*MANY_TAGS["user_tags"], "one more"])
    assert failure_of(server.tagging.TagImage, request).info.reason == "STORAGE_FULL"
    assert server.tagging.TagImage(photo(b"66")).tags.model_version  # what is not kept takes no room
    ballast.unlink()
    again = upload(server.channel, [data + b"%d" % turn for data in photos[:40]], said=MANY_TAGS)
    assert all(result.tags.image_id for result in again.values())
    assert server.tagging.TagImage(request).tags.image_id
    server.app.housekeeping.sweep()
    flags = [word for name, value in folders.items() for word in (f"--{name.replace('_', '-')}", value)]
    code, said, why = ends_saying("check", *flags)
    assert code == 0, said + why
