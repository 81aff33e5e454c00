"""The gRPC server: services, threads, limits and an address put together, started and stopped.

A call holds a thread from its first byte on, so there are as many threads as calls are taken, and a few to refuse the
rest: sixteen slow uploads must not stop a server of sixteen threads. They cost little; what keeps cores busy is bounded
elsewhere, by the decoding workers and the model's own queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION
from grpc_reflection.v1alpha.reflection import enable_server_reflection

from tagwright.v1.auth_service_pb2_grpc import add_AuthServiceServicer_to_server
from tagwright.v1.search_service_pb2_grpc import add_SearchServiceServicer_to_server
from tagwright.v1.tagging_service_pb2_grpc import add_TaggingServiceServicer_to_server
from tagwright_server.address import Address
from tagwright_server.clock import Clock
from tagwright_server.domain.capacity import Capacity, SharedCapacity
from tagwright_server.errors import StartupError
from tagwright_server.settings import Settings
from tagwright_server.transport.auth import AuthService
from tagwright_server.transport.gate import Gate
from tagwright_server.transport.guard import Guard
from tagwright_server.transport.health import AUTH, SEARCH, TAGGING, Health, HealthCalls
from tagwright_server.transport.reflection import ReflectionCalls
from tagwright_server.transport.search import SearchService
from tagwright_server.transport.security import Tls
from tagwright_server.transport.tagging import TaggingService
from tagwright_server.transport.wire import SizeLimits

_REFUSING_THREADS = 8
_PEERS = 4  # that it takes to hold all places of those who log in, or of those who read photos
_UPLOADERS = 2  # that it takes to hold all places of uploads
_HEALTH_THREADS = 2
_REFLECTION_THREADS = 2
# Where grpc itself refuses, health too and without details. So it is more than can pile up while our own threads refuse
# the rest, some thousand a second: 64 connections with all of their 256 streams.
_MOST_CALLS = 16_384


@dataclass(frozen=True, slots=True)
class Services:
    """Our services, one of each."""

    auth: AuthService
    tagging: TaggingService
    search: SearchService


class Server:
    """One listening server."""

    def __init__(
        self,
        settings: Settings,
        *,
        services: Services,
        gate: Gate,
        ready: Mapping[str, Callable[[], bool]],
        on_change: Callable[[str, bool], None],
        on_stop: Callable[[], None],
        clock: Clock,
        tls: Tls | None = None,
    ) -> None:
        self._settings = settings
        self._on_stop = on_stop  # what goes on for long is asked to end
        self._health_threads = ThreadPoolExecutor(_HEALTH_THREADS, thread_name_prefix="health")
        self._health_calls = HealthCalls(self._health_threads)
        self._reflection_threads = ThreadPoolExecutor(_REFLECTION_THREADS, thread_name_prefix="reflection")
        guard = Guard(
            gate=gate,
            strangers=SharedCapacity(
                settings.logins_max, "logins", each=max(1, settings.logins_max // _PEERS), whose="address"
            ),
            stranger_message_s=settings.login_message_s,
            capacity=Capacity(settings.calls_max, "calls"),
            message_bytes=Capacity(settings.request_bytes_in_progress_max, "bytes of requests"),
            sizes=SizeLimits(settings.photo_bytes_max, settings.request_overhead_bytes_max),
            call_timeout_s=settings.call_timeout_s,
            uploads=SharedCapacity(
                settings.uploads_max, "uploads", each=max(1, settings.uploads_max // _UPLOADERS), whose="account"
            ),
            downloads=SharedCapacity(
                settings.calls_max, "downloads", each=max(1, settings.calls_max // _PEERS), whose="account"
            ),
            stream_timeout_s=settings.stream_age_max_s + settings.call_timeout_s,
            clock=clock,
            health=self._health_calls,
            reflection=ReflectionCalls(self._reflection_threads),
        )
        self._grpc = grpc.server(
            ThreadPoolExecutor(
                2 * settings.calls_max + settings.uploads_max + _REFUSING_THREADS, thread_name_prefix="call"
            ),
            interceptors=[guard],
            options=_options(settings),
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        add_AuthServiceServicer_to_server(services.auth, self._grpc)
        add_TaggingServiceServicer_to_server(services.tagging, self._grpc)
        add_SearchServiceServicer_to_server(services.search, self._grpc)
        self._health = Health(
            ready=ready, interval_s=settings.health_interval_s, each_time=guard.cancel_overdue, on_change=on_change
        )
        self._health.add_to(self._grpc)
        if settings.reflection:
            health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
            enable_server_reflection((AUTH, TAGGING, SEARCH, health_name, REFLECTION), self._grpc)
        self.address = _bind(self._grpc, Address.parse(settings.listen), tls)

    def start(self) -> None:
        """Take calls, with health saying how it is."""
        self._grpc.start()
        self._health.start()

    def stop(self) -> None:
        """Say NOT_SERVING, then refuse new calls, give those in progress `stop_drain_s`, and end."""
        self._health.say_goodbye()
        self._on_stop()
        time.sleep(self._settings.stop_notice_s)
        stopped = self._grpc.stop(self._settings.stop_drain_s)
        self._health_calls.end_watching()
        stopped.wait()
        self._health.stop()
        self._health_threads.shutdown()
        self._reflection_threads.shutdown()


def _bind(server: grpc.Server, address: Address, tls: Tls | None) -> Address:
    try:
        if tls is not None:
            port = server.add_secure_port(str(address), tls.credentials())
        else:
            port = server.add_insecure_port(str(address))
    except RuntimeError as err:
        raise StartupError(f"cannot listen on {address}") from err
    return address if address.path else Address(host=address.host, port=port)


def _options(settings: Settings) -> list[tuple[str, int]]:
    def ms(seconds: float) -> int:
        return round(seconds * 1000)

    return [
        ("grpc.so_reuseport", int(settings.reuse_port)),
        ("grpc.max_receive_message_length", settings.batch_bytes_max),
        ("grpc.max_send_message_length", -1),  # answers are small by what they can hold
        ("grpc.max_metadata_size", settings.metadata_bytes_max),
        ("grpc.absolute_max_metadata_size", settings.metadata_bytes_max),  # in between, grpc refuses at random
        ("grpc.max_concurrent_streams", settings.streams_max),
        ("grpc.server_handshake_timeout_ms", ms(settings.connection_handshake_max_s)),
        ("grpc.max_connection_idle_ms", ms(settings.connection_idle_max_s)),
        ("grpc.max_connection_age_ms", ms(settings.connection_age_max_s)),
        ("grpc.max_connection_age_grace_ms", ms(settings.connection_age_grace_s)),
        ("grpc.keepalive_time_ms", ms(settings.keepalive_interval_s)),
        ("grpc.keepalive_timeout_ms", ms(settings.keepalive_timeout_s)),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", ms(settings.client_ping_interval_min_s)),
    ]
