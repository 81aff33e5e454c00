"""Which status a domain error becomes: one table, and the details that programs read (AIP-193).

Promises: every error carries a `google.rpc.ErrorInfo` of domain "tagwright"; RESOURCE_EXHAUSTED and UNAVAILABLE carry
`RetryInfo`, a wrong field `BadRequest`. What was not foreseen becomes a fixed sentence and an id, never its own text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tagwright_server import errors
from tagwright_server.errors import ArgumentInvalid, ComeBack, TagwrightError

DOMAIN = "tagwright"
CODES: Mapping[type[TagwrightError], grpc.StatusCode] = {
    errors.ImageRejected: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ArgumentInvalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.LoginFailed: grpc.StatusCode.UNAUTHENTICATED,
    errors.TokenInvalid: grpc.StatusCode.UNAUTHENTICATED,
    errors.ScopeMissing: grpc.StatusCode.PERMISSION_DENIED,
    errors.RequestIdReused: grpc.StatusCode.ALREADY_EXISTS,
    errors.NameTaken: grpc.StatusCode.ALREADY_EXISTS,
    errors.LastAdministrator: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StorageFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ModelUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Busy: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}
INTERNAL_REASON = "INTERNAL"
# Text, twice over (grpc-message and grpc-status-details-bin), has to fit into the 8 KiB of headers clients take.
_LONGEST_TEXT = 500


def to_status(error: TagwrightError, *, field_prefix: str = "") -> Status:
    """Return the status of an expected error; `field_prefix` says where in a batch the wrong field is."""
    text = str(error)
    details: list[Message] = []
    if isinstance(error, ArgumentInvalid):
        field = field_prefix + error.field
        violation = BadRequest.FieldViolation(field=field, description=_short(text))
        details.append(BadRequest(field_violations=[violation]))
        text = f"{field}: {text}"
    if isinstance(error, ComeBack):
        retry = RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        details.append(retry)
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), grpc.StatusCode.INTERNAL)
    return _status(code, text, error.reason, error.metadata, details)


def of_reason(reason: str, text: str) -> Status:
    """Return the status of an expected error of which only reason and text are left."""
    kinds = (kind for kind in CODES if kind.reason == reason)
    code = next((CODES[kind] for kind in kinds), grpc.StatusCode.INTERNAL)
    return _status(code, text, reason, {}, [])


def internal(error_id: str) -> Status:
    """Return the status of a fault of ours; `error_id` finds it in the log."""
    text = f"Something went wrong in the server. Error id: {error_id}"
    return _status(grpc.StatusCode.INTERNAL, text, INTERNAL_REASON, {"error_id": error_id}, [])


def _status(
    code: grpc.StatusCode, text: str, reason: str, metadata: Mapping[str, str], details: list[Message]
) -> Status:
    status = Status(code=code.value[0], message=_short(text))
    info = ErrorInfo(reason=reason, domain=DOMAIN, metadata={key: _short(value) for key, value in metadata.items()})
    for detail in (info, *details):
        status.details.add().Pack(detail)
    return status


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 3] + "..."
