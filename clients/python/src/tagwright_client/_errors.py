"""Every error this client raises on behalf of the server or the photo, in one tree. No grpc in here.

    TagwrightError                  anything below, and what a newer server may say that this client does not know
    ├── ImageRejected               not a photo the server takes: `metadata["limit"]` names which rule
    ├── PhotoUnreadable             the file could not be read on this side, or changes while it is read
    ├── ArgumentInvalid             an argument is wrong: `field_violations` says which and why
    │   └── QueryInvalid            a query cannot be read: `position` says where, `expected` what belongs there
    ├── LoginFailed                 the user name or the password is wrong, or the account is disabled
    ├── TokenInvalid                the token is missing, expired, revoked or malformed: sign in again
    ├── ScopeMissing                the role or the token's scopes are not enough
    ├── NotFound                    no such thing, or not yours to see
    ├── NameTaken                   there is an account, or a tag, of that name
    ├── RequestIdReused             the `request_id` was used before with other content
    ├── LastAdministrator           it would leave nobody to administer the server
    ├── Overloaded                  more work than the server takes at once: come back after `retry_after_s`
    ├── RateLimited                 too many tries in too short a time: come back after `retry_after_s`
    ├── QuotaExceeded               the account has as many of these as it may
    ├── StorageFull                 the server's disk is full; what can be read still can
    ├── Busy                        the database is locked, or a rival change won: come back after `retry_after_s`
    ├── ModelUnavailable            the server runs, its model does not answer
    ├── DeadlineExceeded            the time-out passed before the answer was there
    ├── ServerUnreachable           nobody answers at that address
    ├── InternalError               a fault in the server: quote `error_id`
    └── ClientClosed                the client was closed before or during the call

Arguments of the wrong *type* raise Python's own TypeError.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SHOWN_CHARS = 50  # of a query on either side of the caret, so that both stay on one line of a terminal


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request: its path in the proto's words and what is wrong with it."""

    field: str
    description: str


class TagwrightError(Exception):
    """A call that did not succeed; `str()` is its text.

    `reason` is what programs branch on where the class is not enough (a name of the proto's ErrorReason without its
    prefix), `code` the name of the canonical status code, such as "INVALID_ARGUMENT"; it is empty where the error
    arose on this side and nothing was sent. `request_id` is the id of the request that failed, where it had one:
    making the same call with it again cannot do the same thing twice.
    """

    reason: str = "UNSPECIFIED"
    code: str
    retry_after_s: float | None
    request_id: str | None
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
        self.request_id = self.metadata.get("request_id")

    @property
    def error_id(self) -> str | None:
        """What finds this failure in the server's log, where the server gave it."""
        return self.metadata.get("error_id")


class ImageRejected(TagwrightError):
    """Not a photo that is taken: `metadata` holds `limit` and, where there is a number, `allowed` and `actual`."""

    reason = "IMAGE_REJECTED"


class PhotoUnreadable(TagwrightError):
    """The photo could not be read on this side; the OSError is its `__cause__`, if there is one."""

    reason = "PHOTO_UNREADABLE"


class ArgumentInvalid(TagwrightError):
    """An argument is wrong; `field_violations` says which and why."""

    reason = "ARGUMENT_INVALID"


class QueryInvalid(ArgumentInvalid):
    """A query that cannot be read; printed, it shows the query with a caret below where it fails.

    `position` counts characters of `query` from 0, its length where more should have come; `expected` says what.
    """

    query: str = ""

    @property
    def position(self) -> int:
        """Where in the query, in characters from 0."""
        return int(self.metadata.get("position", "0"))

    @property
    def expected(self) -> str:
        """What should have been there, in words."""
        return self.metadata.get("expected", "")

    def __str__(self) -> str:
        """Return the text, and below it the query with a caret."""
        text = super().__str__()
        if not self.query:
            return text
        position = min(self.position, len(self.query))
        start = max(position - _SHOWN_CHARS, 0)
        line = "".join(char if char.isprintable() else " " for char in self.query)
        before, after = line[start:position], line[position : position + _SHOWN_CHARS]
        before = ("…" if start else "") + before
        after += "…" if position + _SHOWN_CHARS < len(line) else ""
        return f"{text}\n  {before}{after}\n  {' ' * sum(map(_columns, before))}^"


class LoginFailed(TagwrightError):
    """The user name or the password is wrong, or the account is disabled; which one the server never says."""

    reason = "LOGIN_FAILED"


class TokenInvalid(TagwrightError):
    """The token is missing, expired, revoked or malformed; which one the server never says. Sign in again."""

    reason = "TOKEN_INVALID"


class ScopeMissing(TagwrightError):
    """The caller's role or the token's scopes are not enough."""

    reason = "SCOPE_MISSING"


class NotFound(TagwrightError):
    """No such thing (a model or a photo, for example), or not yours to see."""

    reason = "NOT_FOUND"


class NameTaken(TagwrightError):
    """There is an account, or a tag, of that name."""

    reason = "NAME_TAKEN"


class RequestIdReused(TagwrightError):
    """The `request_id` was used before with other content. Nothing was done."""

    reason = "REQUEST_ID_REUSED"


class LastAdministrator(TagwrightError):
    """It would leave nobody to administer the server. Nothing was done."""

    reason = "LAST_ADMINISTRATOR"


class Overloaded(TagwrightError):
    """More work than the server takes at once. Nothing was done; come back after `retry_after_s`."""

    reason = "OVERLOADED"


class RateLimited(TagwrightError):
    """Too many tries in too short a time; come back after `retry_after_s`."""

    reason = "RATE_LIMITED"


class QuotaExceeded(TagwrightError):
    """The account has as many of these as it may."""

    reason = "QUOTA_EXCEEDED"


class StorageFull(TagwrightError):
    """The server's disk is full: nothing was kept, what can be read still can. Come back after `retry_after_s`."""

    reason = "STORAGE_FULL"


class Busy(TagwrightError):
    """The database is locked too long or does not answer, or a rival change won; come back after `retry_after_s`."""

    reason = "BUSY"


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


def _columns(char: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
