"""Every error this client raises on behalf of the server or the photo, in one tree. No grpc in here.

    TagwrightError                  anything below, and what a newer server may say that this client does not know
    ├── ImageRejected               not a photo the server takes: `metadata["limit"]` names which rule
    ├── PhotoUnreadable             the file could not be read on this side; nothing was sent
    ├── ArgumentInvalid             an argument is wrong: `field_violations` says which and why
    ├── NotFound                    no such thing, or not yours to see
    ├── Overloaded                  more work than the server takes at once: come back after `retry_after_s`
    ├── ModelUnavailable            the server runs, its model does not answer
    ├── DeadlineExceeded            the time-out passed before the answer was there
    ├── ServerUnreachable           nobody answers at that address
    ├── InternalError               a fault in the server: quote `error_id`
    └── ClientClosed                the client was closed before or during the call

Arguments of the wrong *type* raise Python's own TypeError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request: its path in the proto's words and what is wrong with it."""

    field: str
    description: str


class TagwrightError(Exception):
    """A call that did not succeed; `str()` is its text.

    `reason` is what programs branch on where the class is not enough (a name of the proto's ErrorReason without its
    prefix), `code` the name of the canonical status code, such as "INVALID_ARGUMENT"; it is empty where the error
    arose on this side and nothing was sent.
    """

    reason: str = "UNSPECIFIED"
    code: str
    retry_after_s: float | None
    metadata: Mapping[str, str]
    field_violations: tuple[FieldViolation, ...]

    def __init__(
        self,
        text: str,
        *,
        reason: str | None = None,
        code: str = "",
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        field_violations: Sequence[FieldViolation] = (),
    ) -> None:
        super().__init__(text)
        if reason is not None:
            self.reason = reason
        self.code = code
        self.retry_after_s = retry_after_s
        self.metadata = dict(metadata or {})
        self.field_violations = tuple(field_violations)

    @property
    def error_id(self) -> str | None:
        """What finds this failure in the server's log, where the server gave it."""
        return self.metadata.get("error_id")

    @property
    def request_id(self) -> str | None:
        """The id of the request that failed, where it had one."""
        return self.metadata.get("request_id")


class ImageRejected(TagwrightError):
    """Not a photo that is taken: `metadata` holds `limit` and, where there is a number, `allowed` and `actual`."""

    reason = "IMAGE_REJECTED"


class PhotoUnreadable(TagwrightError):
    """The photo could not be read on this side; the OSError is its `__cause__`."""

    reason = "PHOTO_UNREADABLE"


class ArgumentInvalid(TagwrightError):
    """An argument is wrong; `field_violations` says which and why."""

    reason = "ARGUMENT_INVALID"


class NotFound(TagwrightError):
    """No such thing (a model, for example), or not yours to see."""

    reason = "NOT_FOUND"


class Overloaded(TagwrightError):
    """More work than the server takes at once. Nothing was done; come back after `retry_after_s`."""

    reason = "OVERLOADED"


class ModelUnavailable(TagwrightError):
    """The server runs, but its model does not answer or answers nonsense; come back after `retry_after_s`."""

    reason = "MODEL_UNAVAILABLE"


class DeadlineExceeded(TagwrightError):
    """The time-out passed before the answer was there."""

    reason = "DEADLINE_EXCEEDED"


class ServerUnreachable(TagwrightError):
    """Nobody answers at that address, or the connection broke and did not come back."""

    reason = "SERVER_UNREACHABLE"


class InternalError(TagwrightError):
    """A fault in the server; `error_id` finds it in the server's log."""

    reason = "INTERNAL"


class ClientClosed(TagwrightError):
    """The client was closed before or during the call."""

    reason = "CLIENT_CLOSED"
