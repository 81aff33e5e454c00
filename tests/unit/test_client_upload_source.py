"""What an upload makes of folders, paths, bytes and callables, and how it copes with files that change under it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_tagging
import pytest
from fake_upload import FakeUpload, Stream

from tagwright.v1 import upload_pb2
from tagwright_client import ArgumentInvalid, Client, ImageRejected, PhotoUnreadable, UploadPhoto, UploadResult
from tagwright_client._upload_source import photos_of, prepare


@pytest.fixture
def fake() -> Iterator[FakeUpload]:
    with fake_tagging.serving(FakeUpload()) as fake:
        assert isinstance(fake, FakeUpload)
        yield fake


@pytest.fixture
def client(fake: FakeUpload) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


def only(results: Iterator[UploadResult]) -> UploadResult:
    (result,) = results
    return result


def test_a_folder_is_gone_through_in_the_order_of_names_photos_only(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/z.jpeg", "a/c.webp", "c.jpg", "notes.txt", ".hidden.jpg", ".trash/d.jpg", "a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    for given in (tmp_path, str(tmp_path)):
        found, total = photos_of(given)
        names = [os.path.relpath(str(photo.photo), tmp_path) for photo in found]
        assert names == ["a/c.webp", "a/z.jpeg", "a.jpg", "b.PNG", "c.jpg"]
        assert total is None


def test_a_folder_is_read_only_as_far_as_it_is_gone_through(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"x")
    (tmp_path / "b").mkdir()
    found, _ = photos_of(tmp_path)
    next(found)
    (tmp_path / "b" / "2.jpg").write_bytes(b"x")
    assert os.path.basename(str(next(found).photo)) == "2.jpg"


def test_a_folder_that_cannot_be_read_is_not_passed_over_in_silence(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"dog")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    results = {os.path.basename(str(result.photo.photo)): result for result in client.upload(tmp_path)}
    assert results["a.jpg"].error is None
    assert isinstance(results["locked"].error, PhotoUnreadable)


def test_one_file_is_one_photo_and_a_missing_one_says_so(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"dog")
    assert only(client.upload(tmp_path / "a.jpg")).error is None
    assert isinstance(only(client.upload(tmp_path / "none")).error, PhotoUnreadable)


def test_a_path_gives_its_name_and_everything_else_none(client: Client, fake: FakeUpload, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.jpg")  # no UTF-8
    path.write_bytes(b"dog")
    list(client.upload([path, b"cat", UploadPhoto(path, file_name="")]))
    assert sorted(offer.file_name for offer in fake.streams[0].offers) == ["", "", "caf?.jpg"]


def test_a_photo_with_a_known_digest_is_not_read_unless_it_is_needed(client: Client, fake: FakeUpload) -> None:
    calls: list[int] = []

    def data() -> bytes:
        calls.append(1)
        return b"dog"

    known = UploadPhoto(data, sha256=hashlib.sha256(b"dog").hexdigest().upper(), size_bytes=3)
    assert calls == []
    assert only(client.upload([known])).error is None
    assert len(calls) == 1
    again = only(client.upload([known]))
    assert again.tags is not None
    assert again.tags.existing
    assert len(calls) == 1


@pytest.mark.parametrize("known", [{}, {"size_bytes": 3}, {"sha256": hashlib.sha256(b"dog").hexdigest()}])
def test_what_is_not_known_of_a_photo_is_found_out(tmp_path: Path, known: dict[str, Any]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"dog")
    for source in (tmp_path / "a.jpg", b"dog", lambda: b"dog"):
        entry = prepare(UploadPhoto(source, **known))
        assert (entry.sha256, entry.size_bytes) == (hashlib.sha256(b"dog").hexdigest(), 3)


def rewritten(path: Path, contents: list[bytes]) -> Callable[[Stream, upload_pb2.UploadOffer], None]:
    """A behaviour in which each offer finds the file with other contents a moment later."""

    def on_offer(stream: Stream, offer: upload_pb2.UploadOffer) -> None:
        if contents:
            path.write_bytes(contents.pop(0))

    return on_offer


@pytest.mark.parametrize("later", [b"cat", b"horse"])
def test_a_file_that_changed_is_stored_as_it_is_now(
    client: Client, fake: FakeUpload, tmp_path: Path, later: bytes
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"dog")
    fake.on_offer = rewritten(path, [later])
    assert only(client.upload([path])).error is None
    assert list(fake.stored.values()) == [later]


def test_a_file_that_keeps_changing_fails_and_nothing_wrong_was_sent(
    client: Client, fake: FakeUpload, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"dog")
    fake.on_offer = rewritten(path, [b"cat", b"horse"])
    result = only(client.upload([path]))
    assert isinstance(result.error, PhotoUnreadable)
    assert result.sent_bytes == 0
    assert fake.stored == {}


@pytest.mark.parametrize("fault", [RuntimeError("the archive is torn"), OSError("gone")])
def test_a_callable_that_fails_fails_its_photo_alone(client: Client, fault: Exception) -> None:
    def torn() -> bytes:
        raise fault

    known = UploadPhoto(torn, sha256="0" * 64, size_bytes=3)
    results = {result.photo: result for result in client.upload([UploadPhoto(torn, key=1), known, b"dog"])}
    errors = [result.error for result in results.values() if result.error is not None]
    assert len(errors) == 2
    assert all(isinstance(error, PhotoUnreadable) and error.__cause__ is fault for error in errors)


def test_a_callable_that_returns_no_bytes_fails_its_photo(client: Client) -> None:
    result = only(client.upload([UploadPhoto(lambda: "text")]))  # type: ignore[arg-type,return-value]
    assert isinstance(result.error, PhotoUnreadable)


def test_a_file_over_the_message_limit_is_not_offered(client: Client, fake: FakeUpload, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    assert isinstance(only(client.upload([path])).error, ImageRejected)
    assert isinstance(
        only(client.upload([UploadPhoto(path, sha256="0" * 64, size_bytes=65 << 20)])).error, ImageRejected
    )
    assert fake.streams == []


@pytest.mark.parametrize(
    "photo",
    [
        UploadPhoto(b"dog", sha256="abc"),
        UploadPhoto(b"dog", size_bytes=-1, sha256="0" * 64),
        UploadPhoto(b"dog", author="\udcff"),
        UploadPhoto(b"dog", user_tags=("\udcff",)),
        UploadPhoto(b"dog", file_name="\udcff"),
    ],
)
def test_what_cannot_be_said_of_a_photo_fails_it_alone(client: Client, photo: UploadPhoto) -> None:
    results = {result.photo: result for result in client.upload([photo, UploadPhoto(b"cat")])}
    assert isinstance(results[photo].error, ArgumentInvalid)
    assert sum(result.error is None for result in results.values()) == 1


@pytest.mark.parametrize("wrong", [7, None, UploadPhoto(7), UploadPhoto(b"dog", user_tags="dog")])  # type: ignore[arg-type]
def test_what_is_no_photo_by_its_type_is_a_type_error(client: Client, wrong: Any) -> None:
    with pytest.raises(TypeError):
        list(client.upload([wrong]))
