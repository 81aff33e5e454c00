"""From grpc's errors and google.rpc statuses to this client's error tree. No grpc error gets past here."""

from __future__ import annotations

import re
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
        errors.LoginFailed,
        errors.TokenInvalid,
        errors.ScopeMissing,
        errors.NotFound,
        errors.NameTaken,
        errors.RequestIdReused,
        errors.LastAdministrator,
        errors.Overloaded,
        errors.RateLimited,
        errors.QuotaExceeded,
        errors.StorageFull,
        errors.Busy,
        errors.ModelUnavailable,
        errors.DeadlineExceeded,
        errors.InternalError,
    )
}
# What a code means when no reason of ours comes with it: then grpc itself, or something in between, made the error.
_BY_CODE: dict[grpc.StatusCode, type[errors.TagwrightError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.ArgumentInvalid,
    grpc.StatusCode.UNAUTHENTICATED: errors.TokenInvalid,
    grpc.StatusCode.PERMISSION_DENIED: errors.ScopeMissing,
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
# Why grpc on this side sent nothing although there is a connection: the code says "unauthenticated", yet no server did.
_NOT_SECRET = "security level"
# grpc's words for why there is no connection, and what they mean to people; in older versions and newer ones.
_HINTS = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate has expired, or is signed by nobody this client knows: ca_file names a private authority",
    ),
    ("Hostname Verification Check failed", "its certificate is for another host name"),
    ("is not in peer certificate", "its certificate is for another host name"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS there: use grpc://"),
    ("neither UDS or TCP loopback", "that name leads to another machine: use grpcs:// and its real name"),
)
_NO_CONNECTION, _BROKEN_OFF = "failed to connect", "Socket closed"
_BROKEN_OFF_TLS = "perhaps it asks for a client certificate"
_BROKEN_OFF_PLAIN = "perhaps it speaks TLS: use grpcs://"

_POSITION = re.compile(r"[0-9]{1,9}")

_Detail = TypeVar("_Detail", bound=Message)


def from_rpc_error(
    err: Exception, *, url: str, oversize: type[errors.TagwrightError] = errors.ImageRejected
) -> errors.TagwrightError:
    """Return the error of this tree that a failed call (a grpc.RpcError) to the server at `url` amounts to.

    `oversize` is what a message over grpc's limit amounts to: mostly a photo is what makes it large.
    """
    if not isinstance(err, grpc.Call):
        return errors.InternalError(str(err), code=grpc.StatusCode.UNKNOWN.name)
    code = err.code()
    text = err.details() or code.name
    details = _details(err)
    if code is grpc.StatusCode.UNAUTHENTICATED and _NOT_SECRET in text and not details:
        return errors.ArgumentInvalid(f"no token is sent to {url}, which would not keep it secret: use grpcs://")
    error = _error(code, text, details, oversize=oversize)
    if isinstance(error, errors.ServerUnreachable):
        text = f"no answer from {url}: {text}{_hint(text, url=url)}"
        return errors.ServerUnreachable(text, code=error.code, metadata=error.metadata)
    return error


def from_status(status: Status) -> errors.TagwrightError:
    """Return the error that a google.rpc.Status in an answer (one photo of a batch) amounts to."""
    code = _CODES_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(code, status.message or code.name, list(status.details))


def _error(
    code: grpc.StatusCode,
    text: str,
    details: Sequence[Any],
    *,
    oversize: type[errors.TagwrightError] = errors.ImageRejected,
) -> errors.TagwrightError:
    info = _detail(details, ErrorInfo)
    retry = _detail(details, RetryInfo)
    bad = _detail(details, BadRequest)
    metadata = dict(info.metadata) if info is not None else {}
    reason = info.reason if info is not None and info.domain == _DOMAIN else None
    kind = _BY_REASON.get(reason or "") or _BY_CODE.get(code, errors.TagwrightError)
    if kind is errors.ArgumentInvalid and metadata.get("field", "query") == "query":
        kind = errors.QueryInvalid if _POSITION.fullmatch(metadata.get("position", "")) else kind
    if reason is None and code is grpc.StatusCode.RESOURCE_EXHAUSTED and _OVERSIZE in text:
        kind, metadata = oversize, {"limit": "bytes"}
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


def _hint(text: str, *, url: str) -> str:
    for words, meaning in _HINTS:
        if words in text:
            return f" ({meaning})"
    if _NO_CONNECTION in text and _BROKEN_OFF in text and not url.startswith("unix:"):
        return f" ({_BROKEN_OFF_TLS if url.startswith('grpcs:') else _BROKEN_OFF_PLAIN})"
    return ""


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
