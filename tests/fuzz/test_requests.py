"""Requests that nobody meant: whatever the contract's messages can hold, and bytes that are none, get a known answer.

Messages are built from the descriptors, so that a field added to the contract is tried without a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import grpc
import photos as pictures
import pytest
from accounts import add_session
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from servers import ADMIN, PASSWORD, FakeBackend, Running, bearer, failure_of, running

from tagwright.v1 import auth_service_pb2 as auth_pb
from tagwright.v1 import search_service_pb2 as search_pb
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub
from tagwright_server.store.records import Account, Role

FILES = (auth_pb.DESCRIPTOR, pb.DESCRIPTOR, search_pb.DESCRIPTOR)
SERVICES = tuple(service for file in FILES for service in file.services_by_name.values())
METHODS = {f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods}
AUTH = "/tagwright.v1.AuthService/"
LOGIN, LOGOUT = AUTH + "Login", AUTH + "Logout"
STREAMS = {f"/tagwright.v1.TaggingService/{name}" for name in ("UploadImages", "GetImageContent")}
# What the comments of the services promise; nothing else may ever come of a request alone, and INTERNAL least of all.
CODES = {
    "IMAGE_REJECTED": grpc.StatusCode.INVALID_ARGUMENT,
    "ARGUMENT_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "LOGIN_FAILED": grpc.StatusCode.UNAUTHENTICATED,
    "TOKEN_INVALID": grpc.StatusCode.UNAUTHENTICATED,
    "REQUEST_ID_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "NAME_TAKEN": grpc.StatusCode.ALREADY_EXISTS,
    "QUOTA_EXCEEDED": grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_ONCE = {"ARGUMENT_INVALID", "REQUEST_ID_REUSED"}
REASONS = {
    "Login": {"ARGUMENT_INVALID", "LOGIN_FAILED"},
    "Logout": {"ARGUMENT_INVALID"},
    "WhoAmI": {"ARGUMENT_INVALID"},
    "ChangePassword": _ONCE | {"LOGIN_FAILED"},
    "CreateUser": _ONCE | {"NAME_TAKEN"},
    "GetUser": {"ARGUMENT_INVALID", "NOT_FOUND"},
    "ListUsers": {"ARGUMENT_INVALID"},
    "UpdateUser": _ONCE | {"NOT_FOUND"},
    "DeleteUser": _ONCE | {"NOT_FOUND"},
    "CreateApiKey": _ONCE | {"QUOTA_EXCEEDED"},
    "ListApiKeys": {"ARGUMENT_INVALID", "NOT_FOUND"},
    "RevokeApiKey": _ONCE | {"NOT_FOUND"},
    "ListAuditEvents": {"ARGUMENT_INVALID"},
    "TagImage": _ONCE | {"IMAGE_REJECTED", "NOT_FOUND"},
    "TagImages": {"ARGUMENT_INVALID", "IMAGE_REJECTED", "NOT_FOUND"},
    "UploadImages": {"ARGUMENT_INVALID", "NOT_FOUND"},
    "RefineTags": {"ARGUMENT_INVALID", "IMAGE_REJECTED", "NOT_FOUND"},
    "GetImage": {"ARGUMENT_INVALID", "NOT_FOUND"},
    "ListImages": {"ARGUMENT_INVALID"},
    "UpdateImage": _ONCE | {"NOT_FOUND"},
    "DeleteImage": _ONCE | {"NOT_FOUND"},
    "GetImageContent": {"ARGUMENT_INVALID", "NOT_FOUND"},
    "ReviewTags": _ONCE | {"NOT_FOUND"},
    "ListTags": {"ARGUMENT_INVALID"},
    "RenameTag": _ONCE | {"NOT_FOUND", "NAME_TAKEN"},
    "MergeTags": _ONCE | {"NOT_FOUND"},
    "SetTagRules": _ONCE | {"NAME_TAKEN"},
    "RetagImages": _ONCE | {"NOT_FOUND", "QUOTA_EXCEEDED"},
    "GetOperation": {"ARGUMENT_INVALID", "NOT_FOUND"},
    "ListOperations": {"ARGUMENT_INVALID"},
    "CancelOperation": _ONCE | {"NOT_FOUND"},
    "ListModels": {"ARGUMENT_INVALID"},
    "SearchImages": {"ARGUMENT_INVALID", "NOT_FOUND", "IMAGE_REJECTED"},
    "SuggestTags": {"ARGUMENT_INVALID"},
    "RelatedTags": {"ARGUMENT_INVALID", "NOT_FOUND"},
    "FindSimilar": {"ARGUMENT_INVALID", "NOT_FOUND"},
}
ANSWERED_WITHIN_S = 10.0
TRIES = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

_JPEG = pictures.jpeg(48, 32)
_INT32 = st.sampled_from([0, 1, -1, 2, 50, 501, 2**31 - 1, -(2**31)]) | st.integers(-(2**31), 2**31 - 1)
_FLOATS = st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0, -0.0, float("nan"), float("inf"), float("-inf"), 1e-45])
_BYTES = st.sampled_from([b"", _JPEG, _JPEG[:99], b"GIF89a", b"\x89PNG\r\n\x1a\n"]) | st.binary(max_size=200)
_NAMES = st.sampled_from(["", "dog", "sky", "tagger", "plain-cnn@1", "tagger@2", "\x00", "\u202e", "a" * 300])
_ACCOUNTS = ["ann", "ANN", "bob", ADMIN, PASSWORD, "another good one", "tagging:read", "admin", "user."]
_IDS = [str(uuid4()) for _ in range(3)] + [uuid4().hex, str(UUID(int=0))]
_QUERIES = ["dog & !(sea | sky:confirmed)", "(dog", 'owner:"a\x00b" | author:\x00', "date:>9999 size:..9", "!" * 4096]
_TEXTS = _NAMES | st.sampled_from(_ACCOUNTS) | st.sampled_from(_IDS) | st.sampled_from(_QUERIES)
_INT64 = st.sampled_from([0, 1, -1, 4_000_000_000, 253_402_300_799, 253_402_300_800, 2**63 - 1, -(2**63)])
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_STRING: _TEXTS | st.text(max_size=40),
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64 | st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(-1, 3) | _INT32,
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


@dataclass(frozen=True)
class Fuzzed:
    """A server, and an administrator whom no request can name: the name is made up when the test runs."""

    server: Running
    account: Account

    def token(self) -> str:
        """A new session of the administrator."""
        return add_session(self.server.app.data, self.account)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    """A server with real decoding and a network that answers at once. It forgives failed logins."""
    import bundles

    repository = tmp_path_factory.mktemp("models")
    bundles.write_repository(repository, ("plain-cnn", "tagger"), network=False)
    forgiving: dict[str, Any] = {"account_failures_max": 1_000_000, "peer_failures_max": 1_000_000}
    with running(repository, backend=_Quiet(), **forgiving) as server:
        name = uuid4().hex
        server.sign_in(name, Role.ADMIN)
        account = server.app.data.store.accounts.find(name)
        assert account is not None
        yield Fuzzed(server, account)


@pytest.fixture(scope="module")
def token(fuzzed: Fuzzed) -> str:
    """The administrator's session, for all calls but those that end it."""
    return fuzzed.token()


class _Quiet(FakeBackend):
    """Scores within bounds, whatever the photo."""

    def infer(self, model: Any, pixels: Any, *, timeout_s: float) -> Any:
        return super().infer(model, pixels // 3, timeout_s=timeout_s)


def _sender(fuzzed: Fuzzed, method: str) -> Callable[..., list[bytes]]:
    """A call that sends one message, and nothing behind it, and returns all that comes."""
    if method in STREAMS:
        many: Any = fuzzed.server.stranger.stream_stream(method)
        return lambda message, **options: list(many(iter([message]), **options))
    one: Any = fuzzed.server.stranger.unary_unary(method)
    return lambda message, **options: [one(message, **options)]


def _answered(fuzzed: Fuzzed, method: str, message: bytes, token: str | None) -> None:
    """Send `message` and see that it is answered in time, as the contract says."""
    if token is not None and method == LOGOUT:
        token = fuzzed.token()
    answers: list[bytes] = []
    send = _sender(fuzzed, method)

    def call(**options: Any) -> None:
        answers.extend(send(message, **options))
        raise _Answered

    metadata = bearer(token) if token is not None else ()
    try:
        failure = failure_of(call, timeout=ANSWERED_WITHIN_S, metadata=metadata)
    except _Answered:
        assert token is not None or method == LOGIN
        for answer in answers:
            _check_answer(GetMessageClass(METHODS[method].output_type).FromString(answer))
        return
    assert failure.info.domain == "tagwright"
    allowed = REASONS[METHODS[method].name] if token is not None or method == LOGIN else {"TOKEN_INVALID"}
    assert failure.info.reason in allowed, failure
    assert failure.code == CODES[failure.info.reason]
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
def test_any_request_is_answered_or_refused_as_documented(
    fuzzed: Fuzzed, token: str, method: str, data: st.DataObject
) -> None:
    message = data.draw(_messages(METHODS[method].input_type))
    _answered(fuzzed, method, message.SerializeToString(), token)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
@TRIES
def test_a_damaged_request_is_answered_or_refused_as_documented(
    fuzzed: Fuzzed, token: str, method: str, data: st.DataObject
) -> None:
    whole = bytearray(data.draw(_messages(METHODS[method].input_type)).SerializeToString() or b"\x00")
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4)):
        whole[place] = value
    _answered(fuzzed, method, bytes(whole[: data.draw(st.integers(0, len(whole)))]), token)


@pytest.mark.parametrize("method", METHODS)
@given(message=st.binary(max_size=300))
@example(message=b"\x0a" * 300)
@example(message=b"\x0a\x00" * 150)
@TRIES
def test_any_bytes_are_answered_or_refused_as_documented(
    fuzzed: Fuzzed, token: str, method: str, message: bytes
) -> None:
    _answered(fuzzed, method, message, token)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
@settings(TRIES, max_examples=30)
def test_whatever_a_stranger_sends_is_refused(fuzzed: Fuzzed, method: str, data: st.DataObject) -> None:
    whole = _messages(METHODS[method].input_type).map(lambda message: message.SerializeToString())
    _answered(fuzzed, method, data.draw(whole | st.binary(max_size=100)), None)


@pytest.mark.parametrize("method", [method for method in METHODS if method != LOGIN])
@given(token=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
@settings(TRIES, max_examples=30)
def test_no_token_that_was_made_up_lets_anybody_in(fuzzed: Fuzzed, method: str, token: str) -> None:
    for said in (f"Bearer {token}", f"Bearer tws_{token}", token):
        failure = failure_of(
            _sender(fuzzed, method), b"", metadata=(("authorization", said),), timeout=ANSWERED_WITHIN_S
        )
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


def test_the_server_still_works_after_all_this(fuzzed: Fuzzed, token: str) -> None:
    who: Any = fuzzed.server.stranger.unary_unary(AUTH + "WhoAmI")
    answer = auth_pb.WhoAmIResponse.FromString(who(b"", metadata=bearer(token), timeout=ANSWERED_WITHIN_S))
    assert answer.user.username == fuzzed.account.username
    tag: Any = TaggingServiceStub(fuzzed.server.stranger).TagImage
    tags = tag(pb.TagImageRequest(image=_JPEG), metadata=bearer(token), timeout=ANSWERED_WITHIN_S).tags
    assert tags.model_version == "tagger@1"
