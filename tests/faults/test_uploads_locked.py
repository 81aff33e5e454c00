"""Another process holds the database's write lock while photos are uploaded, for a second or for eight."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from servers import FakeBackend, FakeDecoder, Running, running
from uploads import Stream, upload

from tagwright.v1 import tagging_service_pb2 as pb

PHOTOS = [b"%d" % n for n in range(30)]
READ_S = 1.0  # a read takes milliseconds; the machine does other things too


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A server on SQLite with its own patience."""
    bundles.write_repository(tmp_path / "models")
    folder = tmp_path / "data"
    with running(tmp_path / "models", backend=FakeBackend(), decoder=FakeDecoder(), data_folder=folder) as serving:
        yield serving


class Lock:
    """The write lock, held from a connection of its own for a while."""

    def __init__(self, folder: Path, held_s: float) -> None:
        self._connection = sqlite3.connect(
            folder / "data" / "tagwright.sqlite3", isolation_level=None, check_same_thread=False
        )
        self._held_s = held_s

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._timer = threading.Timer(self._held_s, self._connection.execute, ["COMMIT"])
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.join()
        self._connection.close()


def _count(server: Running) -> int:
    begun_s = time.monotonic()
    images = server.tagging.ListImages(pb.ListImagesRequest(page_size=500)).images
    assert time.monotonic() - begun_s < READ_S
    return len(images)


def test_a_lock_of_a_second_is_waited_for(server: Running, tmp_path: Path) -> None:
    assert upload(server.channel, [b"99"])[0].tags.image_id
    with Lock(tmp_path, 1.0):
        done = threading.Thread(target=lambda: results.update(upload(server.channel, PHOTOS)))
        results: dict[int, object] = {}
        done.start()
        assert _count(server) == 1
        done.join()
    assert all(result.tags.image_id for result in results.values())  # type: ignore[attr-defined]
    assert _count(server) == 1 + len(PHOTOS)


def test_a_lock_of_eight_seconds_is_a_clear_error_in_time_and_reads_go_on(server: Running, tmp_path: Path) -> None:
    assert upload(server.channel, [b"99"])[0].tags.image_id
    stream = Stream(server.channel)
    stream.hear("pace")
    with Lock(tmp_path, 8.0):
        begun_s = time.monotonic()
        stream.offer(1, b"11")
        stream.hear("need")
        stream.chunks(1, b"11")
        assert _count(server) == 1
        assert stream.hear("pace").wait.ToTimedelta().total_seconds() > 0
        error = stream.hear("result").error
        assert 4.0 < time.monotonic() - begun_s < 7.0  # database_timeout_s is 5
        info, retry = ErrorInfo(), RetryInfo()
        assert sum(detail.Unpack(info) + detail.Unpack(retry) for detail in error.details) == 2
        assert info.reason == "BUSY"
        assert _count(server) == 1
    stream.offer(1, b"11")  # in the same stream
    stream.hear("need")
    stream.chunks(1, b"11")
    assert stream.hear("result").tags.image_id
    stream.finish()
    assert _count(server) == 2
