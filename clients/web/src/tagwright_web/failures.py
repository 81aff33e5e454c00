"""What went wrong, as a status, a heading and words; the words of the server are made for people already."""

from __future__ import annotations

import math

from tagwright_client import (
    ArgumentInvalid,
    Busy,
    ClientClosed,
    DeadlineExceeded,
    ImageRejected,
    LastAdministrator,
    LoginFailed,
    ModelUnavailable,
    NameTaken,
    NotFound,
    Overloaded,
    QueryInvalid,
    QuotaExceeded,
    RateLimited,
    RequestIdReused,
    ScopeMissing,
    ServerUnreachable,
    StorageFull,
    TagwrightError,
    TokenInvalid,
)

_KINDS: tuple[tuple[type[TagwrightError], int, str], ...] = (
    (ImageRejected, 422, "This photo was not taken"),
    (QueryInvalid, 400, "This search cannot be read"),
    (ArgumentInvalid, 400, "That cannot be done"),
    (LoginFailed, 401, "Not signed in"),
    (TokenInvalid, 401, "Your session has ended"),
    (ScopeMissing, 403, "Not allowed"),
    (NotFound, 404, "Not found"),
    (NameTaken, 409, "The name is taken"),
    (RequestIdReused, 409, "That was done already"),
    (LastAdministrator, 409, "Somebody has to administer the server"),
    (RateLimited, 429, "Too many tries"),
    (Overloaded, 429, "The server is busy"),
    (QuotaExceeded, 403, "Your account is full"),
    (StorageFull, 507, "The server's disk is full"),
    (Busy, 503, "The server is busy"),
    (ModelUnavailable, 503, "The model does not answer"),
    (DeadlineExceeded, 504, "That took too long"),
    (ServerUnreachable, 503, "The server cannot be reached"),
    (ClientClosed, 503, "These pages are being shut down"),
)


class Failure(Exception):
    """What a visitor is told.

    `retry_after_s`: when it may work; `error_id`: what finds it in the server's log; `stale`: the form's token was
    another session's, and the same with a new one may do.
    """

    def __init__(
        self,
        status: int,
        heading: str,
        text: str,
        retry_after_s: int | None = None,
        error_id: str | None = None,
        *,
        stale: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.heading = heading
        self.text = text
        self.retry_after_s = retry_after_s
        self.error_id = error_id
        self.stale = stale

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        told = {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}
        if self.status == 413:
            told["connection"] = "close"  # the rest of the body is not read
        return told | {"x-form-token": "stale"} if self.stale else told


def failure_of(error: TagwrightError) -> Failure:
    """Return what a visitor is told of an error of the SDK's."""
    status, heading = next(
        ((status, heading) for kind, status, heading in _KINDS if isinstance(error, kind)),
        (500, "Something went wrong"),
    )
    after_s = None if error.retry_after_s is None else max(1, math.ceil(error.retry_after_s))
    return Failure(status, heading, _words(error), after_s, error.error_id)


def _words(error: TagwrightError) -> str:
    if isinstance(error, TokenInvalid):
        return "Sign in again to go on; nothing that you had kept is lost."
    if isinstance(error, ServerUnreachable):
        return "The pages are here, but the server behind them does not answer. Try again in a moment."
    if isinstance(error, QueryInvalid):
        return str(error)
    details = [f"{each.field}: {each.description}" for each in error.field_violations]
    return str(error) if not details else f"{error} ({'; '.join(details)})"
