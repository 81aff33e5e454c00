"""UploadImages: exactly once, at the server's pace, and clear about what is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from clocks import MovedClock
from google.rpc.error_details_pb2 import RetryInfo
from servers import FakeBackend, FakeDecoder, Running, bearer, running
from uploads import Stream, ended, reason_of, upload

from tagwright.v1 import image_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_server.errors import ModelUnavailable, Overloaded

PHOTO = b"90#pier"


@pytest.fixture
def small(repository: Path, backend: FakeBackend, decoder: FakeDecoder) -> Iterator[Running]:
    """A server of small limits, whose network and decoder a test steers."""
    with running(
        repository,
        backend=backend,
        decoder=decoder,
        upload_photos_max=4,
        upload_bytes_max=2048,
        upload_idle_s=0.5,
        photo_bytes_max=4096,
    ) as serving:
        yield serving
        backend.latch.open()
        decoder.latch.open()


def _images(server: Running, **filter: Any) -> list[image_pb2.Image]:
    request = pb.ListImagesRequest(filter=image_pb2.ImageFilter(**filter), page_size=500)
    return list(server.tagging.ListImages(request).images)


def test_photos_are_kept_with_what_was_said_of_them(stored: Running) -> None:
    [result] = upload(
        stored.channel,
        [PHOTO],
        visibility=image_pb2.VISIBILITY_SHARED,
        use_embedded_tags=True,
        said={"user_tags": ["Sunny  Day", "dog"], "author": "Ada", "file_name": "a/b.jpg"},
    ).values()
    assert (bool(result.tags.image_id), result.tags.existing) == (True, False)
    [image] = _images(stored)
    assert (image.id, image.author, image.file_name) == (result.tags.image_id, "Ada", "a/b.jpg")
    assert image.visibility == image_pb2.VISIBILITY_SHARED
    assert image.source_sha256 == hashlib.sha256(PHOTO).hexdigest()
    typed = [tag.name for tag in image.tags if tag.source == tag_pb2.TAG_SOURCE_USER]
    assert sorted(typed) == ["dog", "pier", "sunny day"]
    assert any(tag.source == tag_pb2.TAG_SOURCE_MODEL for tag in image.tags)


def test_what_the_account_has_is_not_asked_for_again_and_gets_the_new_tags(stored: Running) -> None:
    upload(stored.channel, [PHOTO], said={"user_tags": ["old"]})
    stream = Stream(stored.channel)
    stream.hear("pace")
    stream.offer(7, PHOTO, user_tags=["new", "old"])
    result = stream.hear("result")
    stream.finish()
    assert list(stream.call) == []
    assert (result.offer_id, result.tags.existing) == (7, True)
    [image] = _images(stored)
    assert {"old", "new"} <= {tag.name for tag in image.tags}


def test_another_account_has_to_send_the_bytes_although_they_are_kept(stored: Running) -> None:
    upload(stored.channel, [PHOTO])
    other = bearer(stored.sign_in("mallory"))
    stream = Stream(stored.stranger, metadata=other)
    stream.hear("pace")
    stream.offer(1, PHOTO)
    assert list(stream.hear("need").offer_ids) == [1]
    stream.chunks(1, PHOTO)
    result = stream.hear("result")
    stream.finish()
    assert not result.tags.existing
    images = _images(stored)
    assert [image.owner for image in images] == ["mallory", "admin"]
    assert len({image.content_sha256 for image in images}) == 1


def test_a_hundred_photos_in_any_order_end_with_one_result_each(stored: Running) -> None:
    photos = {id: b"%d#n%d" % (id % 100, id) for id in range(100)}
    stream = Stream(stored.channel)
    pace = stream.hear("pace")
    waiting, offered = list(photos), 0
    results: dict[int, str] = {}
    while len(results) < len(photos):
        while waiting and offered - len(results) < pace.photos_in_flight_max:
            id = waiting.pop()
            stream.offer(id, photos[id])
            offered += 1
        message = next(stream.call)
        for id in message.need.offer_ids:
            stream.chunks(id, photos[id], size=3)
        if message.WhichOneof("message") == "result":
            results[message.result.offer_id] = message.result.tags.image_id
    stream.finish()
    assert list(stream.call) == []
    assert sorted(image.id for image in _images(stored)) == sorted(results.values())
    assert len(set(results.values())) == 100


def test_the_same_photo_twice_in_one_stream_is_one_photo(stored: Running) -> None:
    results = upload(stored.channel, [PHOTO, PHOTO, PHOTO])
    assert len({result.tags.image_id for result in results.values()}) == 1
    assert len(_images(stored)) == 1


def test_a_bad_photo_fails_alone(stored: Running) -> None:
    results = upload(stored.channel, [b"10", b"not a number", b"20"])
    assert [results[index].WhichOneof("result") for index in range(3)] == ["tags", "error", "tags"]
    assert len(_images(stored)) == 2


@pytest.mark.parametrize(
    ("said", "reason", "where"),
    [
        ({"size_bytes": 0}, "IMAGE_REJECTED", ""),
        ({"size_bytes": 5000}, "IMAGE_REJECTED", ""),
        ({"user_tags": [""]}, "ARGUMENT_INVALID", "offer.user_tags[0]"),
        ({"user_tags": ["a", "b" * 129]}, "ARGUMENT_INVALID", "offer.user_tags[1]"),
        ({"user_tags": ["tag"] * 257}, "ARGUMENT_INVALID", "offer.user_tags"),
        ({"author": "x" * 257}, "ARGUMENT_INVALID", "author"),
        ({"file_name": "x\0.jpg"}, "ARGUMENT_INVALID", "file_name"),
    ],
)
def test_what_is_wrong_with_one_offer_ends_that_one_only(
    small: Running, said: dict[str, Any], reason: str, where: str
) -> None:
    stream = Stream(small.channel)
    stream.hear("pace")
    stream.offer(1, PHOTO, **said)
    error = stream.hear("result").error
    assert reason_of(error) == reason
    assert error.message.startswith(where)
    stream.offer(1, PHOTO)  # its number is free again
    stream.hear("need")
    stream.chunks(1, PHOTO)
    assert stream.hear("result").tags.image_id
    stream.finish()


def test_bytes_that_are_not_those_offered_are_not_kept(small: Running) -> None:
    stream = Stream(small.channel)
    stream.hear("pace")
    stream.offer(1, PHOTO)
    stream.hear("need")
    stream.chunks(1, PHOTO[:-1] + b"?")
    assert reason_of(stream.hear("result").error) == "ARGUMENT_INVALID"
    stream.finish()
    assert list(stream.call) == []
    assert _images(small) == []


def test_a_stream_in_which_nothing_comes_is_ended(small: Running) -> None:
    stream = Stream(small.channel)
    stream.hear("pace")
    code, reason, _ = ended(stream)
    assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


def test_a_photo_that_the_model_cannot_look_at_may_be_offered_again(small: Running, backend: FakeBackend) -> None:
    backend.error = ModelUnavailable("gone", retry_after_s=3.0)
    stream = Stream(small.channel)
    stream.hear("pace")
    stream.offer(1, PHOTO)
    stream.hear("need")
    stream.chunks(1, PHOTO)
    assert stream.hear("pace").wait.seconds == 3
    error = stream.hear("result").error
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in error.details)
    assert (reason_of(error), retry.retry_delay.seconds) == ("MODEL_UNAVAILABLE", 3)
    backend.error = None
    stream.offer(1, PHOTO)
    stream.hear("need")
    stream.chunks(1, PHOTO)
    assert stream.hear("result").tags.image_id
    stream.finish()


def test_where_the_server_is_busy_the_photos_wait_and_the_client_slows_down(
    small: Running, backend: FakeBackend
) -> None:
    backend.error = Overloaded("busy", retry_after_s=0.05)
    stream = Stream(small.channel)
    stream.hear("pace")
    stream.offer(1, PHOTO)
    stream.hear("need")
    stream.chunks(1, PHOTO)
    assert stream.hear("pace").wait.nanos > 0
    backend.error = None
    kinds = []
    for message in stream.call:
        kinds.append(message.WhichOneof("message"))
        if kinds[-1] == "result":
            stream.finish()
    assert kinds[-1] == "result"


def test_a_fault_of_ours_ends_the_stream_without_a_word_about_it(small: Running, backend: FakeBackend) -> None:
    backend.error = RuntimeError("secret path")
    stream = Stream(small.channel)
    stream.offer(1, PHOTO)
    stream.hear("pace")
    stream.hear("need")
    stream.chunks(1, PHOTO)
    code, reason, text = ended(stream)
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in text


def test_a_session_that_ends_meanwhile_ends_the_upload(small: Running, decoder: FakeDecoder) -> None:
    token = small.sign_in("leaver")
    stream = Stream(small.stranger, metadata=bearer(token))
    stream.hear("pace")
    decoder.latch.close()
    stream.offer(1, PHOTO)
    stream.hear("need")
    stream.chunks(1, PHOTO)
    decoder.latch.await_arrivals()
    account = small.app.data.store.accounts.find("leaver")
    assert account is not None
    small.app.data.store.accounts.delete(account.id)
    decoder.latch.open()
    assert ended(stream)[:2] == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert _images(small) == []


def test_an_account_over_its_quota_is_told_before_it_sends_anything(repository: Path) -> None:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), account_photos_max=1) as server:
        metadata = bearer(server.sign_in("collector"))
        assert upload(server.stranger, [b"1"], metadata=metadata)[0].tags.image_id
        stream = Stream(server.stranger, metadata=metadata)
        stream.hear("pace")
        stream.offer(1, b"2")
        assert reason_of(stream.hear("result").error) == "QUOTA_EXCEEDED"
        stream.offer(2, b"1")  # what it has costs nothing
        assert stream.hear("result").tags.existing
        stream.finish()
        both = upload(server.channel, [b"3", b"4"])  # administrators have none
        assert all(result.tags.image_id for result in both.values())


def test_two_that_come_at_once_and_have_room_for_one_are_one(repository: Path) -> None:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), account_photos_max=1) as server:
        metadata = bearer(server.sign_in("collector"))
        results = upload(server.stranger, [b"1", b"2"], metadata=metadata)
        assert {result.WhichOneof("result") for result in results.values()} == {"error", "tags"}


def test_more_uploads_than_there_are_places_are_refused(repository: Path) -> None:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), uploads_max=1) as server:
        first = Stream(server.channel)
        first.hear("pace")
        assert ended(Stream(server.channel))[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        first.finish()
        assert list(first.call) == []


def test_a_stream_that_is_old_is_asked_to_move_on_and_ends_well(repository: Path) -> None:
    with running(
        repository, backend=FakeBackend(), decoder=FakeDecoder(), stream_age_max_s=0.2, call_timeout_s=10
    ) as server:
        stream = Stream(server.channel)
        stream.hear("pace")
        stream.offer(1, PHOTO)
        stream.hear("need")
        stream.hear("move_on")
        stream.chunks(1, PHOTO)  # what was offered is still taken
        assert stream.hear("result").tags.image_id
        stream.finish()
        assert list(stream.call) == []


def test_a_server_that_stops_lets_uploads_end_well(repository: Path, clock: MovedClock) -> None:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), clock=clock) as server:
        stream = Stream(server.channel)
        stream.hear("pace")
        stream.offer(1, PHOTO)
        stream.hear("need")
        server.app.uploads.stop()
        stream.hear("move_on")
        stream.chunks(1, PHOTO)
        assert stream.hear("result").tags.image_id
        stream.finish()
        assert list(stream.call) == []
        late = Stream(server.channel)
        assert [late.hear("pace"), late.hear("move_on")]
        late.finish()


def test_a_client_that_hangs_up_leaves_nothing_behind(small: Running, decoder: FakeDecoder) -> None:
    decoder.latch.close()
    stream = Stream(small.channel)
    stream.offer(1, PHOTO)
    stream.hear("pace")
    stream.hear("need")
    stream.chunks(1, PHOTO)
    decoder.latch.await_arrivals()
    stream.call.cancel()
    assert decoder.cancelled.acquire(timeout=10)
    decoder.latch.open()
    results = upload(small.channel, [b"5"])
    assert results[0].tags.image_id
    assert len(_images(small)) == 1
