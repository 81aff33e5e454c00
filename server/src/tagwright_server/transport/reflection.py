"""Where the streams of server reflection run: on threads of their own, however many ask and however long they stay.

A stream holds its thread until it ends, so those who stay keep others waiting who want to ask, and nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc


class ReflectionCalls:
    """Has the reflection service's method run on `threads`."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    def wrap(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Have a method run on our threads: grpc looks for them as an attribute of the function it calls."""
        method = handler.stream_stream
        assert method is not None  # noqa: S101  (the protocol has this one method; for mypy)

        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            return method(requests, context)

        answer.experimental_thread_pool = self._threads  # type: ignore[attr-defined]  # grpc looks for it there
        return grpc.stream_stream_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)
