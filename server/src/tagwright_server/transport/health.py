"""The standard health service, which says of each service whether it can do its work just now.

One thread looks at short intervals whether the models and the database answer. Answering has threads of its own, so
that no load of other calls keeps health from being asked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from tagwright.v1 import auth_service_pb2, search_service_pb2, tagging_service_pb2

log = logging.getLogger(__name__)

TAGGING = tagging_service_pb2.DESCRIPTOR.services_by_name["TaggingService"].full_name
AUTH = auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"].full_name
SEARCH = search_service_pb2.DESCRIPTOR.services_by_name["SearchService"].full_name
_SERVER = ""  # the protocol's name for the server as a whole
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """Health as `ready` sees it, for each service and for all together; `each_time` is done at the same intervals.

    `on_change` hears of the services, and of the server as a whole, which is "".
    """

    def __init__(
        self,
        *,
        ready: Mapping[str, Callable[[], bool]],
        interval_s: float,
        each_time: Callable[[], None],
        on_change: Callable[[str, bool], None],
    ) -> None:
        self._ready = ready
        self._interval_s = interval_s
        self._each_time = each_time
        self._on_change = on_change
        self._servicer = HealthServicer()
        self._said: dict[str, bool] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="health", daemon=True)
        for service in (*ready, _SERVER):
            self._say(service, False)

    def add_to(self, server: grpc.Server) -> None:
        """Register the service."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def start(self) -> None:
        """Look now, and from now on."""
        self._look()
        self._thread.start()

    def say_goodbye(self) -> None:
        """Say NOT_SERVING from now on, whatever the models do; uploads are still cut off in time."""
        self._servicer.enter_graceful_shutdown()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._look()

    def _look(self) -> None:
        try:
            self._each_time()
        except Exception:
            log.exception("looking after the calls failed")
        found = {service: self._answers(ready) for service, ready in self._ready.items()}
        for service, ready in (found | {_SERVER: all(found.values())}).items():
            if ready != self._said[service]:
                self._say(service, ready)
                self._on_change(service, ready)

    def _answers(self, ready: Callable[[], bool]) -> bool:
        try:
            return ready()
        except Exception:
            log.exception("looking whether a service is ready failed")
            return False

    def _say(self, service: str, ready: bool) -> None:
        self._said[service] = ready
        self._servicer.set(service, _SERVING if ready else _NOT_SERVING)


class HealthCalls:
    """Where the health service's calls run, and the streams of those who watch it."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._watchers: set[_Watcher] = set()

    def wrap(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """Have a method run on our threads: grpc looks for them as an attribute of the function it calls."""
        method: Any = handler.unary_stream or handler.unary_unary
        if not handler.response_streaming:

            def check(request: Any, context: grpc.ServicerContext) -> Any:
                return method(request, context)

            check.experimental_thread_pool = self._threads  # type: ignore[attr-defined]  # grpc looks for it there
            return grpc.unary_unary_rpc_method_handler(check, handler.request_deserializer, handler.response_serializer)

        def watch(request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]) -> None:
            watcher = _Watcher(send)
            with self._lock:
                self._watchers.add(watcher)
            context.add_callback(lambda: self._forget(watcher))
            method(request, context, watcher.send)

        watch.experimental_thread_pool = self._threads  # type: ignore[attr-defined]  # as above
        watch.experimental_non_blocking = True  # type: ignore[attr-defined]  # watching holds no thread
        return grpc.unary_stream_rpc_method_handler(watch, handler.request_deserializer, handler.response_serializer)

    def end_watching(self) -> None:
        """End the streams, which would otherwise hold up a stop until the time to drain is over."""
        with self._lock:
            watchers = tuple(self._watchers)
        for watcher in watchers:
            watcher.send(None)

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)


class _Watcher:
    """Who watches. None ends the stream, and may be sent by us, by the library, or by both."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._ended = False

    def send(self, answer: Any) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = answer is None
            self._send(answer)
