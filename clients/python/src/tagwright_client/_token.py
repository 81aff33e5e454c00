"""What every call carries: the token that signs it, and the address of whom this program calls for.

Nothing in here ever shows a token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

from ._errors import ArgumentInvalid, FieldViolation

TOKEN_VARIABLE = "TAGWRIGHT_TOKEN"

_LIMIT_BYTES = 4096  # the server takes 8 KiB of metadata in all
_LOGIN = "Login"  # the one call that needs no token: an old one must not be in its way

_Metadata = tuple[tuple[str, str], ...]


class Token:
    """Read by every call, changed by login and logout; safe to share between threads."""

    __slots__ = ("_text",)

    def __init__(self, text: str | None = None) -> None:
        self._text = text

    @property
    def present(self) -> bool:
        """Whether there is one."""
        return self._text is not None

    def replace(self, text: str | None) -> None:
        """Take another one from the next call on; None: none."""
        self._text = text

    def metadata(self, method: str) -> _Metadata:
        """Return what a call of `method` (its bare name) carries."""
        text = self._text
        return (("authorization", f"Bearer {text}"),) if text is not None and method != _LOGIN else ()


class CallMetadata:
    """The token together with the IP address of whom this program calls for, which is no secret; None: itself."""

    __slots__ = ("_forwarded", "_token")

    def __init__(self, token: Token, forwarded_for: str | None = None) -> None:
        self._token = token
        self._forwarded: _Metadata = (("x-forwarded-for", forwarded_for),) if forwarded_for is not None else ()

    def of(self, method: str) -> _Metadata:
        """Return what a call of `method` (its bare name) carries."""
        return (*self._token.metadata(method), *self._forwarded)


def checked(token: str) -> str:
    """Return the token without blanks around it; one that cannot be any is refused, without showing it."""
    if not isinstance(token, str):
        raise TypeError(f"a token is a string, not {type(token).__name__}")
    token = token.strip()
    if not token:
        raise _ill_formed("it is empty")
    if len(token) > _LIMIT_BYTES:
        raise _ill_formed(f"it is longer than {_LIMIT_BYTES} characters")
    if not all("!" <= char <= "~" for char in token):
        raise _ill_formed("it has a space or a character that is not printable ASCII")
    return token


def checked_address(forwarded_for: str) -> str:
    """Return an IP address as it is sent: without the zone of an IPv6 one, which is one machine's own word."""
    if not isinstance(forwarded_for, str):
        raise TypeError(f"forwarded_for is a string, not {type(forwarded_for).__name__}")
    try:
        return str(ipaddress.ip_address(forwarded_for)).partition("%")[0]
    except ValueError as err:
        why = "it is one IP address, such as 192.0.2.7 or 2001:db8::7"
        raise ArgumentInvalid(
            f"forwarded_for: {why}, not {forwarded_for!r}",
            field_violations=[FieldViolation(field="forwarded_for", description=why)],
        ) from err


class CallCredentials(grpc.AuthMetadataPlugin):
    """Gives each call its metadata, on channels that keep the token secret; grpc itself refuses any other."""

    def __init__(self, metadata: CallMetadata) -> None:
        self._metadata = metadata

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        """Answer grpc's question what this call carries."""
        callback(self._metadata.of(str(context.method_name)), None)


class _CallDetails(NamedTuple):
    method: str
    timeout: float | None
    metadata: tuple[tuple[str, str | bytes], ...]
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: Any


class PlaintextMetadata(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Gives each call its metadata on a channel in plaintext, where grpc has no call credentials.

    With a token only for connections whose caller said `insecure=True`.
    """

    def __init__(self, metadata: CallMetadata) -> None:
        self._metadata = metadata

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: Any
    ) -> Any:
        """Send one request with the metadata."""
        return continuation(self._signed(client_call_details), request)

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: Any
    ) -> Any:
        """Send one request with the metadata."""
        return continuation(self._signed(client_call_details), request)

    def intercept_stream_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request_iterator: Any
    ) -> Any:
        """Send a stream with the metadata."""
        return continuation(self._signed(client_call_details), request_iterator)

    def intercept_stream_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request_iterator: Any
    ) -> Any:
        """Send a stream with the metadata."""
        return continuation(self._signed(client_call_details), request_iterator)

    def _signed(self, details: grpc.ClientCallDetails) -> _CallDetails:
        return _CallDetails(
            method=details.method,
            timeout=details.timeout,
            metadata=(*(details.metadata or ()), *self._metadata.of(details.method.rpartition("/")[2])),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
            compression=getattr(details, "compression", None),
        )


def _ill_formed(why: str) -> ArgumentInvalid:
    return ArgumentInvalid(
        f"the token is none of Tagwright's: {why}", field_violations=[FieldViolation(field="token", description=why)]
    )
