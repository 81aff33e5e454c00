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

from tagwright_server.errors import (
    ArgumentInvalid,
    DeadlineExceeded,
    ImageRejected,
    ModelUnavailable,
    NotFound,
    Overloaded,
    TagwrightError,
)

DOMAIN = "tagwright"
CODES: Mapping[type[TagwrightError], grpc.StatusCode] = {
    ImageRejected: grpc.StatusCode.INVALID_ARGUMENT,
    ArgumentInvalid: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ModelUnavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
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
    if isinstance(error, (Overloaded, ModelUnavailable)):
        retry = RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        details.append(retry)
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), grpc.StatusCode.INTERNAL)
    return _status(code, text, error.reason, error.metadata, details)


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
