"""UploadImages: whoever breaks the rules of the contract is told and cut off, and nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from servers import FakeBackend, FakeDecoder, Running, running
from uploads import Stream, ended, upload

from tagwright.v1 import tag_pb2, upload_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_options_pb2 import TaggingOptions

PHOTO = b"90#pier"


@pytest.fixture
def small(repository: Path, backend: FakeBackend, decoder: FakeDecoder) -> Iterator[Running]:
    """A server of small limits, whose network and decoder a test steers."""
    limits: dict[str, Any] = {"upload_photos_max": 4, "upload_bytes_max": 2048, "photo_bytes_max": 4096}
    with running(repository, backend=backend, decoder=decoder, **limits) as serving:
        yield serving
        backend.latch.open()
        decoder.latch.open()


def _offers_five(stream: Stream) -> None:
    for id in range(5):
        stream.offer(id, b"%d" % id)


def _offers_a_number_twice(stream: Stream) -> None:
    stream.offer(1, b"1")
    stream.offer(1, b"2")


def _sends_unasked(stream: Stream) -> None:
    stream.chunks(3, b"3")


def _sends_too_much(stream: Stream) -> None:
    stream.offer(1, PHOTO)
    stream.chunks(1, PHOTO + b"!")


def _sends_a_large_piece(stream: Stream) -> None:
    stream.send(chunk=upload_pb2.UploadChunk(offer_id=1, data=bytes(64 * 1024 + 1)))


def _sends_a_huge_piece(stream: Stream) -> None:
    stream.send(chunk=upload_pb2.UploadChunk(offer_id=1, data=bytes(600 * 1024)))


def _starts_again(stream: Stream) -> None:
    stream.send(start=upload_pb2.UploadStart())


def _says_nothing(stream: Stream) -> None:
    stream.send()


def _offers_no_digest(stream: Stream) -> None:
    stream.offer(1, PHOTO, source_sha256="xyz")


def _ends_too_early(stream: Stream) -> None:
    stream.offer(1, PHOTO)
    stream.hear("pace")
    stream.hear("need")
    stream.finish()


def _goes_over_the_bytes(stream: Stream) -> None:
    for id in range(4):
        stream.offer(id, b"%d" % id + b" " * 1900)
    for id in range(4):
        stream.chunks(id, (b"%d" % id + b" " * 1900)[:-1])  # each of them stays incomplete


def _sends_an_empty_piece(stream: Stream) -> None:
    stream.offer(1, PHOTO)
    stream.send(chunk=upload_pb2.UploadChunk(offer_id=1))


@pytest.mark.parametrize(
    "breaks",
    [
        _offers_five,
        _offers_a_number_twice,
        _sends_unasked,
        _sends_too_much,
        _sends_a_large_piece,
        _sends_a_huge_piece,
        _starts_again,
        _says_nothing,
        _offers_no_digest,
        _ends_too_early,
        _goes_over_the_bytes,
        _sends_an_empty_piece,
    ],
)
def test_who_breaks_the_rules_is_told_and_cut_off(small: Running, decoder: FakeDecoder, breaks: Any) -> None:
    decoder.latch.close()
    stream = Stream(small.channel)
    breaks(stream)
    code, reason, _ = ended(stream)
    decoder.latch.open()
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    assert upload(small.channel, [b"77"])[0].tags.image_id  # others go on


def test_the_first_message_has_to_be_the_start(small: Running) -> None:
    call = small.tagging.UploadImages(iter([pb.UploadImagesRequest(chunk=upload_pb2.UploadChunk())]))
    with pytest.raises(grpc.RpcError) as raised:
        list(call)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert list(small.tagging.UploadImages(iter([]))) == []


@pytest.mark.parametrize(
    ("start", "code"),
    [
        ({"options": TaggingOptions(model="nobody")}, grpc.StatusCode.NOT_FOUND),
        ({"options": TaggingOptions(min_score=2)}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"visibility": 9}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"user_tag_source": tag_pb2.TAG_SOURCE_MODEL}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_a_start_that_makes_no_sense_is_refused(small: Running, start: dict[str, Any], code: grpc.StatusCode) -> None:
    assert ended(Stream(small.channel, **start))[0] is code
