"""What the parts of a client have in common: the connection and the stubs."""

from __future__ import annotations

from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright.v1.search_service_pb2_grpc import SearchServiceStub
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub

from ._connection import Connection

CALL_TIMEOUT_S = 10.0


class Part:
    """A part of a client: all of them share one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._auth = AuthServiceStub(connection.channel)
        self._search = SearchServiceStub(connection.channel)
        self._stub = TaggingServiceStub(connection.channel)
