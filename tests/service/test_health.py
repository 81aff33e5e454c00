"""The health service says what is so, and goes on saying it whatever else happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from servers import (
    NOT_SERVING,
    PATIENCE_S,
    SERVING,
    FakeBackend,
    FakeDecoder,
    Running,
    failure_of,
    health_stub,
    photo,
    running,
)

SERVICES = ("", "tagwright.v1.TaggingService")


def _watch(server: Running, service: str) -> Iterator[int]:
    request = health_pb2.HealthCheckRequest(service=service)
    for answer in health_stub(server.channel).Watch(request, timeout=PATIENCE_S):
        yield answer.status


@pytest.mark.parametrize("service", SERVICES)
def test_health_follows_the_models(steered: Running, backend: FakeBackend, service: str) -> None:
    said = _watch(steered, service)
    assert next(said) == SERVING
    backend.is_ready = False
    assert next(said) == NOT_SERVING
    assert steered.health(service) == NOT_SERVING
    backend.is_ready = True
    assert next(said) == SERVING
    assert steered.health(service) == SERVING


def test_a_server_whose_models_never_answered_is_not_serving(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    backend.is_ready = False
    with running(repository, backend=backend, decoder=decoder) as server:
        assert [server.health(service) for service in SERVICES] == [NOT_SERVING, NOT_SERVING]


def test_an_engine_that_cannot_even_be_asked_is_not_serving(steered: Running, backend: FakeBackend) -> None:
    said = _watch(steered, "")
    assert next(said) == SERVING
    backend.ready_error = RuntimeError("no answer")
    assert next(said) == NOT_SERVING
    backend.ready_error = None
    assert next(said) == SERVING


def test_the_health_of_an_unknown_service_is_not_found(steered: Running) -> None:
    check = health_stub(steered.channel).Check
    assert failure_of(check, health_pb2.HealthCheckRequest(service="unicorn.v1.Rides")).code == (
        grpc.StatusCode.NOT_FOUND
    )


def test_health_answers_while_every_thread_is_busy_and_calls_are_refused(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, calls_max=16) as server:
        decoder.latch.close()
        calls = [server.tagging.TagImage.future(photo(b"50")) for _ in range(40)]
        ended = threading.Semaphore(0)
        for call in calls:
            call.add_done_callback(lambda _: ended.release())
        decoder.latch.await_arrivals(16)
        for _ in range(24):
            assert ended.acquire(timeout=PATIENCE_S)
        assert server.health() == SERVING
        assert next(_watch(server, "")) == SERVING
        decoder.latch.open()
        codes = [call.code() for call in calls]
        assert codes.count(grpc.StatusCode.OK) == 16
        assert codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) == 24


def test_a_flood_is_refused_with_details_and_health_answers_in_it(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, calls_max=1, streams_max=1_000) as server:
        decoder.latch.close()
        held = server.tagging.TagImage.future(photo(b"50"))
        decoder.latch.await_arrivals()
        flood = [server.tagging.TagImage.future(photo(b"50")) for _ in range(400)]
        assert [server.health() for _ in range(20)] == [SERVING] * 20
        for call in flood:
            failure = failure_of(call.result)
            assert (failure.code, failure.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        decoder.latch.open()
        assert held.result(timeout=PATIENCE_S).tags.tags


def test_who_watches_does_not_hold_up_a_stop(repository: Path, backend: FakeBackend, decoder: FakeDecoder) -> None:
    with running(repository, backend=backend, decoder=decoder, stop_drain_s=PATIENCE_S) as server:
        said = _watch(server, "")
        assert next(said) == SERVING
        before_s = time.monotonic()
        server.app.stop()
        assert time.monotonic() - before_s < PATIENCE_S / 2
        assert list(said) == [NOT_SERVING]  # and then a clean end of the stream


def test_a_server_that_stops_says_so_first_and_finishes_what_it_accepted(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with (
        running(repository, backend=backend, decoder=decoder, stop_notice_s=0.5) as server,
        ThreadPoolExecutor(1) as elsewhere,
    ):
        said = _watch(server, "")
        assert next(said) == SERVING
        decoder.latch.close()
        accepted = server.tagging.TagImage.future(photo(b"50"))
        decoder.latch.await_arrivals()
        stopped = elsewhere.submit(server.app.stop)
        assert next(said) == NOT_SERVING
        also_accepted = server.tagging.TagImage.future(photo(b"60"))  # it still takes calls while balancers take note
        decoder.latch.await_arrivals()
        assert not stopped.done()
        decoder.latch.open()
        assert accepted.result(timeout=PATIENCE_S).tags.tags
        assert also_accepted.result(timeout=PATIENCE_S).tags.tags
        stopped.result(timeout=PATIENCE_S)
        assert failure_of(server.tagging.TagImage, photo(b"50")).code == grpc.StatusCode.UNAVAILABLE


def test_what_does_not_end_in_the_time_to_drain_is_cut_off(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, stop_drain_s=0.2) as server:
        decoder.latch.close()
        stuck = server.tagging.TagImage.future(photo(b"50"))
        decoder.latch.await_arrivals()
        opener = threading.Timer(PATIENCE_S, decoder.latch.open)
        opener.start()
        server.app.stop()
        assert stuck.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
        opener.cancel()
        decoder.latch.open()
