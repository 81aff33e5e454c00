"""What is too large, too many or no message at all: refused with a clear word, and the server goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import photos as pictures
import psutil
import pytest
from servers import PATIENCE_S, FakeBackend, FakeDecoder, Running, failure_in, failure_of, photo, photos, running

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.search_service_pb2 import SearchImagesRequest
from tagwright.v1.search_service_pb2_grpc import SearchServiceStub
from tagwright.v1.tagging_options_pb2 import TaggingOptions

MIB = 1024 * 1024
SMALL: dict[str, Any] = {
    "photo_bytes_max": 60_000,
    "request_overhead_bytes_max": 4_096,
    "batch_bytes_max": 65_536,
    "request_bytes_in_progress_max": 65_536,
}
NO_MESSAGES = {
    "half a varint": b"\xff",
    "no length": b"\x0a",
    "too long a length": b"\x0a\x05ab",
    "a group": b"\x0b",
    "field zero": b"\x00",
    "another protocol": b"GET / HTTP/1.1",
    "a hundred groups": b"\x0b" * 101,
    "zeros": bytes(100),
}
NO_BATCHES = {
    "two million empty sub-messages": (b"\x0a\x00" * 2_000_000, "requests"),
    "nothing": (b"", "requests"),
    "a length that never ends": (b"\x0a\x04\x1a\x02\x08" + b"\xff" * 12, "request"),
    "fields that nobody knows": (b"\x12\x00" * 2_000, "request"),
    "an endless length": (b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "request"),
}


@pytest.fixture(autouse=True)
def _goes_on(server: Running) -> Iterator[None]:
    yield
    assert server.tagging.TagImage(photo(pictures.jpeg())).tags.model_version == "tagger@1"


@pytest.mark.parametrize("size", [20 * MIB + 1, 25 * MIB, 63 * MIB])
def test_an_oversized_photo_is_refused_as_a_photo(server: Running, size: int) -> None:
    failure = failure_of(server.tagging.TagImage, photo(bytes(size)))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_REJECTED")
    assert dict(failure.info.metadata) == {"limit": "bytes", "allowed": str(20 * MIB), "actual": str(size)}


def with_photo(server: Running, data: bytes) -> dict[str, Callable[..., Any]]:
    """The calls that take one photo, with that one."""
    search = SearchServiceStub(server.channel)
    return {
        "TagImage": lambda timeout: server.tagging.TagImage(photo(data), timeout=timeout),
        "RefineTags": lambda timeout: server.tagging.RefineTags(pb.RefineTagsRequest(image=data), timeout=timeout),
        "SearchImages": lambda timeout: search.SearchImages(SearchImagesRequest(example_image=data), timeout=timeout),
    }


@pytest.mark.parametrize("call", ["RefineTags", "SearchImages"])
def test_every_call_with_a_photo_takes_large_ones_and_refuses_oversized_ones(server: Running, call: str) -> None:
    failure = failure_of(with_photo(server, bytes(20 * MIB + 1))[call])
    assert (failure.info.reason, failure.info.metadata["limit"]) == ("IMAGE_REJECTED", "bytes")
    failure = failure_of(with_photo(server, bytes(20 * MIB))[call])  # it gets as far as the decoder, or the model
    assert failure.info.metadata.get("limit", "") != "bytes"
    assert failure.info.metadata.get("field", "") in ("", "options.model")


def test_an_oversized_photo_in_a_batch_fails_alone(server: Running) -> None:
    results = server.tagging.TagImages(photos(photo(pictures.jpeg()), photo(bytes(21 * MIB)))).results
    assert results[0].WhichOneof("result") == "tags"
    failure = failure_in(results[1])
    assert (failure.info.reason, failure.info.metadata["limit"]) == ("IMAGE_REJECTED", "bytes")


def test_a_photo_of_the_largest_size_reaches_the_decoder(server: Running) -> None:
    largest = pictures.jpeg() + bytes(20 * MIB - len(pictures.jpeg()))  # what follows a photo in its file is ignored
    assert server.tagging.TagImage(photo(largest)).tags.model_version == "tagger@1"


def test_requests_are_held_by_their_bytes_until_they_are_answered(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    large, half = photo(b"50".ljust(50_000)), photo(b"50".ljust(32_000))
    with running(repository, backend=backend, decoder=decoder, **SMALL) as server:
        backend.latch.close()
        held = server.tagging.TagImage.future(half)
        backend.latch.await_arrivals()
        for _ in range(3):  # what is refused holds nothing
            failure = failure_of(server.tagging.TagImage, large)
            assert (failure.code, failure.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert "65,536 bytes of requests" in failure.text
            assert failure.retry.retry_delay.ToMilliseconds() == 1000
        also_held = server.tagging.TagImage.future(half)
        backend.latch.await_arrivals()
        backend.latch.open()
        assert held.result(timeout=PATIENCE_S).tags.tags
        assert also_held.result(timeout=PATIENCE_S).tags.tags
        _once_there_is_room(server, large)


def test_what_is_too_large_for_ever_is_not_told_to_come_back(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, **SMALL) as server:
        backend.latch.close()
        held = server.tagging.TagImage.future(photo(b"50".ljust(50_000)))
        backend.latch.await_arrivals()
        assert failure_of(server.tagging.TagImage, photo(bytes(60_001))).info.reason == "IMAGE_REJECTED"
        backend.latch.open()
        assert held.result(timeout=PATIENCE_S).tags.tags


@pytest.mark.parametrize("_attempt", range(5))
def test_a_message_over_the_limit_is_refused_by_grpc(server: Running, _attempt: int) -> None:
    failure = failure_of(server.tagging.TagImage, photo(bytes(65 * MIB)))
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in failure.text


def test_a_compressed_message_is_measured_unpacked(server: Running) -> None:
    failure = failure_of(server.tagging.TagImage, photo(bytes(80 * MIB)), compression=grpc.Compression.Gzip)
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("message", "field"), NO_BATCHES.values(), ids=NO_BATCHES)
def test_a_batch_that_is_no_batch_is_refused_unparsed(server: Running, message: bytes, field: str) -> None:
    failure = failure_of(server.send_raw, "TagImages", message)
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


@pytest.mark.parametrize("method", ["TagImage", "TagImages", "ListModels"])
@pytest.mark.parametrize("message", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_bytes_that_are_no_message_are_an_invalid_argument(server: Running, method: str, message: bytes) -> None:
    failure = failure_of(server.send_raw, method, message)
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.info.reason in ("ARGUMENT_INVALID", "IMAGE_REJECTED")


def test_a_name_that_is_not_utf8_is_an_invalid_argument(server: Running) -> None:
    failure = failure_of(server.send_raw, "TagImage", b"\x0a\x02ab\x1a\x03\x22\x01\xff")
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["request"])


def test_a_hundred_thousand_names_are_refused_unparsed(server: Running) -> None:
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        failure = failure_of(server.tagging.TagImage, photo(pictures.jpeg(), exclude_tags=["x" * 20] * 100_000))
        assert failure.wrong_fields == ["options"]
    many = TaggingOptions(exclude_tags=[""] * 600_000).SerializeToString()
    message = b"\x1a" + _varint(len(many)) + many
    assert failure_of(server.send_raw, "TagImage", message).wrong_fields == ["options"]
    assert psutil.Process().memory_info().rss - before < 128 * MIB


def test_metadata_over_eight_kibibytes_is_refused(server: Running) -> None:
    for size in (8 * 1024 + 1, 16 * 1024, 20_000):
        failure = failure_of(server.tagging.ListModels, pb.ListModelsRequest(), metadata=(("x-large", "v" * size),))
        assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    server.tagging.ListModels(pb.ListModelsRequest(), metadata=(("x-fits", "v" * 4096),))


def test_a_method_that_is_not_there_is_unimplemented(server: Running) -> None:
    assert failure_of(server.send_raw, "EatImage", b"").code == grpc.StatusCode.UNIMPLEMENTED


def test_reflection_is_off_unless_asked_for(server: Running) -> None:
    ask: Any = server.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    assert failure_of(lambda messages, **options: list(ask(messages, **options)), iter([b""])).code == (
        grpc.StatusCode.UNIMPLEMENTED
    )


def test_a_field_from_the_future_is_ignored(steered: Running, backend: FakeBackend, decoder: FakeDecoder) -> None:
    request = (
        photo(b"50").SerializeToString() + b"\xf8\x07\x01" + b"\xfa\x07\x03abc" + b"\xfd\x07abcd" + b"\xf9\x07abcdefgh"
    )
    assert pb.TagImageResponse.FromString(steered.send_raw("TagImage", request)).tags.model_version == "tagger@1"


def _once_there_is_room(server: Running, request: pb.TagImageRequest) -> None:
    """Tag: a caller has its answer a moment before the server has put the request away."""
    waiting = threading.Event()
    for _ in range(400):
        call = server.tagging.TagImage.future(request, timeout=PATIENCE_S)
        if call.code() == grpc.StatusCode.OK:
            return
        assert call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        waiting.wait(0.05)
    raise AssertionError("the bytes are still held")


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])
