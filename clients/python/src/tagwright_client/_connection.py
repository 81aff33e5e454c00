"""One connection to one server, which the parts of a client share: its channel, its token, its errors, its end.

Every call is made here, by `timed_call` or `stream`: the one place where calls are recorded for a profile, and where
they become ones that can be called off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import grpc

from ._cancellation import Cancellation, current, linked
from ._channel import Address, open_channel
from ._convert import stages, timings
from ._errors import ArgumentInvalid, ClientClosed, ImageRejected, Overloaded, TagwrightError
from ._patience import patiently
from ._profile import Recorder, Recording
from ._security import Security, refused
from ._token import Token
from ._translate import from_rpc_error
from ._values import Timings

_Answer = TypeVar("_Answer")
_Response = TypeVar("_Response", covariant=True)


class _Future(Protocol[_Response]):
    def result(self) -> _Response: ...
    def cancel(self) -> object: ...
    def trailing_metadata(self) -> Any: ...


class _Pieces(Protocol[_Response]):
    def __iter__(self) -> Iterator[_Response]: ...
    def cancel(self) -> object: ...
    def code(self) -> grpc.StatusCode: ...
    def trailing_metadata(self) -> Any: ...


class Method(Protocol[_Response]):
    """A call of a stub, as far as it is used here."""

    def with_call(self, request: Any, timeout: float | None = None) -> tuple[_Response, grpc.Call]:
        """Make the call and wait for its answer."""
        ...

    def future(self, request: Any, timeout: float | None = None) -> _Future[_Response]:
        """Begin the call."""
        ...


class Stream(Generic[_Response]):
    """A call whose answer comes in pieces, under way. Whoever opened it goes through it, or cancels it."""

    def __init__(self, call: _Pieces[_Response], recording: Recording) -> None:
        self._call = call
        self._recording = recording
        self._scope = current()
        if self._scope is not None:
            self._scope.track(call)

    def __iter__(self) -> Iterator[_Response]:
        """Go through the answer's pieces."""
        try:
            yield from self._call
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End it now; does nothing once it is over."""
        self._call.cancel()
        if self._scope is not None:
            self._scope.forget(self._call)
        told = stages(self._call.trailing_metadata() or ())
        self._recording.end(told, failed=self._call.code() is not grpc.StatusCode.OK)


class Connection:
    """A channel with the token that its calls carry. Lets no error of grpc's out, and knows when it is closed."""

    def __init__(self, address: Address, *, security: Security, token: Token, forwarded_for: str | None = None) -> None:
        security.check(secure=address.secure)
        self.address = address
        self.token = token
        self._plaintext = not (address.secure or address.loopback or security.insecure)
        if token.present:
            self.keep_secret("token")
        self.channel = open_channel(address, security, token, forwarded_for=forwarded_for)
        self.recorder = Recorder()
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
        return self.timed_call(method, request, timeout_s=timeout_s, request_id=request_id, oversize=ArgumentInvalid)[0]

    def timed_call(
        self,
        method: Method[_Answer],
        request: Any,
        *,
        timeout_s: float,
        request_id: str | None = None,
        oversize: type[TagwrightError] = ImageRejected,
        cancellation: Cancellation | None = None,
    ) -> tuple[_Answer, Timings]:
        """Make a call, and return its answer and where the time went; `oversize` as in `our_errors`.

        It ends with `cancellation`; without one, with that of the scope, if there is any.
        """
        with self.our_errors(request_id=request_id, oversize=oversize):
            recording = self.recorder.begin(_name(request))
            try:
                answer, call = _made(method, request, timeout_s, cancellation or current())
            except BaseException:
                recording.end({}, failed=True)
                raise
            trailing = call.trailing_metadata() or ()
            total_ms = recording.end(stages(trailing), failed=False)
        return answer, timings(trailing, total_ms=total_ms)

    def stream(
        self, method: Callable[..., _Pieces[_Answer]], request: Any, *, name: str = "", timeout_s: float | None = None
    ) -> Stream[_Answer]:
        """Begin a call whose answer comes in pieces; call it, and go through it, inside `our_errors`.

        `request` may be an iterator of them; then `name` is the call's. It ends with the scope that it began in.
        """
        recording = self.recorder.begin(name or _name(request))
        return Stream(method(request, timeout=timeout_s), recording)

    def patiently(self, attempt: Callable[[float], _Answer], *, timeout_s: float) -> _Answer:
        """Make `attempt(time left)` until the server is no longer overloaded; closing the client ends the wait."""
        try:
            with linked(self._cancellation) as cancellation:
                return patiently(attempt, cancellation, timeout_s=timeout_s)
        except Overloaded as err:
            if self.closed:
                raise self._closed_error(err.request_id) from err
            raise

    def pause(self, seconds: float) -> None:
        """Wait between two calls; closing the client ends it with ClientClosed."""
        with linked(self._cancellation) as cancellation:
            if not cancellation.pause(seconds):
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


def _made(
    method: Method[_Answer], request: Any, timeout_s: float, cancellation: Cancellation | None
) -> tuple[_Answer, _Future[_Answer] | grpc.Call]:
    if cancellation is None:
        return method.with_call(request, timeout=timeout_s)
    call = method.future(request, timeout=timeout_s)  # can be cancelled, and costs a hand-over between threads
    with cancellation.tracking(call):
        return call.result(), call


def _name(request: Any) -> str:
    return type(request).__name__.removesuffix("Request")  # the contract names each request so
