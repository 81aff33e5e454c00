"""Server reflection, for tools such as grpcurl, where it was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from servers import FakeBackend, FakeDecoder, running


def test_reflection_names_our_services_where_it_is_on(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, reflection=True) as server:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]))
        named = {service.name for service in answer.list_services_response.service}
    assert {"tagwright.v1.TaggingService", "grpc.health.v1.Health"} <= named
