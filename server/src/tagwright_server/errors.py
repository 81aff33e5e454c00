"""The errors Tagwright's rooms raise, in domain words and without grpc; `transport/` alone knows their status codes.

    TagwrightError                  expected: carries a reason and a text that is safe to show to the caller
    ├── ImageRejected               not a photo we take: names the limit, what is allowed and what came
    ├── ArgumentInvalid             a field of the request is wrong: names the field
    │   └── QueryInvalid            a query cannot be read: says where, and what was expected there
    ├── NotFound                    no such thing, or not yours to see
    ├── LoginFailed                 user name or password is wrong, or the account is disabled: which, is never said
    ├── TokenInvalid                the token is missing, expired, revoked or malformed: which, is never said
    ├── ScopeMissing                the caller's role, or the token's scopes, are not enough
    ├── RequestIdReused             the request's id was used before with other content
    ├── NameTaken                   there is one of that name
    ├── LastAdministrator           it would leave nobody to administer the server
    ├── DeadlineExceeded            the caller's time ran out before the answer was there
    └── ComeBack                    not now: come back after `retry_after_s`
        ├── Overloaded              more work than we take at once
        ├── RateLimited             too many tries in too short a time
        ├── QuotaExceeded           the account has as many of these as it may
        ├── ModelUnavailable        the model does not answer, or answers nonsense
        ├── Busy                    the database is locked too long or does not answer, or a rival change won
        └── StorageFull             the disk is full
    StartupError                    the server cannot start; its one line is printed and the process exits with 2

Everything else that is raised is a fault of ours: callers get a fixed sentence and an id, the log gets the traceback.
"""

from __future__ import annotations

from collections.abc import Mapping


class TagwrightError(Exception):
    """An expected error: `reason` is a name of the proto's ErrorReason without its prefix, `str()` the safe text."""

    reason: str = "INTERNAL"

    def __init__(self, text: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.metadata: Mapping[str, str] = dict(metadata or {})


class ImageRejected(TagwrightError):
    """The bytes are not a photo that Tagwright takes.

    `limit` names which rule: format, bytes, pixels, side, time, memory, truncated or empty.
    `allowed` and `actual` say by how much, with units, where there is a number to give.
    """

    reason = "IMAGE_REJECTED"

    def __init__(self, text: str, *, limit: str, allowed: str = "", actual: str = "") -> None:
        named = {"limit": limit, "allowed": allowed, "actual": actual}
        super().__init__(text, metadata={name: value for name, value in named.items() if value})
        self.limit = limit
        self.allowed = allowed
        self.actual = actual

    def __reduce__(self) -> tuple[object, ...]:  # keyword-only arguments do not survive Exception's own pickling
        return _image_rejected, (str(self), self.limit, self.allowed, self.actual)


class ArgumentInvalid(TagwrightError):
    """A field of the request is wrong; `field` is its path in the proto's words."""

    reason = "ARGUMENT_INVALID"

    def __init__(self, text: str, *, field: str) -> None:
        super().__init__(text, metadata={"field": field})
        self.field = field


class QueryInvalid(ArgumentInvalid):
    """A query cannot be read; `position` is where, in characters from 0, `expected` what should be there."""

    def __init__(self, found: str, *, position: int, expected: str) -> None:
        super().__init__(f"at character {position + 1}, {expected} was expected, not {found}", field="query")
        self.metadata = {**self.metadata, "position": str(position), "expected": expected}
        self.position = position
        self.expected = expected


class NotFound(TagwrightError):
    """No such thing, or not the caller's to see."""

    reason = "NOT_FOUND"


class LoginFailed(TagwrightError):
    """The user name or the password is wrong, or the account is disabled: one text for all of them."""

    reason = "LOGIN_FAILED"

    def __init__(self) -> None:
        super().__init__("The user name or the password is wrong.")


class TokenInvalid(TagwrightError):
    """The token is missing, expired, revoked or malformed: one text for all of them."""

    reason = "TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("A valid token is needed. Sign in again, or use a key that has not expired.")


class ScopeMissing(TagwrightError):
    """The caller's role, or the token's scopes, are not enough."""

    reason = "SCOPE_MISSING"


class RequestIdReused(TagwrightError):
    """The request's id was used before with other content; nothing was done."""

    reason = "REQUEST_ID_REUSED"


class NameTaken(TagwrightError):
    """There is one of that name."""

    reason = "NAME_TAKEN"


class LastAdministrator(TagwrightError):
    """It would leave nobody to administer the server; nothing was done."""

    reason = "LAST_ADMINISTRATOR"


class ComeBack(TagwrightError):
    """Not now. Nothing was done; the same call may be sent again after `retry_after_s`."""

    def __init__(self, text: str, *, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Overloaded(ComeBack):
    """More work than the server takes at once."""

    reason = "OVERLOADED"


class RateLimited(ComeBack):
    """Too many tries in too short a time."""

    reason = "RATE_LIMITED"


class QuotaExceeded(ComeBack):
    """The account has as many of these as it may."""

    reason = "QUOTA_EXCEEDED"


class ModelUnavailable(ComeBack):
    """The model does not answer, or what it answered cannot be true. Nothing it said is ever passed on."""

    reason = "MODEL_UNAVAILABLE"


class Busy(ComeBack):
    """The database is locked too long or does not answer, or a rival change won."""

    reason = "BUSY"


class StorageFull(ComeBack):
    """The disk is full: what can be read still can, what would be written waits for room."""

    reason = "STORAGE_FULL"


class DeadlineExceeded(TagwrightError):
    """The caller's time ran out before the answer was there."""

    reason = "DEADLINE_EXCEEDED"


class StartupError(Exception):
    """The server cannot start as it is set up; the text is one clear line for whoever starts it."""


def _image_rejected(text: str, limit: str, allowed: str, actual: str) -> ImageRejected:
    return ImageRejected(text, limit=limit, allowed=allowed, actual=actual)
