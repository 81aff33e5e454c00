"""What the parts of a client have in common: the connection, the stubs, and lists that are read page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright.v1.search_service_pb2_grpc import SearchServiceStub
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub

from ._connection import Connection

CALL_TIMEOUT_S = 10.0

_Value = TypeVar("_Value")


class _Page(Protocol):
    next_page_token: str


_Response = TypeVar("_Response", bound=_Page)


class Part:
    """A part of a client: all of them share one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._auth = AuthServiceStub(connection.channel)
        self._search = SearchServiceStub(connection.channel)
        self._stub = TaggingServiceStub(connection.channel)


def pages(page: Callable[[str], _Response], values: Callable[[_Response], Iterable[_Value]]) -> Iterator[_Value]:
    """Go through the values of all pages; `page(token)` is called only when its page's turn comes."""
    page_token = ""
    while True:
        response = page(page_token)
        yield from values(response)
        if not response.next_page_token:
            return
        page_token = response.next_page_token
