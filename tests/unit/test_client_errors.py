"""Whatever a call fails with becomes one error of the client's tree, with all that the server said."""

from __future__ import annotations

from collections.abc import Iterator

import fake_tagging
import grpc
import pytest
from fake_tagging import FakeTagging
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

import tagwright_client as tw
from tagwright.v1 import error_reason_pb2
from tagwright_client._translate import from_rpc_error, from_status

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]

# code, reason -> class: what the server says on purpose, and what grpc says by itself.
TABLE = [
    (3, "IMAGE_REJECTED", tw.ImageRejected),
    (3, "ARGUMENT_INVALID", tw.ArgumentInvalid),
    (5, "NOT_FOUND", tw.NotFound),
    (8, "OVERLOADED", tw.Overloaded),
    (14, "MODEL_UNAVAILABLE", tw.ModelUnavailable),
    (4, "DEADLINE_EXCEEDED", tw.DeadlineExceeded),
    (13, "INTERNAL", tw.InternalError),
    (3, "", tw.ArgumentInvalid),
    (5, "", tw.NotFound),
    (8, "", tw.Overloaded),
    (14, "", tw.ServerUnreachable),
    (4, "", tw.DeadlineExceeded),
    (13, "", tw.InternalError),
    (2, "", tw.InternalError),
    (12, "", tw.TagwrightError),
    (16, "LOGIN_FAILED", tw.LoginFailed),
    (16, "TOKEN_INVALID", tw.TokenInvalid),
    (7, "SCOPE_MISSING", tw.ScopeMissing),
    (6, "NAME_TAKEN", tw.NameTaken),
    (6, "REQUEST_ID_REUSED", tw.RequestIdReused),
    (9, "LAST_ADMINISTRATOR", tw.LastAdministrator),
    (14, "BUSY", tw.Busy),
    (8, "RATE_LIMITED", tw.RateLimited),
    (8, "QUOTA_EXCEEDED", tw.QuotaExceeded),
    (8, "STORAGE_FULL", tw.StorageFull),
    (16, "", tw.TokenInvalid),
    (7, "", tw.ScopeMissing),
    (6, "", tw.TagwrightError),
    (9, "", tw.TagwrightError),
    (14, "SAID_BY_A_NEWER_SERVER", tw.TagwrightError),
    (8, "SAID_BY_A_NEWER_SERVER", tw.Overloaded),
]


@pytest.fixture
def fake() -> Iterator[FakeTagging]:
    with fake_tagging.serving() as fake:
        yield fake


@pytest.fixture
def client(fake: FakeTagging) -> Iterator[tw.Client]:
    with tw.Client.connect(fake.url) as client:
        yield client


@pytest.mark.parametrize(("code", "reason", "kind"), TABLE)
def test_a_failed_call_and_a_failed_photo_of_a_batch_become_the_same_error(
    client: tw.Client, fake: FakeTagging, code: int, reason: str, kind: type[tw.TagwrightError]
) -> None:
    failure = fake_tagging.status(code, "the text", reason=reason, metadata={"k": "v"} if reason else None)
    fake.behave = lambda attempt, request, context: fake_tagging.abort(context, failure)
    with pytest.raises(tw.TagwrightError, match="the text") as caught:
        client.tag(b"dog")
    for error in (caught.value, from_status(failure)):
        assert type(error) is kind
        assert error.reason == (reason or (kind.reason if kind is not tw.TagwrightError else error.code))
        assert error.metadata == ({"k": "v"} if reason else {})
    assert caught.value.code == from_status(failure).code


def test_every_reason_of_the_contract_has_its_class() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    kinds = {reason: type(from_status(fake_tagging.status(2, "", reason=reason))) for reason in reasons}
    assert {reason: kind.reason for reason, kind in kinds.items()} == {reason: reason for reason in reasons}


@pytest.mark.parametrize("code", CODES)
def test_no_status_code_comes_out_as_a_grpc_error(client: tw.Client, fake: FakeTagging, code: grpc.StatusCode) -> None:
    fake.behave = lambda attempt, request, context: context.abort(code, "as grpc says it")
    with pytest.raises(tw.TagwrightError, match="as grpc says it") as caught:
        client.tag(b"dog")
    assert isinstance(caught.value.__cause__, grpc.RpcError)


@pytest.mark.parametrize("code", CODES)
def test_nor_does_it_from_tag_many(client: tw.Client, fake: FakeTagging, code: grpc.StatusCode) -> None:
    fake.behave = lambda attempt, request, context: context.abort(code, "as grpc says it")
    (result,) = client.tag_many([b"dog"], on_error="return", timeout_s=0.3)
    assert isinstance(result.error, tw.TagwrightError)


def test_an_exception_in_the_server_is_an_internal_error(client: tw.Client, fake: FakeTagging) -> None:
    failure = fake_tagging.status(13, "internal error", reason="INTERNAL", metadata={"error_id": "e-17"})
    fake.behave = lambda attempt, request, context: fake_tagging.abort(context, failure)
    with pytest.raises(tw.InternalError) as caught:
        client.tag(b"dog")
    assert caught.value.error_id == "e-17"
    assert caught.value.request_id is None


def test_wrong_fields_and_the_time_to_come_back_are_told() -> None:
    bad = BadRequest(field_violations=[BadRequest.FieldViolation(field="options.min_score", description="above 1")])
    error = from_status(
        fake_tagging.status(3, "wrong", reason="ARGUMENT_INVALID", metadata={"request_id": "r"}, more=(bad,))
    )
    assert error.field_violations == (tw.FieldViolation("options.min_score", "above 1"),)
    assert error.retry_after_s is None
    assert error.request_id == "r"
    assert from_status(fake_tagging.status(8, "later", retry_after_s=0.25)).retry_after_s == 0.25


@pytest.mark.parametrize("side", ["Received", "Sent"])
def test_a_message_over_a_limit_is_a_photo_that_is_too_large_and_no_overload(side: str) -> None:
    error = from_status(Status(code=8, message=f"{side} message larger than max (26214400 vs. 22020096)"))
    assert type(error) is tw.ImageRejected
    assert error.metadata == {"limit": "bytes"}
    assert (error.reason, error.code) == ("IMAGE_REJECTED", "RESOURCE_EXHAUSTED")


def test_reasons_of_another_domain_do_not_choose_the_class() -> None:
    foreign = ErrorInfo(reason="IMAGE_REJECTED", domain="example.com", metadata={"k": "v"})
    error = from_status(fake_tagging.status(14, "proxy", more=(foreign,)))
    assert type(error) is tw.ServerUnreachable
    assert error.metadata == {"k": "v"}


def test_garbled_details_leave_code_and_text(client: tw.Client, fake: FakeTagging) -> None:
    def garble(attempt: int, request: object, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "no such model")

    fake.behave = garble
    with pytest.raises(tw.NotFound, match="no such model"):
        client.tag(b"dog")
    packed = Packed(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    assert type(from_status(Status(code=5, message="x", details=[packed]))) is tw.NotFound


def test_an_unknown_code_of_a_photo_in_a_batch_is_an_internal_error() -> None:
    assert type(from_status(Status(code=77, message="?"))) is tw.InternalError


def test_an_error_without_any_status_is_still_one_of_ours() -> None:
    assert type(from_rpc_error(grpc.RpcError("odd"), url="grpc://x:1")) is tw.InternalError
