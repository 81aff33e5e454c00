"""What every call of ours passes through: room, the gate, its size, its deadline, and the status of what it raises.

Promises: no exception's text, no path and no traceback reaches a caller, except the safe text of a domain error. A call
over capacity, or of somebody who may not make it, is refused before its message is read. Strangers, who may log in and
nothing else, hold only some of the places, each peer only some of those, and have to say quickly what they want. A slow
upload holds one of `calls_max` places, no longer than `call_timeout_s`, and none of the machine's work. A message that
has come holds its length in bytes until its answer.

For that, our unary methods are registered as methods that read a stream of one message: grpc hands over the call at
once, and the message is received, measured and parsed here instead of inside grpc (which answers bytes it cannot parse
with INTERNAL, has one size limit for all methods, and reads a refused call's message to its end). Callers see no
difference.

Methods that answer with a stream, or read one, get no longer than `stream_timeout_s`. Either kind has places of its
own, of which an account gets a share, so that they cannot take those of all other calls.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tagwright.v1.search_service_pb2 import SearchImagesRequest
from tagwright.v1.tagging_service_pb2 import RefineTagsRequest
from tagwright_server.clock import Clock
from tagwright_server.domain.capacity import Capacity, SharedCapacity
from tagwright_server.domain.deadline import CallerGone, Deadline
from tagwright_server.errors import TagwrightError
from tagwright_server.transport import call as calls
from tagwright_server.transport import wire
from tagwright_server.transport.call import Call
from tagwright_server.transport.gate import Gate
from tagwright_server.transport.health import HealthCalls
from tagwright_server.transport.peer import throttle_group
from tagwright_server.transport.reflection import ReflectionCalls
from tagwright_server.transport.status import internal, to_status

log = logging.getLogger(__name__)

_OURS = "/tagwright."
_HEALTH = "/grpc.health."
_REFLECTION = "/grpc.reflection."
_Parse = Callable[[bytes], Any]
_Check = Callable[[bytes, wire.SizeLimits], None]
_Answer = Callable[[Iterator[bytes], grpc.ServicerContext], Any]
_CHECKS: Mapping[str, _Check] = {
    "/tagwright.v1.TaggingService/TagImage": wire.check_photo,
    "/tagwright.v1.TaggingService/TagImages": wire.check_photos,
    "/tagwright.v1.TaggingService/RefineTags": partial(wire.check_photo, field=RefineTagsRequest.IMAGE_FIELD_NUMBER),
    "/tagwright.v1.SearchService/SearchImages": partial(
        wire.check_photo, field=SearchImagesRequest.EXAMPLE_IMAGE_FIELD_NUMBER
    ),
    "/tagwright.v1.TaggingService/UploadImages": wire.check_upload,
}


class Guard(grpc.ServerInterceptor):
    """Wraps our methods and those of the health and reflection services; others are left as they are."""

    def __init__(
        self,
        *,
        gate: Gate,
        capacity: Capacity,
        strangers: SharedCapacity,
        stranger_message_s: float,
        message_bytes: Capacity,
        sizes: wire.SizeLimits,
        call_timeout_s: float,
        uploads: SharedCapacity,
        downloads: SharedCapacity,
        stream_timeout_s: float,
        clock: Clock,
        health: HealthCalls,
        reflection: ReflectionCalls,
    ) -> None:
        self._gate = gate
        self._capacity = capacity
        self._strangers = strangers
        self._stranger_message_s = stranger_message_s
        self._message_bytes = message_bytes
        self._sizes = sizes
        self._call_timeout_s = call_timeout_s
        self._uploads = uploads
        self._downloads = downloads
        self._stream_timeout_s = stream_timeout_s
        self._clock = clock
        self._health = health
        self._reflection = reflection
        self._watched: dict[Deadline, grpc.ServicerContext] = {}
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the wrapped handler; called on grpc's own thread, so it only looks it up."""
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = continuation(handler_call_details)
            if handler is None:
                return None  # grpc answers UNIMPLEMENTED
            self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def cancel_overdue(self) -> None:
        """Cut off the calls whose message has not come in time, or whose answer is not read; call about once a second.

        Callers with a deadline of their own are cut off by grpc. This is for the others.
        """
        for deadline, context in tuple(self._watched.items()):
            if not deadline.remaining_s():
                context.cancel()

    def _wrap(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        if method.startswith(_HEALTH):
            return self._health.wrap(handler)
        if method.startswith(_REFLECTION):
            return self._reflection.wrap(handler)
        if not method.startswith(_OURS):
            return handler
        parse, check = handler.request_deserializer, _CHECKS.get(method, wire.check_small)
        assert parse is not None  # noqa: S101  (ours all have one; for mypy)
        if handler.request_streaming:
            answers = self._from_stream(method, handler.stream_stream, parse, check)
        elif handler.response_streaming:
            answers = self._to_stream(method, handler.unary_stream, parse, check)
        else:
            guarded = self._guarded(method, self._unary(method, handler.unary_unary, parse, check))
            return grpc.stream_unary_rpc_method_handler(guarded, None, handler.response_serializer)
        guarded = self._guarded_stream(method, answers)
        return grpc.stream_stream_rpc_method_handler(guarded, None, handler.response_serializer)

    def _unary(self, method: str, method_of_service: Any, parse: _Parse, check: _Check) -> _Answer:
        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            with self._capacity.hold(), self._begun(method, context, self._call_timeout_s) as (call, message_by):
                message = self._receive(messages, context, message_by)
                check(message, self._sizes)  # first: what is too large for ever must not be told to come back
                with self._message_bytes.hold(len(message)):
                    request = _parsed(message, parse)
                    del message  # parsing copied it, and converting copies the photos once more: two, not three
                    calls.begin(call)
                    call.deadline.check("the call was begun")
                    response = method_of_service(request, context)
                    context.set_trailing_metadata(calls.trailing_metadata(call))
                    return response

        return answer

    def _to_stream(self, method: str, method_of_service: Any, parse: _Parse, check: _Check) -> _Answer:
        def answers(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            with (
                self._begun(method, context, self._stream_timeout_s) as (call, message_by),
                self._downloads.hold(call.caller.account.id),
            ):
                message = self._receive(messages, context, message_by)
                check(message, self._sizes)
                calls.begin(call)
                with self._watching(call.deadline, context):  # nobody may have to wait for one who does not read
                    yield from method_of_service(_parsed(message, parse), context)

        return answers

    def _from_stream(self, method: str, method_of_service: Any, parse: _Parse, check: _Check) -> _Answer:
        def answers(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            def requests(first_by: Deadline) -> Iterator[Any]:
                try:
                    with self._watching(first_by, context):
                        first = next(messages, None)
                    for message in messages if first is None else chain((first,), messages):
                        check(message, self._sizes)
                        yield _parsed(message, parse)
                except grpc.RpcError as err:
                    raise CallerGone from err

            with (
                self._begun(method, context, self._stream_timeout_s) as (call, message_by),
                self._uploads.hold(call.caller.account.id),
            ):
                calls.begin(call)
                with self._watching(call.deadline, context):
                    yield from method_of_service(requests(message_by), context)

        return answers

    @contextmanager
    def _begun(self, method: str, context: grpc.ServicerContext, timeout_s: float) -> Iterator[tuple[Call, Deadline]]:
        """Let a call begin, if it may be made; also say until when its first message has to be there."""
        with ExitStack() as stack:
            peer, caller = self._gate.admit(method, context)
            deadline = Deadline(min(context.time_remaining(), timeout_s), self._clock)
            message_by = Deadline(min(deadline.remaining_s(), self._call_timeout_s), self._clock)
            if caller is None:
                stack.enter_context(self._strangers.hold(throttle_group(peer)))
                message_by = Deadline(self._stranger_message_s, self._clock)
            call = Call(deadline, peer, caller, readmit=partial(self._gate.readmit, method))
            if not context.add_callback(call.deadline.hang_up):
                raise CallerGone
            yield call, message_by

    def _guarded(self, method: str, answer: _Answer) -> _Answer:
        def guarded(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            with self._errors(method, context):
                return answer(messages, context)

        return guarded

    def _guarded_stream(self, method: str, answers: _Answer) -> _Answer:
        def guarded(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
            with self._errors(method, context):
                yield from answers(messages, context)

        return guarded

    @contextmanager
    def _errors(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        begun_s = self._clock.monotonic_s()
        try:
            yield
        except TagwrightError as err:
            self._log_call(method, err.reason, begun_s)
            _abort(context, to_status(err))
        except CallerGone:
            self._log_call(method, "caller gone", begun_s)
            context.abort(grpc.StatusCode.CANCELLED, "the call was cancelled")
        except Exception:
            error_id = secrets.token_hex(6)
            log.exception("error %s in %s", error_id, method)
            _abort(context, internal(error_id))
        self._log_call(method, "ok", begun_s)

    def _receive(self, messages: Iterator[bytes], context: grpc.ServicerContext, deadline: Deadline) -> bytes:
        try:
            with self._watching(deadline, context):
                return next(messages)
        except grpc.RpcError as err:
            raise CallerGone from err
        except StopIteration as err:
            raise wire.malformed() from err

    @contextmanager
    def _watching(self, deadline: Deadline, context: grpc.ServicerContext) -> Iterator[None]:
        self._watched[deadline] = context
        try:
            yield
        finally:
            del self._watched[deadline]

    def _log_call(self, method: str, outcome: str, begun_s: float) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s, %.1f ms", method, outcome, (self._clock.monotonic_s() - begun_s) * 1e3)


def _parsed(message: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(message)
    except DecodeError as err:
        raise wire.malformed() from err


def _abort(context: grpc.ServicerContext, status: Status) -> NoReturn:
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort returned")
