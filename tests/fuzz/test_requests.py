"""Requests that nobody meant: whatever the contract's messages can hold, and bytes that are none, get a known answer.

Messages are built from the descriptors, so that a field added to the contract is tried without a line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import photos as pictures
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from servers import FakeBackend, Running, failure_of, running

from tagwright.v1 import tagging_service_pb2 as pb

METHODS = {method.name: method for method in pb.DESCRIPTOR.services_by_name["TaggingService"].methods}
# What TaggingService's comments promise; nothing else may ever come of a request alone.
REASONS = {
    "IMAGE_REJECTED": grpc.StatusCode.INVALID_ARGUMENT,
    "ARGUMENT_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
}
TRIES = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

_JPEG = pictures.jpeg(48, 32)
_INT32 = st.sampled_from([0, 1, -1, 2, 50, 501, 2**31 - 1, -(2**31)]) | st.integers(-(2**31), 2**31 - 1)
_FLOATS = st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e-45])
_BYTES = st.sampled_from([b"", _JPEG, _JPEG[:99], b"GIF89a", b"\x89PNG\r\n\x1a\n"]) | st.binary(max_size=200)
_NAMES = st.sampled_from(["", "dog", "sky", "tagger", "plain-cnn@1", "tagger@2", "\x00", "\u202e", "a" * 300])
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_STRING: _NAMES | st.text(max_size=40),
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_FLOAT: _FLOATS | st.floats(width=32),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
}


def _messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Any message of a type, every field of it set or not."""
    fields = {}
    for field in descriptor.fields:
        one = _messages(field.message_type) if field.message_type else _SCALARS[field.type]
        fields[field.name] = st.lists(one, max_size=6) if field.is_repeated else one
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: GetMessageClass(descriptor)(**values))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with real decoding and a network that answers at once."""
    import bundles

    repository = tmp_path_factory.mktemp("models")
    bundles.write_repository(repository, ("plain-cnn", "tagger"), network=False)
    with running(repository, backend=_Quiet()) as server:
        yield server


class _Quiet(FakeBackend):
    """Scores within bounds, whatever the photo."""

    def infer(self, model: Any, pixels: Any, *, timeout_s: float) -> Any:
        return super().infer(model, pixels // 3, timeout_s=timeout_s)


def _answered(server: Running, method: str, message: bytes) -> None:
    """Send `message` and see that it is answered as the contract says."""
    answers: list[bytes] = []

    def call(**options: Any) -> None:
        answers.append(server.send_raw(method, message, **options))
        raise _Answered

    try:
        failure = failure_of(call)
    except _Answered:
        _check_answer(GetMessageClass(METHODS[method].output_type).FromString(answers[0]))
        return
    assert failure.info.domain == "tagwright"
    assert REASONS[failure.info.reason] == failure.code
    assert failure.text.isprintable()
    assert len(failure.text) <= 500


class _Answered(Exception):
    pass


def _check_answer(answer: Any) -> None:
    if isinstance(answer, pb.TagImagesResponse):
        assert 1 <= len(answer.results) <= 64
        assert all(result.WhichOneof("result") for result in answer.results)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
@TRIES
def test_any_request_is_answered_or_refused_as_documented(fuzzed: Running, method: str, data: st.DataObject) -> None:
    message = data.draw(_messages(METHODS[method].input_type))
    _answered(fuzzed, method, message.SerializeToString())


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
@TRIES
def test_a_damaged_request_is_answered_or_refused_as_documented(
    fuzzed: Running, method: str, data: st.DataObject
) -> None:
    whole = bytearray(data.draw(_messages(METHODS[method].input_type)).SerializeToString() or b"\x00")
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4)):
        whole[place] = value
    _answered(fuzzed, method, bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@pytest.mark.parametrize("method", METHODS)
@given(message=st.binary(max_size=300))
@example(message=b"\x0a" * 300)
@example(message=b"\x0a\x00" * 150)
@TRIES
def test_any_bytes_are_answered_or_refused_as_documented(fuzzed: Running, method: str, message: bytes) -> None:
    _answered(fuzzed, method, message)


def test_the_server_still_tags_after_all_this(fuzzed: Running) -> None:
    assert fuzzed.tagging.TagImage(pb.TagImageRequest(image=_JPEG)).tags.model_version == "tagger@1"
