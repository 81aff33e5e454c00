"""Zip files of photos, harmless and hostile: what is stored, what is refused and why, and what happens in between."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

import fake_tagging
import pytest
from fake_tagging import status
from fake_upload import FakeUpload
from zipped import packed, photos

from tagwright_client import (
    Client,
    ImageRejected,
    PhotoTags,
    PhotoUnreadable,
    ServerUnreachable,
    TagwrightError,
    Timings,
    TokenInvalid,
    UploadPhoto,
    UploadResult,
)
from tagwright_web.archives import Archives, Options, Seen, Who
from tagwright_web.failures import Failure
from tagwright_web.zips import ArchiveRefused

WAIT_S = 10
ADA = Who("ada", "token-of-ada", "192.0.2.1")
EVE = Who("eve", "token-of-eve", "192.0.2.2")
TAGS = PhotoTags((), "fake@1", 1, 1, "JPEG", (), Timings(1, 1, 1, 4))


class FakeClient:
    """What `upload` does, photo by photo: `b"bad"` is refused, what was stored before is there already."""

    def __init__(self, server: Server, token: str | None) -> None:
        self._server = server
        self._token = token
        self.closed = threading.Event()

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed.set()

    def upload(self, photos: Iterable[UploadPhoto], **options: Any) -> Iterator[UploadResult]:
        self._server.options.append(options)
        for photo in photos:
            self._server.before(self)
            if self._token in self._server.ended:
                raise TokenInvalid("the session has ended")
            self._server.photos.append(photo)
            yield self._result(photo)

    def _result(self, photo: UploadPhoto) -> UploadResult:
        assert callable(photo.photo)
        try:
            data = photo.photo()
        except Exception as err:
            unreadable = PhotoUnreadable("cannot read the photo")
            unreadable.__cause__ = err
            return UploadResult(photo, None, unreadable, 0)
        if data == b"bad":
            return UploadResult(photo, None, ImageRejected("no photo"), 0)
        existing = data in self._server.stored
        self._server.stored[data] = self._token
        tags = PhotoTags(**{**{name: getattr(TAGS, name) for name in TAGS.__slots__}, "existing": existing})
        return UploadResult(photo, tags, None, len(data))


class Server:
    """What is stored, by whose token, and what happens before each photo."""

    def __init__(self) -> None:
        self.stored: dict[bytes, str | None] = {}
        self.photos: list[UploadPhoto] = []
        self.options: list[dict[str, Any]] = []
        self.ended: set[str | None] = set()
        self.before: Callable[[FakeClient], object] = lambda client: None

    def connect(self, token: str | None, address: str | None) -> Client:
        return cast(Client, FakeClient(self, token))


@pytest.fixture
def server() -> Server:
    return Server()


@contextmanager
def opened(server: Server, **options: Any) -> Iterator[Archives]:
    archives = Archives(server.connect, **options)
    try:
        yield archives
    finally:
        archives.close()


@pytest.fixture
def archives(server: Server) -> Iterator[Archives]:
    with opened(server) as archives:
        yield archives


@contextmanager
def spooled(data: bytes) -> Iterator[BinaryIO]:
    """A file of a form; it is closed when the form has been answered."""
    with SpooledTemporaryFile(max_size=1024) as file:
        file.write(data)
        file.seek(0)
        yield cast(BinaryIO, file)


def begin(archives: Archives, file: io.BytesIO, options: Options | None = None, who: Who = ADA) -> str:
    with spooled(file.getvalue()) as form:
        return archives.begin(form, "holiday.zip", options or Options(), who)


def awaited(archives: Archives, id: str, fits: Callable[[Seen], object] = lambda seen: not seen.active) -> Seen:
    give_up_s = time.monotonic() + WAIT_S
    while not fits(seen := archives.get(id)):
        assert time.monotonic() < give_up_s, seen
        time.sleep(0.005)
    return seen


def stored(archives: Archives, file: io.BytesIO, options: Options | None = None) -> Seen:
    return awaited(archives, begin(archives, file, options))


def test_all_photos_of_a_zip_file_are_stored_with_what_is_said_of_them(archives: Archives, server: Server) -> None:
    said = Options(tags=("holiday", "Mia"), author="Ada", shared=True, embedded=False)
    seen = stored(archives, packed({"album/one.jpg": b"1", "two.JPEG": b"2", "3.png": b"3", "4.webp": b"4"}), said)
    assert (seen.state, seen.kept, seen.existing, seen.failed, seen.left) == ("DONE", 4, 0, 0, 0)
    assert server.stored == dict.fromkeys((b"1", b"2", b"3", b"4"), ADA.token)
    assert [photo.file_name for photo in server.photos] == ["one.jpg", "two.JPEG", "3.png", "4.webp"]
    assert {(photo.user_tags, photo.author) for photo in server.photos} == {(("holiday", "Mia"), "Ada")}
    assert server.options == [{"visibility": "SHARED", "use_embedded_tags": False}]


def test_the_same_zip_file_again_stores_nothing_twice(archives: Archives) -> None:
    assert stored(archives, packed(photos(3))).kept == 3
    again = stored(archives, packed(photos(3)))
    assert (again.kept, again.existing) == (0, 3)


def test_two_entries_of_one_name_are_two_photos(archives: Archives, server: Server) -> None:
    assert stored(archives, packed([("a.jpg", b"1"), ("a.jpg", b"2")])).kept == 2
    assert set(server.stored) == {b"1", b"2"}


def test_what_is_no_photo_is_passed_over_and_counted(archives: Archives, server: Server) -> None:
    entries = {
        "a.jpg": b"1",
        "b/": b"",
        "readme.txt": b"",
        "inner.zip": b"PK",
        "x.tar.gz": b"",
        "__MACOSX/._a.jpg": b"",
    }
    contents = stored(archives, packed(entries | {".hidden.jpg": b"", ".git/a.png": b"", "b\\.c.jpg": b""})).contents
    assert (contents.photos, contents.other, contents.archives, contents.hidden) == (1, 1, 2, 4)
    assert set(server.stored) == {b"1"}


def test_names_that_lead_elsewhere_lead_nowhere(archives: Archives, server: Server, tmp_path: Path) -> None:
    names = ["../../up.jpg", "/etc/abs.jpg", "C:\\win\\back.jpg", "<script>alert(1)</script>.jpg", "a\x1b[2J\u202e.jpg"]
    seen = stored(archives, packed(dict.fromkeys(names, b"bad")))
    assert [name for name, _ in seen.failures] == [
        "../../up.jpg",
        "/etc/abs.jpg",
        "C:\\win\\back.jpg",
        "<script>alert(1)</script>.jpg",
        "a�[2J�.jpg",
    ]
    assert [photo.file_name for photo in server.photos] == [
        "up.jpg",
        "abs.jpg",
        "back.jpg",
        "script>.jpg",
        "a�[2J�.jpg",
    ]


def test_a_photo_that_is_refused_fails_alone_and_can_be_tried_again(archives: Archives, server: Server) -> None:
    seen = stored(archives, packed({"a.jpg": b"1", "b.jpg": b"bad", "c.jpg": b"3"}))
    assert (seen.state, seen.kept, seen.failed) == ("DONE", 2, 1)
    assert seen.failures == (("b.jpg", "This photo was not taken: no photo"),)
    archives.go_on(seen.id, ADA, failed_too=True)
    again = awaited(archives, seen.id)
    assert (again.kept, again.failed, len(server.photos)) == (2, 1, 4)


@pytest.mark.parametrize("data", [b"", b"hello" * 100, b"\x89PNG\r\n\x1a\n" + bytes(64), b"7z\xbc\xaf\x27\x1c"])
def test_what_is_no_zip_file_is_refused(archives: Archives, data: bytes) -> None:
    with pytest.raises(ArchiveRefused, match="not a zip file"):
        begin(archives, io.BytesIO(data))
    assert archives.seen() == []


def test_a_zip_file_that_ends_too_soon_is_refused(archives: Archives, server: Server) -> None:
    whole = packed(photos(50)).getvalue()
    for end in range(4, len(whole) - 1, 97):
        with pytest.raises(ArchiveRefused, match="incomplete or damaged"):
            begin(archives, io.BytesIO(whole[:end]))
    assert server.photos == []


def test_a_zip_file_without_photos_is_refused(archives: Archives) -> None:
    for entries in ({}, {"a.txt": b"x"}, {".a.jpg": b"x"}):
        with pytest.raises(ArchiveRefused, match="no photo"):
            begin(archives, packed(entries))


def test_bytes_that_were_changed_cost_their_photo_alone_or_the_zip_file_is_refused(archives: Archives) -> None:
    whole = packed({f"{number}.jpg": bytes([65 + number]) * 40 for number in range(5)}, zipfile.ZIP_DEFLATED).getvalue()
    outcomes = set()
    for position in range(0, len(whole), 3):
        data = bytearray(whole)
        data[position] ^= 0xFF
        try:
            seen = stored(archives, io.BytesIO(bytes(data)))
        except ArchiveRefused:
            outcomes.add("refused")
            continue
        assert seen.state == "DONE"
        assert seen.done == seen.contents.photos
        outcomes.add("failed" if seen.failed else "stored")
        archives.dismiss(seen.id)
    assert outcomes == {"refused", "failed", "stored"}


def test_a_session_that_ends_in_the_middle_is_waited_for(archives: Archives, server: Server) -> None:
    def end_after_two(client: FakeClient) -> None:
        if len(server.photos) == 2:
            server.ended.add(ADA.token)

    server.before = end_after_two
    seen = stored(archives, packed(photos(5)))
    assert (seen.state, seen.kept, seen.left) == ("SIGNED_OUT", 2, 3)
    archives.go_on(seen.id, EVE)
    again = awaited(archives, seen.id)
    assert (again.state, again.kept, again.left) == ("DONE", 5, 0)
    assert list(server.stored.values()) == [ADA.token] * 2 + [EVE.token] * 3
    assert len(server.photos) == 5  # none was tried twice


def test_what_ends_all_photos_is_told_and_gone_on_with(archives: Archives, server: Server) -> None:
    def unreachable(client: FakeClient) -> None:
        raise ServerUnreachable("nobody answers")

    server.before = unreachable
    seen = stored(archives, packed(photos(2)))
    assert (seen.state, seen.left) == ("BROKEN", 2)
    assert seen.trouble is not None
    assert seen.trouble.heading == "The server cannot be reached"
    server.before = lambda client: None
    archives.go_on(seen.id, ADA)
    assert awaited(archives, seen.id).kept == 2


def test_a_fault_of_ours_ends_the_upload_and_not_its_thread(archives: Archives, server: Server) -> None:
    def fault(client: FakeClient) -> None:
        raise ZeroDivisionError

    server.before = fault
    assert stored(archives, packed(photos(2))).state == "BROKEN"
    server.before = lambda client: None
    assert stored(archives, packed(photos(2))).state == "DONE"


def test_an_upload_can_be_stopped_and_gone_on_with(archives: Archives, server: Server) -> None:
    passing = threading.Semaphore(2)
    server.before = lambda client: passing.acquire(timeout=WAIT_S)
    id = begin(archives, packed(photos(6)))
    awaited(archives, id, lambda seen: seen.done == 2)
    archives.stop(id)
    assert archives.get(id).stopping
    with pytest.raises(Failure, match="Stop this upload first"):
        archives.dismiss(id)
    passing.release(10)
    seen = awaited(archives, id)
    assert (seen.state, seen.kept) == ("STOPPED", 3)  # what was on its way arrived
    archives.go_on(id, ADA)
    assert awaited(archives, id).kept == 6
    assert len(server.photos) == 6


def test_two_run_at_once_and_the_others_wait(archives: Archives, server: Server) -> None:
    go = threading.Event()
    server.before = lambda client: go.wait(WAIT_S)
    ids = [begin(archives, packed({f"{number}.jpg": b"%d" % number})) for number in range(3)]
    for id in ids[:2]:
        awaited(archives, id, lambda seen: seen.state == "RUNNING")
    assert archives.get(ids[2]).state == "WAITING"
    archives.stop(ids[2])
    assert archives.get(ids[2]).state == "STOPPED"
    go.set()
    assert [awaited(archives, id).state for id in ids] == ["DONE", "DONE", "STOPPED"]


def test_the_latest_upload_comes_first_and_a_dismissed_one_is_gone(archives: Archives) -> None:
    first, second = (stored(archives, packed(photos(1))).id for _ in range(2))
    assert [seen.id for seen in archives.seen()] == [second, first]
    archives.dismiss(second)
    assert [seen.id for seen in archives.seen()] == [first]
    for asked in (archives.get, archives.stop, archives.dismiss):
        with pytest.raises(Failure, match="stores none of them twice"):
            asked(second)


def test_no_more_than_some_zip_files_are_kept(archives: Archives) -> None:
    for _ in range(20):
        stored(archives, packed(photos(1)))  # read to the end: its file is closed
    ids = [begin(archives, packed({"a.jpg": b"bad"})) for _ in range(16)]
    for id in ids:
        awaited(archives, id)
    assert archives.full
    with pytest.raises(Failure, match="Dismiss one first"):
        begin(archives, packed(photos(1)))
    archives.dismiss(ids[0])
    stored(archives, packed(photos(1)))


def test_of_uploads_that_are_done_the_latest_hundred_are_told(archives: Archives) -> None:
    ids = [stored(archives, packed(photos(1))).id for _ in range(103)]
    assert [seen.id for seen in archives.seen()] == ids[:2:-1]


def test_an_upload_is_forgotten_when_its_time_is_over(server: Server) -> None:
    with opened(server, kept_s=0.2) as archives:
        id = begin(archives, packed({"a.jpg": b"bad"}))
        give_up_s = time.monotonic() + WAIT_S
        while any(seen.id == id for seen in archives.seen()):
            assert time.monotonic() < give_up_s
            time.sleep(0.01)


def test_closing_ends_what_runs(server: Server) -> None:
    def until_closed(client: FakeClient) -> None:
        assert client.closed.wait(WAIT_S)
        raise TagwrightError("closed")

    server.before = until_closed
    archives = Archives(server.connect, at_once=1)
    ids = [begin(archives, packed(photos(2))) for _ in range(2)]
    awaited(archives, ids[0], lambda seen: seen.state == "RUNNING")
    archives.close()
    assert archives.seen() == []
    with pytest.raises(Failure, match="shut down"):
        begin(archives, packed(photos(1)))


def test_no_token_shows(server: Server) -> None:
    assert "token-of-ada" not in repr(ADA)


def test_the_client_itself_stores_them_and_tells_our_reasons() -> None:
    entries = {"a.jpg": b"dog", "b.jpg": b"cat", "c.jpg": b"!truncated", "d.jpg": bytes(3_000_000)}
    with fake_tagging.serving(FakeUpload()) as fake:
        assert isinstance(fake, FakeUpload)
        archives = Archives(lambda token, address: Client.connect(fake.url, token=token))
        try:
            seen = stored(archives, packed(entries, zipfile.ZIP_DEFLATED))
            assert (seen.state, seen.kept, seen.failed) == ("DONE", 2, 2)
            assert sorted(fake.stored.values()) == [b"cat", b"dog"]
            assert dict(seen.failures)["d.jpg"].startswith("It would unpack")
            assert "This photo was not taken" in dict(seen.failures)["c.jpg"]
            fake.on_open = lambda stream: status(16, "over", reason="TOKEN_INVALID")
            assert stored(archives, packed({"e.jpg": b"owl"})).state == "SIGNED_OUT"
        finally:
            archives.close()
