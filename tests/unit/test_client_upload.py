"""`upload`: lazy, paced by the server, never twice, through broken streams, and clean when it is left."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_tagging
import pytest
from fake_tagging import status
from fake_upload import FakeUpload, Stream

from tagwright.v1 import image_pb2, tag_pb2, upload_pb2
from tagwright.v1.tagging_options_pb2 import TaggingOptions
from tagwright_client import (
    ArgumentInvalid,
    Client,
    ClientClosed,
    DeadlineExceeded,
    ImageRejected,
    InternalError,
    NotFound,
    PhotoUnreadable,
    ScopeMissing,
    ServerUnreachable,
    TokenInvalid,
    UploadPhoto,
    UploadResult,
)
from tagwright_client._upload_stream import THREAD_NAME

WAIT_S = 10
GONE = status(14, "Socket closed")


@pytest.fixture
def fake() -> Iterator[FakeUpload]:
    with fake_tagging.serving(FakeUpload()) as fake:
        assert isinstance(fake, FakeUpload)
        yield fake


@pytest.fixture
def client(fake: FakeUpload) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client
    assert threads() == []


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("tagwright-upload")]


def named(results: list[UploadResult]) -> dict[str, UploadResult]:
    """The results by the bytes of their photos; no photo has two."""
    found = {str(result.photo.photo): result for result in results}
    assert len(found) == len(results)
    assert all((result.tags is None) != (result.error is None) for result in results)
    return found


def photos(count: int) -> list[UploadPhoto]:
    return [UploadPhoto(b"photo %d" % number) for number in range(count)]


def test_photos_are_stored_and_come_back_with_their_tags(client: Client, fake: FakeUpload, tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(b"cat")
    given = UploadPhoto(b"dog", key=("mine", 7))
    results = list(client.upload([given, str(tmp_path / "b.jpg"), tmp_path / "b.jpg"]))
    dog = next(result for result in results if result.photo is given)
    assert dog.tags is not None
    assert [tag.name for tag in dog.tags.tags] == ["dog"]
    assert (dog.photo.key, dog.error, dog.sent_bytes, dog.tags.existing) == (("mine", 7), None, 3, False)
    assert dog.tags.image_id == next(sha256 for sha256, data in fake.stored.items() if data == b"dog")[:32]
    assert dog.tags.timings.total_ms > 0
    assert len(results) == 3
    assert sorted(fake.stored.values()) == [b"cat", b"dog"]
    assert fake.streams[0].ended.wait(WAIT_S)
    assert fake.streams[0].half_closed


def test_what_the_account_has_is_not_sent_again(client: Client, fake: FakeUpload) -> None:
    list(client.upload(photos(3)))
    results = list(client.upload(photos(3)))
    assert [(result.tags is not None and result.tags.existing, result.sent_bytes) for result in results] == [
        (True, 0)
    ] * 3
    assert fake.streams[1].chunk_sizes == []


def test_all_that_is_said_about_photos_and_upload_reaches_the_server(client: Client, fake: FakeUpload) -> None:
    photo = UploadPhoto(b"dog", user_tags=("Rex", "dog"), author="Ada", file_name="rex.jpg")
    list(
        client.upload(
            [photo],
            min_score=0.5,
            model="fake@1",
            visibility="SHARED",
            use_embedded_tags=False,
            user_tag_source="IMPORT",
        )
    )
    assert fake.streams[0].start == upload_pb2.UploadStart(
        options=TaggingOptions(min_score=0.5, model="fake@1"),
        visibility=image_pb2.VISIBILITY_SHARED,
        user_tag_source=tag_pb2.TAG_SOURCE_IMPORT,
    )
    (offer,) = fake.streams[0].offers
    assert (list(offer.user_tags), offer.author, offer.file_name) == (["Rex", "dog"], "Ada", "rex.jpg")
    list(client.upload([b"cat"]))
    assert fake.streams[1].start == upload_pb2.UploadStart(
        options=TaggingOptions(), use_embedded_tags=True, user_tag_source=tag_pb2.TAG_SOURCE_USER
    )


def test_a_photo_that_is_refused_fails_alone(client: Client) -> None:
    results = named(list(client.upload([b"a", b"!truncated", b"c"])))
    refused = results["b'!truncated'"].error
    assert isinstance(refused, ImageRejected)
    assert refused.metadata["limit"] == "truncated"
    assert results["b'a'"].error is None
    assert results["b'c'"].error is None


def test_a_photo_is_offered_again_when_the_server_can_take_it(client: Client, fake: FakeUpload) -> None:
    refused: list[bytes] = []

    def later(stream: Stream, offer: upload_pb2.UploadOffer, data: bytes) -> Any:
        if data not in refused:
            refused.append(data)
            return status(14, "busy", reason="BUSY", retry_after_s=0.02)
        return None

    fake.on_photo = later
    results = list(client.upload(photos(6)))
    assert all(result.error is None for result in results)
    assert [result.sent_bytes for result in results] == [14] * 6
    assert len(fake.streams) == 1
    assert len(fake.streams[0].offers) == 12


@pytest.mark.parametrize(
    ("at", "failure"),
    [
        ("offer", GONE),
        ("photo", GONE),
        ("stored", GONE),
        ("photo", status(1, "the server stops")),
        ("stored", status(4, "nothing came for 60 seconds", reason="DEADLINE_EXCEEDED")),
        ("photo", status(8, "later", reason="OVERLOADED", retry_after_s=0.01)),
        ("stored", None),
    ],
)
def test_a_stream_that_breaks_is_opened_anew_and_nothing_is_lost_or_doubled(
    client: Client, fake: FakeUpload, at: str, failure: Any
) -> None:
    def break_off(stream: Stream) -> None:
        if stream.number < 2 and stream.results >= 1:
            stream.answers.put(failure)

    def on_offer(stream: Stream, offer: upload_pb2.UploadOffer) -> Any:
        break_off(stream) if at == "offer" else None

    def on_photo(stream: Stream, offer: upload_pb2.UploadOffer, data: bytes) -> Any:
        if at == "stored":  # it is kept, and its result is lost
            fake.stored[offer.source_sha256] = data
        break_off(stream)

    fake.on_offer, fake.on_photo = on_offer, on_photo
    results = named(list(client.upload(photos(20))))
    assert len(results) == 20
    assert all(result.error is None for result in results.values())
    assert len(fake.stored) == 20
    assert len(fake.streams) == 3


def test_a_server_that_asks_to_move_on_gets_a_new_stream_after_the_results_of_the_old_one(
    client: Client, fake: FakeUpload
) -> None:
    def on_photo(stream: Stream, offer: upload_pb2.UploadOffer, data: bytes) -> Any:
        if len(fake.stored) in (2, 7):
            stream.move_on()

    fake.on_photo = on_photo
    results = named(list(client.upload(photos(12))))
    assert all(result.error is None and result.sent_bytes < 10 for result in results.values())
    assert len(fake.streams) == 3
    assert all(stream.half_closed and stream.results == len(stream.offers) for stream in fake.streams)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (status(16, "ended", reason="TOKEN_INVALID"), TokenInvalid),
        (status(7, "may not", reason="SCOPE_MISSING"), ScopeMissing),
        (status(5, "no such model", reason="NOT_FOUND"), NotFound),
        (status(3, "wrong", reason="ARGUMENT_INVALID"), ArgumentInvalid),
        (status(13, "a fault", reason="INTERNAL", metadata={"error_id": "e1"}), InternalError),
    ],
)
def test_what_concerns_all_photos_ends_the_upload(
    client: Client, fake: FakeUpload, failure: Any, kind: type[Exception]
) -> None:
    fake.on_open = lambda stream: failure
    with pytest.raises(kind):
        list(client.upload(photos(3)))
    assert len(fake.streams) == 1


def test_a_token_that_ends_meanwhile_ends_the_upload_after_the_results_before_it(
    client: Client, fake: FakeUpload
) -> None:
    fake.photos = 1
    fake.on_photo = lambda stream, offer, data: (
        status(16, "ended", reason="TOKEN_INVALID") if data == b"photo 2" else None
    )
    results = client.upload(photos(5))
    assert [next(results).photo.photo, next(results).photo.photo] == [b"photo 0", b"photo 1"]
    with pytest.raises(TokenInvalid):
        next(results)


def test_results_from_before_the_end_come_also_to_one_who_takes_them_late(client: Client, fake: FakeUpload) -> None:
    fake.photos = 1
    failed = threading.Event()

    def verdict(stream: Any, offer: Any, data: bytes) -> Any:
        if data != b"photo 2":
            return None
        failed.set()
        return status(16, "ended", reason="TOKEN_INVALID")

    fake.on_photo = verdict
    results = client.upload(photos(5))
    assert next(results).photo.photo == b"photo 0"
    assert failed.wait(WAIT_S)
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(WAIT_S)
    assert next(results).photo.photo == b"photo 1"
    with pytest.raises(TokenInvalid):
        next(results)


def test_a_server_that_never_lets_an_upload_get_further_is_given_up(client: Client, fake: FakeUpload) -> None:
    fake.on_open = lambda stream: status(8, "later", reason="OVERLOADED", retry_after_s=0.01)
    with pytest.raises(Exception, match="later"):
        list(client.upload(photos(1), patience_s=0.1))
    assert len(fake.streams) > 1


def test_a_photo_that_breaks_every_stream_does_not_do_so_for_ever(
    client: Client, fake: FakeUpload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagwright_client._upload_run._FIRST_PAUSE_S", 0.001)
    fake.on_offer = lambda stream, offer: stream.fail(GONE)
    with pytest.raises(ServerUnreachable):
        list(client.upload(photos(1)))
    assert len(fake.streams) == 8


def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    url = f"unix:{tmp_path}/s"
    first, second = FakeUpload(), FakeUpload()
    with Client.connect(url) as client:
        with fake_tagging.serving(first, address=url):
            results = client.upload(photos(30))
            seen = [next(results) for _ in range(5)]
        with fake_tagging.serving(second, address=url):
            seen += results
    assert len(named(seen)) == 30
    assert all(result.error is None for result in seen)
    assert len(second.streams) == 1


def test_leaving_the_loop_ends_the_stream_and_the_threads(client: Client, fake: FakeUpload) -> None:
    results = client.upload(UploadPhoto(b"%d" % number) for number in itertools.count())
    next(results)
    results.close()
    assert threads() == []
    assert fake.streams[0].ended.wait(WAIT_S)
    assert not fake.streams[0].half_closed


def test_nothing_happens_before_the_first_result_is_asked_for(client: Client, fake: FakeUpload) -> None:
    def source() -> Iterator[bytes]:
        pytest.fail("read too early")
        yield b""  # type: ignore[unreachable]  # makes it a generator

    client.upload(source()).close()
    assert fake.streams == []


def test_the_source_is_read_only_as_far_as_the_window_goes(client: Client, fake: FakeUpload) -> None:
    taken: list[int] = []

    def source() -> Iterator[UploadPhoto]:
        for number in range(40):
            taken.append(number)
            yield UploadPhoto(b"%d" % number)

    for given_back, _ in enumerate(client.upload(source(), window=3)):
        assert len(taken) <= given_back + 3
    assert len(taken) == 40


def test_an_exception_of_the_source_comes_after_the_results_before_it(client: Client) -> None:
    def source() -> Iterator[UploadPhoto]:
        yield from photos(3)
        raise RuntimeError("the camera fell down")

    results = client.upload(source())
    assert len([next(results) for _ in range(3)]) == 3
    with pytest.raises(RuntimeError, match="the camera fell down"):
        next(results)


def test_no_photos_open_no_stream(client: Client, fake: FakeUpload) -> None:
    assert list(client.upload([])) == []
    assert fake.streams == []


def test_closing_the_client_ends_an_upload(client: Client, fake: FakeUpload) -> None:
    came = threading.Event()

    def hang(stream: Stream, offer: upload_pb2.UploadOffer, data: bytes) -> Any:
        came.set()
        stream.ended.wait(WAIT_S)

    fake.on_photo = hang
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(list, client.upload(photos(1)))
        assert came.wait(WAIT_S)
        client.close()
        with pytest.raises(ClientClosed):
            upload.result(WAIT_S)


def test_the_time_out_is_for_all_of_it(client: Client, fake: FakeUpload) -> None:
    fake.on_photo = lambda stream, offer, data: (stream.ended.wait(WAIT_S), None)[1]
    with pytest.raises(DeadlineExceeded, match="1 photos"):
        list(client.upload(photos(1), timeout_s=0.2))


def test_nobody_there_is_told_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tagwright_client._upload_run._FIRST_PATIENCE_S", 0.3)
    with Client.connect(f"unix:{tmp_path}/none") as client, pytest.raises(ServerUnreachable):
        list(client.upload(photos(1)))


def test_progress_is_one_line_on_standard_error(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    list(client.upload([b"a", b"!truncated"], progress=True))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.endswith("1 failed\n")
    assert shown.err.count("\n") == 1
    assert "2/2 photos" in shown.err


@pytest.mark.parametrize(
    "options", [{"window": 0}, {"visibility": "ALL"}, {"user_tag_source": "MODEL"}, {"include_tags": "dog"}]
)
def test_options_that_make_no_sense_are_refused_at_once(client: Client, options: dict[str, Any]) -> None:
    with pytest.raises((ArgumentInvalid, TypeError)):
        client.upload([b"dog"], **options)


@pytest.mark.parametrize("given", [b"dog", 7, None])
def test_what_is_no_photos_is_a_type_error_at_once(client: Client, given: Any) -> None:
    with pytest.raises(TypeError):
        client.upload(given)


def test_a_photo_that_went_away_meanwhile_fails_alone_and_the_rest_go_on(
    client: Client, fake: FakeUpload, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"dog")

    def gone(stream: Stream, offer: upload_pb2.UploadOffer) -> Any:
        path.unlink(missing_ok=True)

    fake.on_offer = gone
    fake.photos = 2
    results = named(list(client.upload([path, *photos(10)])))
    assert isinstance(results[str(path)].error, PhotoUnreadable)
    assert sum(result.error is None for result in results.values()) == 10
