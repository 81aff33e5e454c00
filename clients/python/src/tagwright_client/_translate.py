"""From grpc's errors and google.rpc statuses to this client's error tree. No grpc error gets past here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from . import _errors as errors

_DOMAIN = "tagwright"
_STATUS_DETAILS = "grpc-status-details-bin"

_BY_REASON: dict[str, type[errors.TagwrightError]] = {
    kind.reason: kind
    for kind in (
        errors.ImageRejected,
        errors.ArgumentInvalid,
        errors.NotFound,
        errors.Overloaded,
        errors.ModelUnavailable,
        errors.DeadlineExceeded,
        errors.InternalError,
    )
}
# What a code means when no reason of ours comes with it: then grpc itself, or something in between, made the error.
_BY_CODE: dict[grpc.StatusCode, type[errors.TagwrightError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.ArgumentInvalid,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    grpc.StatusCode.UNAVAILABLE: errors.ServerUnreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.INTERNAL: errors.InternalError,
    grpc.StatusCode.UNKNOWN: errors.InternalError,
    grpc.StatusCode.DATA_LOSS: errors.InternalError,
}
_CODES_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
# grpc's own words, on either side, for a message over its limit: the code of overload, yet never worth a retry.
_OVERSIZE = "larger than max"

_Detail = TypeVar("_Detail", bound=Message)


def from_rpc_error(err: Exception, *, url: str) -> errors.TagwrightError:
    """Return the error of this tree that a failed call (a grpc.RpcError) to the server at `url` amounts to."""
    if not isinstance(err, grpc.Call):
        return errors.InternalError(str(err), code=grpc.StatusCode.UNKNOWN.name)
    code = err.code()
    text = err.details() or code.name
    error = _error(code, text, _details(err))
    if isinstance(error, errors.ServerUnreachable):
        return errors.ServerUnreachable(f"no answer from {url}: {text}", code=error.code, metadata=error.metadata)
    return error


def from_status(status: Status) -> errors.TagwrightError:
    """Return the error that a google.rpc.Status in an answer (one photo of a batch) amounts to."""
    code = _CODES_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(code, status.message or code.name, list(status.details))


def _error(code: grpc.StatusCode, text: str, details: Sequence[Any]) -> errors.TagwrightError:
    info = _detail(details, ErrorInfo)
    retry = _detail(details, RetryInfo)
    bad = _detail(details, BadRequest)
    metadata = dict(info.metadata) if info is not None else {}
    reason = info.reason if info is not None and info.domain == _DOMAIN else None
    kind = _BY_REASON.get(reason or "") or _BY_CODE.get(code, errors.TagwrightError)
    if reason is None and code is grpc.StatusCode.RESOURCE_EXHAUSTED and _OVERSIZE in text:
        kind, metadata = errors.ImageRejected, {"limit": "bytes"}  # the photo is what makes a message large
    if reason is not None and kind is errors.ServerUnreachable:
        kind = errors.TagwrightError  # a reason newer than this client: whoever named it was reached
    if reason is None and kind is errors.TagwrightError:
        reason = code.name
    return kind(
        text,
        reason=reason,
        code=code.name,
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if retry is not None else None,
        metadata=metadata,
        field_violations=[
            errors.FieldViolation(field=violation.field, description=violation.description)
            for violation in (bad.field_violations if bad is not None else ())
        ],
    )


def _details(call: grpc.Call) -> list[Any]:
    for key, value in call.trailing_metadata() or ():
        if key == _STATUS_DETAILS and isinstance(value, bytes):
            try:
                return list(Status.FromString(value).details)
            except DecodeError:
                return []  # something in between garbled the details; code and text still hold
    return []


def _detail(details: Sequence[Any], kind: type[_Detail]) -> _Detail | None:
    for packed in details:
        found = kind()
        try:
            if packed.Unpack(found):
                return found
        except DecodeError:
            continue  # garbled on the way; what the code and the text say still holds
    return None
