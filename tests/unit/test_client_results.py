"""Lists in pages: value by value, page by page, and on from where another process was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import fake_auth
import fake_search
import fake_tagging
import pytest
from fake_auth import FakeAuth
from fake_search import FakeSearch

import tagwright_client as tw
from tagwright.v1 import audit_pb2, operation_pb2, tag_pb2
from tagwright.v1 import search_service_pb2 as pb
from tagwright_client import Client

List = Callable[..., tw.Results[Any]]
PHOTOS: dict[str, List] = {
    "ListImages": lambda client, **asked: client.images(owner="ada", **asked),
    "ListTags": lambda client, **asked: client.tags(prefix="t", order="COUNT", **asked),
    "ListOperations": lambda client, **asked: client.operations(**asked),
    "SearchImages": lambda client, **asked: client.search("dog", ranking="newest", **asked),
    "FindSimilar": lambda client, **asked: client.similar("z", **asked),
}
ACCOUNTS: dict[str, List] = {
    "ListUsers": lambda client, **asked: client.list_users(**asked),
    "ListApiKeys": lambda client, **asked: client.list_api_keys(username="ada", **asked),
    "ListAuditEvents": lambda client, **asked: client.list_audit_events(action="user.", **asked),
}


@pytest.fixture
def fake() -> Iterator[FakeSearch]:
    fake = FakeSearch()
    for id in "abcde":
        fake.keep(id)
        fake.tags[f"t{id}"] = tag_pb2.TagEntry(name=f"t{id}")
        fake.operations[id] = operation_pb2.Operation(id=id)
    fake.keep("z", tags=())
    with fake_search.serving(fake):
        yield fake


@pytest.fixture
def client(fake: FakeSearch) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


@dataclass
class Listed:
    """One of the lists, of five to seven, at a server that tells what it was asked and is `busy` when it shall be."""

    client: Client
    list_: List
    requests: Callable[[], list[Any]]
    busy: bool = False

    def __call__(self, **asked: Any) -> tw.Results[Any]:
        return self.list_(self.client, **asked)

    def meet(self, _name: object, _attempt: int, context: Any) -> None:
        if self.busy:
            fake_tagging.abort(context, fake_tagging.status(8, "busy", reason="OVERLOADED", retry_after_s=1.5))


@pytest.fixture(params=[*PHOTOS, *ACCOUNTS])
def listed(request: pytest.FixtureRequest, fake: FakeSearch, client: Client) -> Iterator[Listed]:
    name = request.param
    if name in PHOTOS:
        listed = Listed(client, PHOTOS[name], lambda: fake.called(name))
        fake.meet = listed.meet
        yield listed
        return
    accounts = FakeAuth(tokens={"token": "ada"})
    accounts.events = [audit_pb2.AuditEvent(id=number) for number in range(5)]
    with fake_auth.serving(accounts), Client.connect(accounts.url, token="token") as client:
        for number in range(5):
            client.create_user(f"user-{number}", fake_auth.PASSWORD)
            client.create_api_key(f"key {number}", ["search"])
        listed = Listed(client, ACCOUNTS[name], lambda: [call.request for call in accounts.called(name)])
        accounts.behave = listed.meet
        yield listed


def test_every_list_is_had_page_by_page_and_gone_on_with_elsewhere(listed: Listed) -> None:
    everything = list(listed())
    assert len(everything) >= 5
    before = len(listed.requests())
    pages: list[tuple[Any, ...]] = []
    page_token, tokens = "", list[str]()
    while not pages or page_token:
        results = listed(page_size=2, page_token=page_token)
        assert results.next_page_token == page_token
        pages.append(results.next_page())
        tokens.append(page_token)
        page_token = results.next_page_token
    assert [each for page in pages for each in page] == everything
    assert [len(page) for page in pages[:2]] == [2, 2]
    asked = listed.requests()[before:]
    assert [(request.page_size, request.page_token) for request in asked] == [(2, token) for token in tokens]
    for request in asked:
        request.page_token = ""
    assert asked == asked[:1] * len(asked)  # all else is the same
    assert list(listed(page_token="2")) == everything[2:]


def test_a_page_that_was_begun_is_had_to_its_end_and_then_the_next(listed: Listed) -> None:
    everything = tuple(listed())
    before = len(listed.requests())
    results = listed(page_size=3)
    assert next(results) == everything[0]
    assert results.next_page_token == "3"  # behind the page, not behind the value
    assert results.next_page() == everything[1:3]
    assert len(listed.requests()) == before + 1
    assert results.next_page() == everything[3:6]
    assert tuple(results) == everything[6:]
    assert (results.next_page(), results.next_page_token) == ((), "")
    assert list(results) == []


def test_a_page_that_could_not_be_had_is_asked_for_by_the_next_step(listed: Listed) -> None:
    results = listed(page_size=2)
    first = results.next_page()
    listed.busy = True
    for step in (results.next_page, lambda: next(results)):
        with pytest.raises(tw.Overloaded):
            step()
        assert results.next_page_token == "2"
    listed.busy = False
    assert [*first, *results] == list(listed())


def test_a_token_that_is_none_is_refused_before_anything_is_sent(listed: Listed) -> None:
    with pytest.raises(TypeError, match="page_token"):
        listed(page_token=2)
    with pytest.raises(tw.ArgumentInvalid) as caught:
        listed(page_token="\udcff")
    assert [violation.field for violation in caught.value.field_violations] == ["page_token"]
    assert listed.requests() == []


def test_a_page_that_makes_no_sense_gives_nothing(client: Client, fake: FakeSearch) -> None:
    fake.images["b"].create_time.seconds = 2**60
    results = client.images(page_size=3)
    results.next_page()
    for _ in range(2):
        with pytest.raises(tw.InternalError, match="create_time"):
            results.next_page()
    fake.keep("b")
    assert [image.id for image in results.next_page()] == ["c", "b", "a"]


def test_a_page_without_values_is_passed_over(fake: FakeSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [pb.FindSimilarResponse(next_page_token="1"), pb.FindSimilarResponse()]
    answers[1].images.add(similarity=0.5)
    monkeypatch.setattr(fake, "FindSimilar", lambda request, context: answers.pop(0))
    with fake_search.serving(fake), Client.connect(fake.url) as client:
        results = client.similar("a")
        assert [each.similarity for each in results.next_page()] == [0.5]
        assert results.next_page() == ()


def test_what_a_search_tells_of_the_whole_costs_no_page(client: Client, fake: FakeSearch) -> None:
    results = client.search("dog", page_size=2)
    assert (results.total_count, results.next_page_token) == (5, "2")
    assert [result.image.id for result in results.next_page()] == ["e", "d"]
    assert len(fake.calls) == 1


def test_whoever_goes_on_with_a_search_is_told_all_but_the_facets(client: Client, fake: FakeSearch) -> None:
    for id in "abcde":
        fake.keep(id, tags=("dog", "sea"))
    first = client.search("dog", page_size=2, include_facets=True)
    assert first.facets == (tw.Facet("sea", 5),)
    later = client.search("dog", page_size=2, page_token=first.next_page_token, include_facets=True)
    assert (later.total_count, later.understood_query, later.facets) == (5, "dog", ())
    assert later.next_page_token == "4"
    assert [request.include_facets for request in fake.called("SearchImages")] == [True, False]
    assert client.search(example_image_id="a", page_token="2").model_version == fake_tagging.MODEL
