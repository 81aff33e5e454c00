"""Searching from the client: what goes out, pages by themselves, and a query that cannot be read."""

from __future__ import annotations

import dataclasses
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_search
import fake_tagging
import grpc
import pytest
from fake_search import FakeSearch

import tagwright_client as tw
from tagwright.v1 import search_pb2, tag_pb2
from tagwright.v1 import search_service_pb2 as pb
from tagwright_client import Client
from tagwright_client._translate import from_status

KEPT = "5" * 32
DOG = tw.Tag("dog", 0.75, "SUGGESTED", "MODEL", "fake@1")
CALLS: dict[str, Callable[[Client], Any]] = {
    "SearchImages": lambda client: list(client.search("dog")),
    "SuggestTags": lambda client: client.suggest_tags("d"),
    "RelatedTags": lambda client: client.related_tags("dog"),
    "FindSimilar": lambda client: list(client.similar("a")),
}


@pytest.fixture
def fake() -> Iterator[FakeSearch]:
    fake = FakeSearch()
    for id in "abc":
        fake.keep(id, tags=("dog", "sea") if id != "c" else ("dog",))
    fake.keep("d", tags=("cat",))
    for name in ("dog", "dock", "sea"):
        fake.tags[name] = tag_pb2.TagEntry(name=name, image_count=3)
    with fake_search.serving(fake):
        yield fake


@pytest.fixture
def client(fake: FakeSearch) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


def unreadable(query: str, position: int, expected: str = "a tag") -> tw.QueryInvalid:
    error = tw.QueryInvalid("no", metadata={"position": str(position), "expected": expected})
    error.query = query
    return error


def test_what_is_found_comes_as_frozen_values_with_why(client: Client) -> None:
    results = client.search("sea", ranking="diverse")
    first = next(results)
    sea = dataclasses.replace(DOG, name="sea")
    assert first == tw.SearchResult(
        image=client.image("b"),
        score=0.75,
        matches=(tw.TagMatch("sea", sea, 0.75, "suggested by the model"),),
        collapsed_ids=("f" * 32,),
    )
    assert [result.image.id for result in results] == ["a"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.score = 1.0  # type: ignore[misc]


def test_pages_are_asked_for_when_their_turn_comes(client: Client, fake: FakeSearch) -> None:
    results = client.search("dog", page_size=1)
    assert fake.calls == []
    assert next(results).image.id == "c"
    assert len(fake.calls) == 1
    assert [result.image.id for result in results] == ["b", "a"]
    assert [request.page_token for request in fake.called("SearchImages")] == ["", "1", "2"]
    assert list(results) == []
    assert len(fake.calls) == 3


def test_the_first_page_tells_of_the_whole_result_and_is_asked_for_once(client: Client, fake: FakeSearch) -> None:
    results = client.search("dog", include_facets=True)
    assert results.total_count == 3
    assert results.facets == (tw.Facet("sea", 2),)
    assert (results.understood_query, results.model_version) == ("dog", "")
    assert (results.timings.search_ms, results.timings.store_ms) == (4.25, 0.5)
    assert len(fake.calls) == 1
    assert len(list(results)) == results.total_count == 3
    assert [request.include_facets for request in fake.called("SearchImages")] == [True, False]
    assert results.facets == (tw.Facet("sea", 2),)
    assert client.search(example_image_id="a").model_version == fake_tagging.MODEL
    assert client.search("dog").facets == ()


def test_nothing_found_is_an_end_at_once(client: Client) -> None:
    results = client.search("unicorn")
    assert (list(results), results.total_count) == ([], 0)


def test_a_page_without_photos_is_not_the_end(fake: FakeSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [pb.SearchImagesResponse(next_page_token="1"), pb.SearchImagesResponse(next_page_token="2")]
    answers.append(pb.SearchImagesResponse(results=[search_pb2.SearchResult(score=0.5)]))
    monkeypatch.setattr(fake, "SearchImages", lambda request, context: answers.pop(0))
    with fake_search.serving(fake), Client.connect(fake.url) as client:
        assert [result.score for result in client.search()] == [0.5]


def test_a_page_that_could_not_be_had_is_asked_for_by_the_next_step(client: Client, fake: FakeSearch) -> None:
    def fail_once(name: str, attempt: int, context: Any) -> None:
        if attempt == 1:
            fake_tagging.abort(context, fake_tagging.status(8, "busy", reason="OVERLOADED", retry_after_s=1.5))

    fake.meet = fail_once
    results = client.search("dog")
    assert [next(results).image.id, next(results).image.id] == ["c", "b"]
    with pytest.raises(tw.Overloaded) as caught:
        next(results)
    assert caught.value.retry_after_s == 1.5
    assert [result.image.id for result in results] == ["a"]


def test_every_option_reaches_the_server_and_none_is_sent_unasked(client: Client, fake: FakeSearch) -> None:
    list(client.search())
    list(
        client.search(
            "dog",
            example_image_id=KEPT,
            ranking="newest",
            page_size=500,
            include_facets=True,
            max_facets=7,
            include_evidence=True,
        )
    )
    assert fake.called("SearchImages")[0] == pb.SearchImagesRequest(ranking=search_pb2.RANKING_RELEVANCE)
    assert fake.called("SearchImages")[-1] == pb.SearchImagesRequest(
        query="dog",
        example_image_id=KEPT,
        ranking=search_pb2.RANKING_NEWEST,
        page_size=500,
        include_facets=True,
        max_facets=7,
        include_evidence=True,
    )


def test_an_example_is_read_once_and_sent_with_every_page(client: Client, fake: FakeSearch, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"dog")
    results = client.search("dog", example=tmp_path / "photo.jpg", page_size=1)
    (tmp_path / "photo.jpg").unlink()
    assert len(list(results)) == 3
    assert {request.example_image for request in fake.called("SearchImages")} == {b"dog"}
    assert next(client.search(example=io.BytesIO(b"cat"))).image.id == "d"
    with pytest.raises(tw.PhotoUnreadable):
        client.search(example=tmp_path / "photo.jpg")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"example": b"dog", "example_image_id": KEPT}, "example"),
        ({"example_image_id": ""}, "example_image_id"),
        ({"example_image_id": "\ud800"}, "example_image_id"),
        ({"query": "\udcff"}, "query"),
        ({"ranking": "NEWEST"}, "ranking"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    client: Client, fake: FakeSearch, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(tw.ArgumentInvalid) as caught:
        client.search(**given)
    assert [violation.field for violation in caught.value.field_violations] == [field]
    assert fake.calls == []


def test_a_query_that_cannot_be_read_says_where_and_what_belongs_there(client: Client) -> None:
    results = client.search("dog & )")
    with pytest.raises(tw.QueryInvalid) as caught:
        next(results)
    error = caught.value
    assert (error.position, error.expected, error.query) == (6, "a tag or a filter", "dog & )")
    assert (error.reason, error.code) == ("ARGUMENT_INVALID", "INVALID_ARGUMENT")
    assert str(error) == "query: a tag was expected\n  dog & )\n        ^"
    with pytest.raises(tw.ArgumentInvalid):
        _ = results.total_count


@pytest.mark.parametrize(
    ("query", "position", "shown"),
    [
        ("dog &", 5, ["dog &", "     ^"]),
        ("dog &", 99, ["dog &", "     ^"]),
        ("a\tb\n)", 4, ["a b )", "    ^"]),
        ("犬 )", 2, ["犬 )", "   ^"]),
        ("e\u0301 )", 3, ["e\u0301 )", "  ^"]),
        ("x" * 60 + ")" + "y" * 60, 60, ["…" + "x" * 50 + ")" + "y" * 49 + "…", " " * 51 + "^"]),
    ],
)
def test_the_caret_stands_below_what_cannot_be_read(query: str, position: int, shown: list[str]) -> None:
    assert str(unreadable(query, position)).splitlines() == ["no", *(f"  {line}" for line in shown)]


def test_without_a_query_there_is_no_caret() -> None:
    assert str(unreadable("", 0)) == "no"


@pytest.mark.parametrize(
    "metadata",
    [
        {"field": "ranking", "position": "3"},
        {"field": "query"},
        {"field": "query", "position": "-1"},
        {"field": "query", "position": "x"},
        {},
    ],
)
def test_any_other_wrong_argument_is_no_wrong_query(metadata: dict[str, str]) -> None:
    error = from_status(fake_tagging.status(3, "no", reason="ARGUMENT_INVALID", metadata=metadata))
    assert type(error) is tw.ArgumentInvalid


def test_tags_are_suggested_and_related_and_photos_alike_are_found(client: Client, fake: FakeSearch) -> None:
    assert client.suggest_tags("do", max_suggestions=1) == (tw.TagSuggestion("dock", 3, "docks", 1),)
    assert [each.name for each in client.suggest_tags()] == ["dock", "dog", "sea"]
    assert client.related_tags("dog", max_tags=1) == tw.RelatedTags(
        tag=tw.TagEntry("dog", (), (), 3, 0), related=(tw.RelatedTag("dock", 0.5, 0.75, 0.25, 2),)
    )
    alike = client.similar("a")
    assert fake.called("FindSimilar") == []
    assert next(alike) == tw.SimilarImage(client.image("d"), 0.875, True)
    assert [each.image.id for each in alike] == ["c", "b"]
    list(client.similar("a", page_size=500))
    assert [request.page_size for request in fake.called("FindSimilar")] == [0, 0, 500]
    with pytest.raises(tw.NotFound):
        client.related_tags("unicorn")
    with pytest.raises(tw.NotFound):
        next(client.similar("z"))
    with pytest.raises(tw.ArgumentInvalid, match="image_id"):
        client.similar("")


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.search(7),
        lambda client: client.search(example=7),
        lambda client: client.search(example_image_id=7),
        lambda client: client.suggest_tags(7),
        lambda client: client.related_tags(7),
        lambda client: client.similar(7),
    ],
)
def test_an_argument_of_a_wrong_type_is_a_type_error(client: Client, use: Callable[[Client], object]) -> None:
    with pytest.raises(TypeError):
        use(client)


@pytest.mark.parametrize("name", CALLS)
def test_a_search_is_made_again_when_the_server_is_away_for_a_moment(
    client: Client, fake: FakeSearch, name: str
) -> None:
    def fail_once(name: str, attempt: int, context: Any) -> None:
        if attempt == 0:
            fake_tagging.abort(context, fake_tagging.status(14, "restarting"))

    fake.meet = fail_once
    CALLS[name](client)
    assert len(fake.called(name)) >= 2


def test_each_page_has_a_time_of_its_own(client: Client, fake: FakeSearch) -> None:
    ended = threading.Event()

    def second_hangs(name: str, attempt: int, context: grpc.ServicerContext) -> None:
        if attempt == 1:
            context.add_callback(ended.set)
            ended.wait(10)

    fake.meet = second_hangs
    results = client.search("dog", timeout_s=5)
    assert next(results)
    results = client.search("dog", timeout_s=0.2)
    with pytest.raises(tw.DeadlineExceeded):
        next(results)
    assert ended.wait(10)
