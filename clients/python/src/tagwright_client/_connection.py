"""One connection to one server, which the parts of a client share: its channel, its token, its errors, its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import grpc

from ._cancellation import Cancellation
from ._channel import Address, open_channel
from ._errors import ArgumentInvalid, ClientClosed, ImageRejected, Overloaded, TagwrightError
from ._patience import patiently
from ._security import Security, refused
from ._token import Token
from ._translate import from_rpc_error

_Answer = TypeVar("_Answer")
_Response = TypeVar("_Response", covariant=True)


class Method(Protocol[_Response]):
    """A call of a stub, as far as it is used here."""

    def __call__(self, request: Any, timeout: float | None = None) -> _Response:
        """Make the call and wait for its answer."""
        ...


class Connection:
    """A channel with the token that its calls carry. Lets no error of grpc's out, and knows when it is closed."""

    def __init__(self, address: Address, *, security: Security, token: Token) -> None:
        security.check(secure=address.secure)
        self.address = address
        self.token = token
        self._plaintext = not (address.secure or address.loopback or security.insecure)
        if token.present:
            self.keep_secret("token")
        self.channel = open_channel(address, security, token)
        self._cancellation = Cancellation()
        self.closed = False

    def keep_secret(self, field: str) -> None:
        """Refuse to send the secret called `field` where everyone on the way could read it."""
        if self._plaintext:
            raise refused(
                field,
                f"{self.address.url} is another machine in plaintext, where everyone on the way could read it; "
                "use grpcs://, or say insecure=True if you must",
            )

    def call(
        self, method: Method[_Answer], request: Any, *, timeout_s: float, request_id: str | None = None
    ) -> _Answer:
        """Make a call that carries no photo, and return its answer."""
        with self.our_errors(request_id=request_id, oversize=ArgumentInvalid):
            return method(request, timeout=timeout_s)

    def patiently(self, attempt: Callable[[float], _Answer], *, timeout_s: float) -> _Answer:
        """Make `attempt(time left)` until the server is no longer overloaded; closing the client ends the wait."""
        try:
            return patiently(attempt, self._cancellation, timeout_s=timeout_s)
        except Overloaded as err:
            if self.closed:
                raise self._closed_error(err.request_id) from err
            raise

    def pause(self, seconds: float) -> None:
        """Wait between two calls; closing the client ends it with ClientClosed."""
        if not self._cancellation.pause(seconds):
            raise self._closed_error(None)

    def close(self) -> None:
        """End the connection and every call under way; calling it again does nothing."""
        self.closed = True
        self._cancellation.cancel()
        self.channel.close()

    @contextmanager
    def our_errors(
        self, *, request_id: str | None = None, oversize: type[TagwrightError] = ImageRejected
    ) -> Iterator[None]:
        """Let no error of grpc's out of the block; `oversize` is what a message over grpc's limit amounts to."""
        if self.closed:
            raise self._closed_error(request_id)
        try:
            yield
        except grpc.FutureCancelledError as err:  # by close(), or by a tag_many that nobody waits for any more
            raise self._closed_error(request_id) from err
        except grpc.RpcError as err:
            if self.closed:
                raise self._closed_error(request_id) from err
            error = from_rpc_error(err, url=self.address.url, oversize=oversize)
            if request_id is not None:
                error.request_id = request_id
            raise error from err
        except ValueError as err:
            if self.closed:  # grpc's way to say that another thread closed the channel a moment ago
                raise self._closed_error(request_id) from err
            raise

    def _closed_error(self, request_id: str | None) -> ClientClosed:
        error = ClientClosed("this client is closed; make a new one with Client.connect()")
        error.request_id = request_id
        return error
