"""Searching by tags and by look, through a real server, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from people import SHARED, Eye, Person, failed, person, unique
from servers import FakeDecoder, Running, running

from tagwright.v1 import search_pb2
from tagwright.v1 import search_service_pb2 as pb
from tagwright.v1 import tagging_service_pb2 as tagging

DIVERSE, NEWEST = search_pb2.RANKING_DIVERSE, search_pb2.RANKING_NEWEST


@pytest.fixture(scope="module")
def shared(repository: Path, database_of_module: dict[str, Any]) -> Iterator[Running]:
    """One server for all tests that bring their own people."""
    with running(repository, backend=Eye(), decoder=FakeDecoder(), **database_of_module) as serving:
        yield serving


@pytest.fixture
def ann(shared: Running) -> Person:
    return person(shared)


@pytest.fixture
def bob(shared: Running) -> Person:
    return person(shared)


def search(who: Person, query: str = "", **said: Any) -> pb.SearchImagesResponse:
    answer: pb.SearchImagesResponse = who.SearchImages(pb.SearchImagesRequest(query=query, **said))
    return answer


def ids(answer: pb.SearchImagesResponse) -> list[str]:
    return [result.image.id for result in answer.results]


def test_a_photo_is_found_by_its_tag_at_once(ann: Person) -> None:
    first = ann.store(unique(), "ginger cat").image_id
    assert ids(search(ann, '"ginger cat"')) == [first]
    second = ann.store(unique(), "other", "ginger cat").image_id
    answer = search(ann, '"Ginger  CAT"', include_facets=True, include_evidence=True)
    assert ids(answer) == [first, second]  # its owner typed it first
    assert answer.total_count == 2
    assert answer.understood_query == '"ginger cat"'
    print(answer)
