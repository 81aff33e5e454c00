"""Server reflection, for tools such as grpcurl, where it was asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from servers import PATIENCE_S, FakeBackend, FakeDecoder, photo, running


def test_reflection_names_our_services_where_it_is_on(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, reflection=True) as server:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]))
        named = {service.name for service in answer.list_services_response.service}
    assert {"tagwright.v1.TaggingService", "tagwright.v1.SearchService", "grpc.health.v1.Health"} <= named


def test_who_stays_on_a_reflection_stream_keeps_no_photo_waiting(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    ended = threading.Event()

    def ask_and_stay() -> Iterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        ended.wait(PATIENCE_S)

    with running(repository, backend=backend, decoder=decoder, reflection=True, calls_max=1) as server:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        streams = [stub.ServerReflectionInfo(ask_and_stay()) for _ in range(24)]  # calls have 1 + 8 threads
        assert next(streams[0]).list_services_response.service
        assert server.tagging.TagImage(photo(b"50"), timeout=PATIENCE_S).tags.tags
        for stream in streams:
            stream.cancel()
        ended.set()
