"""Every reason an error can have: its code, its details, and what it never tells."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from servers import FakeBackend, FakeDecoder, Running, failure_in, failure_of, photo, photos, running

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.error_reason_pb2 import ErrorReason
from tagwright_server import errors
from tagwright_server.transport import status

REJECTED = errors.ImageRejected("too long", limit="side", allowed="16384", actual="20000")
RETRIED = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
# What is raised below the transport, and what a caller gets: the status table of api.md.
TABLE: dict[str, tuple[errors.TagwrightError, grpc.StatusCode]] = {
    "IMAGE_REJECTED": (REJECTED, grpc.StatusCode.INVALID_ARGUMENT),
    "ARGUMENT_INVALID": (errors.ArgumentInvalid("is wrong", field="options.x"), grpc.StatusCode.INVALID_ARGUMENT),
    "NOT_FOUND": (errors.NotFound("no such thing"), grpc.StatusCode.NOT_FOUND),
    "LOGIN_FAILED": (errors.LoginFailed(), grpc.StatusCode.UNAUTHENTICATED),
    "TOKEN_INVALID": (errors.TokenInvalid(), grpc.StatusCode.UNAUTHENTICATED),
    "SCOPE_MISSING": (errors.ScopeMissing("not you"), grpc.StatusCode.PERMISSION_DENIED),
    "REQUEST_ID_REUSED": (errors.RequestIdReused("used"), grpc.StatusCode.ALREADY_EXISTS),
    "NAME_TAKEN": (errors.NameTaken("taken"), grpc.StatusCode.ALREADY_EXISTS),
    "LAST_ADMINISTRATOR": (errors.LastAdministrator("the last"), grpc.StatusCode.FAILED_PRECONDITION),
    "RATE_LIMITED": (errors.RateLimited("slowly", retry_after_s=8.0), grpc.StatusCode.RESOURCE_EXHAUSTED),
    "QUOTA_EXCEEDED": (errors.QuotaExceeded("enough", retry_after_s=60.0), grpc.StatusCode.RESOURCE_EXHAUSTED),
    "STORAGE_FULL": (errors.StorageFull("full", retry_after_s=9.0), grpc.StatusCode.RESOURCE_EXHAUSTED),
    "BUSY": (errors.Busy("locked", retry_after_s=1.0), grpc.StatusCode.UNAVAILABLE),
    "OVERLOADED": (errors.Overloaded("too much", retry_after_s=1.5), grpc.StatusCode.RESOURCE_EXHAUSTED),
    "MODEL_UNAVAILABLE": (errors.ModelUnavailable("gone", retry_after_s=2.5), grpc.StatusCode.UNAVAILABLE),
    "DEADLINE_EXCEEDED": (errors.DeadlineExceeded("too late"), grpc.StatusCode.DEADLINE_EXCEEDED),
}


def test_every_reason_of_the_contract_has_a_place_in_the_table() -> None:
    named = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118  (no mapping)
    assert named == {"UNSPECIFIED", status.INTERNAL_REASON, *TABLE}
    assert {kind.reason for kind in status.CODES} == set(TABLE)
    kinds = {*errors.TagwrightError.__subclasses__(), *errors.ComeBack.__subclasses__()} - {errors.ComeBack}
    assert kinds == set(status.CODES)


@pytest.mark.parametrize("reason", TABLE)
def test_an_error_of_each_reason_reaches_the_caller_with_its_code_and_details(
    steered: Running, backend: FakeBackend, reason: str
) -> None:
    error, code = TABLE[reason]
    backend.error = error
    failure = failure_of(steered.tagging.TagImage, photo(b"50"))
    assert failure.code == code
    assert (failure.info.reason, failure.info.domain) == (reason, "tagwright")
    assert dict(failure.info.metadata) == error.metadata
    assert str(error) in failure.text
    assert failure.retry.retry_delay.ToNanoseconds() == getattr(error, "retry_after_s", 0) * 1e9
    assert (code in RETRIED) == bool(failure.retry.ByteSize())
    assert failure.wrong_fields == (["options.x"] if reason == "ARGUMENT_INVALID" else [])


@pytest.mark.parametrize("reason", ["OVERLOADED", "MODEL_UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_what_concerns_all_photos_fails_the_whole_batch(steered: Running, backend: FakeBackend, reason: str) -> None:
    backend.error, code = TABLE[reason]
    assert failure_of(steered.tagging.TagImages, photos(photo(b"50"), photo(b"60"))).code == code


def test_a_photo_that_the_decoder_rejects_fails_alone(steered: Running, decoder: FakeDecoder) -> None:
    decoder.error = REJECTED
    (result,) = steered.tagging.TagImages(photos(photo(b"50"))).results
    failure = failure_in(result)
    assert dict(failure.info.metadata) == {"limit": "side", "allowed": "16384", "actual": "20000"}


SECRET = "secret database path /var/lib/tagwright/x.db"


@pytest.mark.parametrize("where", ["backend", "decoder"])
@pytest.mark.parametrize("kind", [RuntimeError, KeyError, MemoryError, TimeoutError, AssertionError])
def test_what_nobody_foresaw_is_told_by_an_id_and_never_by_its_own_words(
    steered: Running,
    backend: FakeBackend,
    decoder: FakeDecoder,
    where: str,
    kind: Callable[[str], Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (backend if where == "backend" else decoder).error = kind(SECRET)
    for call, request in (
        (steered.tagging.TagImage, photo(b"50")),
        (steered.tagging.TagImages, photos(photo(b"50"))),
    ):
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            failure = failure_of(call, request)
        error_id = failure.info.metadata["error_id"]
        assert failure.code == grpc.StatusCode.INTERNAL
        assert failure.text == f"Something went wrong in the server. Error id: {error_id}"
        assert (failure.info.reason, failure.info.domain) == ("INTERNAL", "tagwright")
        told = str(failure.status)
        for leaked in ("secret", "/var", ".py", "Traceback", kind.__name__):
            assert leaked not in told
        logged = caplog.text
        assert error_id in logged
        assert SECRET in logged
        assert "Traceback" in logged


WRONG_OPTIONS = [
    ({"min_score": 1.01}, "options.min_score", "1.01"),
    ({"min_score": -0.01}, "options.min_score", "-0.01"),
    ({"min_score": float("nan")}, "options.min_score", "nan"),
    ({"min_score": float("inf")}, "options.min_score", "inf"),
    ({"max_tags": -1}, "options.max_tags", "-1"),
    ({"target_precision": 0.33}, "options.target_precision", "0.5, 0.7, 0.9"),
    ({"target_precision": float("nan")}, "options.target_precision", "nan"),
    ({"target_precision": 0.5, "min_score": 0.5}, "options.target_precision", "min_score"),
    ({"include_tags": ["dog", "unicorn"]}, "options.include_tags[1]", "unicorn"),
    ({"include_tags": ["dog"] * 257}, "options.include_tags", "257"),
    ({"exclude_tags": ["dog"] * 257}, "options.exclude_tags", "257"),
]


@pytest.mark.parametrize(("options", "field", "said"), WRONG_OPTIONS)
def test_a_wrong_option_is_named_before_the_photo_is_decoded(
    steered: Running, decoder: FakeDecoder, options: dict[str, object], field: str, said: str
) -> None:
    failure = failure_of(steered.tagging.TagImage, photo(b"50", **options))
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure.info.reason == "ARGUMENT_INVALID"
    assert failure.wrong_fields == [field]
    assert said in failure.text
    assert decoder.submitted == 0


@pytest.mark.parametrize("name", ["unicorn", "tagger@2", "@", "tagger@", " tagger", "../tagger", "x" * 5000, "\n\x00"])
def test_a_model_that_is_not_there_is_not_found(steered: Running, name: str) -> None:
    failure = failure_of(steered.tagging.TagImage, photo(b"50", model=name))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert "tagger@1, plain-cnn@1" in failure.text
    assert len(failure.text) < 200


def test_a_batch_without_photos_or_with_too_many_is_refused(steered: Running, decoder: FakeDecoder) -> None:
    for request in (pb.TagImagesRequest(), photos(*[photo(b"50")] * 65)):
        failure = failure_of(steered.tagging.TagImages, request)
        assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["requests"])
    assert decoder.submitted == 0
    assert len(steered.tagging.TagImages(photos(*[photo(b"50")] * 64)).results) == 64


def test_over_capacity_a_call_is_refused_at_once_and_accepted_ones_are_finished(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, calls_max=4) as server:
        decoder.latch.close()
        accepted = [server.tagging.TagImage.future(photo(b"50")) for _ in range(4)]
        decoder.latch.await_arrivals(4)
        failure = failure_of(server.tagging.TagImage, photo(b"50"))
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert failure.retry.retry_delay.ToNanoseconds() > 0
        assert decoder.submitted == 4
        decoder.latch.open()
        assert all(call.result(timeout=20).tags.tags for call in accepted)
        assert server.tagging.TagImage(photo(b"50")).tags.tags  # there is room again


def test_a_refused_call_is_refused_before_its_message_has_come(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    unsent = threading.Event()

    def never() -> Iterator[bytes]:
        unsent.wait(20)
        yield from ()

    with running(repository, backend=backend, decoder=decoder, calls_max=1) as server:
        decoder.latch.close()
        accepted = server.tagging.TagImage.future(photo(b"50"))
        decoder.latch.await_arrivals()
        upload: Any = server.channel.stream_unary("/tagwright.v1.TaggingService/TagImage")
        try:
            assert failure_of(upload, never()).code == grpc.StatusCode.RESOURCE_EXHAUSTED
        finally:
            unsent.set()
        decoder.latch.open()
        assert accepted.result(timeout=20).tags.tags


def test_more_photos_than_the_server_takes_at_once_are_refused(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, photos_max=64) as server:
        decoder.latch.close()
        accepted = server.tagging.TagImages.future(photos(*[photo(b"50")] * 60))
        decoder.latch.await_arrivals()
        failure = failure_of(server.tagging.TagImages, photos(*[photo(b"50")] * 5))
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert "64 photos" in failure.text
        decoder.latch.open()
        assert len(accepted.result(timeout=20).results) == 60
