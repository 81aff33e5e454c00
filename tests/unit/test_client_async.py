"""The asyncio twin: it has whatever the client has, does the same, and never makes the event loop wait."""

from __future__ import annotations

import asyncio
import functools
import inspect
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_auth
import fake_search
import fake_tagging
import fake_upload
import pytest
from asyncs import WAIT_S, Signal, asynchronous, client_threads
from fake_search import FakeSearch

import tagwright_client as tw
from tagwright.v1 import operation_pb2, tag_pb2
from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_client import AsyncClient, Client


@pytest.fixture
def fake() -> Iterator[FakeSearch]:
    fake = FakeSearch()
    for id in "abc":
        fake.keep(id)
    fake.tags["dog"] = tag_pb2.TagEntry(name="dog")
    fake.operations["1"] = operation_pb2.Operation(id="1", state=operation_pb2.OPERATION_STATE_RUNNING)
    with fake_search.serving(fake, threads=110):  # as many as wait for each other below
        yield fake


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(kind: type, name: str) -> list[inspect.Parameter]:
    return list(inspect.signature(getattr(kind, name)).parameters.values())


def test_the_twin_has_every_method_of_the_client_and_no_other() -> None:
    assert public(AsyncClient) == public(Client)
    assert public(tw.AsyncResults) - {"aclose"} == public(tw.Results)
    assert public(tw.AsyncSearchResults) - {"aclose"} == public(tw.SearchResults)


def test_what_results_have_as_attributes_and_methods_is_awaited() -> None:
    for ours, theirs in ((tw.AsyncResults, tw.Results), (tw.AsyncSearchResults, tw.SearchResults)):
        for name in public(theirs):
            told = getattr(theirs, name)
            function: Any = told.fget if isinstance(told, property) else told
            assert inspect.iscoroutinefunction(getattr(ours, name))
            assert inspect.signature(getattr(ours, name)) == inspect.signature(function)
            assert getattr(ours, name).__doc__ == function.__doc__


@pytest.mark.parametrize("name", sorted(public(Client) - {"url"}))
def test_a_method_of_the_twin_takes_the_same_and_says_how_it_is_used(name: str) -> None:
    ours, theirs = getattr(AsyncClient, name), getattr(Client, name)
    assert parameters(AsyncClient, name) == parameters(Client, name)
    assert ours.__doc__
    assert ours.__qualname__.startswith(("AsyncClient.", "Twin."))
    returned = inspect.signature(theirs).return_annotation
    if name in ("connect", "profile"):
        assert not inspect.iscoroutinefunction(ours)
    elif returned == "SearchResults":
        assert inspect.signature(ours).return_annotation == "AsyncSearchResults"
    elif returned.startswith("Results["):
        assert inspect.signature(ours).return_annotation == f"Async{returned}"
    elif returned.startswith("Generator["):
        value = returned.removeprefix("Generator[").partition(",")[0]
        assert inspect.signature(ours).return_annotation == f"AsyncStream[{value}]"
    else:
        assert inspect.iscoroutinefunction(ours)
        assert inspect.signature(ours).return_annotation == returned


@asynchronous
async def test_one_photo_is_tagged_as_the_client_does(fake: FakeSearch, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"dog")
    async with AsyncClient.connect(fake.url) as client:
        assert client.url == fake.url
        answer = await client.tag(tmp_path / "photo.jpg", max_tags=3, author="Ada", store=True)
        assert answer.tags == (tw.Tag("dog", 0.75, "SUGGESTED", "MODEL", "fake@1"),)
        assert answer.timings.inference_ms == 3.5
        assert (await client.refine(b"dog", user_tags=["sky"])).decisions[0].name == "sky"
        assert [model.id for model in await client.models()] == ["fake@1"]
        assert (await client.content("a")).data == b"dog"
        await client.save_content("a", tmp_path / "kept.jpg")
    assert (tmp_path / "kept.jpg").read_bytes() == b"dog"
    (request,) = fake.requests
    assert (request.options.max_tags, request.author, request.file_name) == (3, "Ada", "photo.jpg")


@asynchronous
async def test_lists_are_gone_through_page_by_page(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        images = client.images(owner="ada")
        assert fake.calls == []
        assert [image.id async for image in images] == ["c", "b", "a"]
        assert [image.id async for image in images] == []
        assert [entry.name async for entry in client.tags()] == ["dog"]
        assert [each.image.id async for each in client.similar("a", page_size=1)] == ["c", "b"]
    assert len(fake.called("ListImages")) == 2


@asynchronous
async def test_pages_are_had_one_by_one_and_gone_on_from_later(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        for list_ in (client.images, functools.partial(client.search, "dog")):
            results = list_(page_size=2)
            assert await results.next_page_token() == ""
            assert (await anext(results)).__class__ in (tw.Image, tw.SearchResult)
            assert [len(await results.next_page()) for _ in range(3)] == [1, 1, 0]
            assert await results.next_page_token() == ""
            first, later = list_(page_size=2), list_(page_size=2, page_token="2")
            assert len(await first.next_page()) == 2
            assert await first.next_page_token() == await later.next_page_token() == "2"
            assert [page async for page in later] == list(await first.next_page())
        with pytest.raises(TypeError, match="page_token"):
            await client.images(page_token=7).next_page_token()  # type: ignore[arg-type]


@asynchronous
async def test_a_search_pages_by_itself_and_tells_of_the_whole_result(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        results = client.search("dog", page_size=2, include_facets=True)
        assert fake.calls == []
        assert (await results.total_count(), await results.understood_query()) == (3, "dog")
        assert (await results.facets(), await results.model_version()) == ((), "")
        assert (await results.timings()).search_ms == 4.25
        assert len(fake.calls) == 1
        assert [result.image.id async for result in results] == ["c", "b", "a"]
        await results.aclose()
        assert await client.suggest_tags("d") == (tw.TagSuggestion("dog", 3, "dogs", 1),)
        assert (await client.related_tags("dog")).tag.name == "dog"
    assert len(fake.called("SearchImages")) == 2


@asynchronous
async def test_errors_are_those_of_the_client(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        with pytest.raises(tw.ImageRejected) as rejected:
            await client.tag(b"!truncated")
        assert rejected.value.metadata["limit"] == "truncated"
        with pytest.raises(tw.PhotoUnreadable):
            await client.tag("/no/such/photo.jpg")
        with pytest.raises(tw.NotFound):
            await client.image("z")
        with pytest.raises(tw.QueryInvalid, match=r"\n  \)\n  \^$"):
            await anext(client.search(")"))
        for wrong in (
            client.images(tag=""),
            client.search("dog", ranking="NEWEST"),
            client.tag_many([], concurrency=0),
        ):
            with pytest.raises(tw.ArgumentInvalid):
                await anext(wrong)
        with pytest.raises(TypeError):
            await client.tag(7)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="max_tagz"):
            await client.tag(b"dog", max_tagz=3)  # type: ignore[call-arg]


@asynchronous
async def test_a_hundred_calls_are_under_way_at_once(fake: FakeSearch) -> None:
    all_there = threading.Barrier(100)

    def meet(attempt: int, request: object, context: object) -> None:
        all_there.wait(WAIT_S)

    fake.behave = meet
    async with AsyncClient.connect(fake.url) as client:
        answers = await asyncio.gather(*(client.tag(b"%d" % number) for number in range(100)))
    assert [answer.tags[0].name for answer in answers] == [str(number) for number in range(100)]


@asynchronous
async def test_more_calls_than_there_are_threads_wait_for_their_turn(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        answers = await asyncio.gather(*(client.image("a") for _ in range(300)))
    assert len(answers) == 300


@asynchronous
async def test_many_photos_come_back_in_order_with_failures_in_their_place(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        photos: list[tw.Photo] = [b"first", b"!truncated", b"last"]
        results = [result async for result in client.tag_many(photos, on_error="return")]
        assert [result.index for result in results] == [0, 1, 2]
        assert isinstance(results[1].error, tw.ImageRejected)
        with pytest.raises(tw.ImageRejected):
            assert [result async for result in client.tag_many(photos)]


@asynchronous
async def test_photos_are_uploaded_and_the_calls_profiled() -> None:
    with fake_tagging.serving(fake_upload.FakeUpload()) as fake:
        async with AsyncClient.connect(fake.url) as client:
            with client.profile() as profile:
                results = [result async for result in client.upload([b"dog", b"cat", b"!truncated"])]
                await asyncio.gather(*(client.tag(b"dog") for _ in range(5)))
    assert sorted(result.tags.tags[0].name if result.tags else "!" for result in results) == ["!", "cat", "dog"]
    assert {call.name: call.count for call in profile.calls} == {"UploadImages": 1, "TagImage": 5}


@asynchronous
async def test_signing_in_is_for_all_later_calls() -> None:
    with fake_auth.serving() as fake:
        async with AsyncClient.connect(fake.url) as client:
            login = await client.login("ada", fake_auth.PASSWORD)
            assert (await client.who_am_i()).user.username == "ada"
            assert [user.username async for user in client.list_users()] == ["ada", "bob"]
    assert {call.token for call in fake.calls[1:]} == {login.access_token}


Use = Callable[[AsyncClient, Callable[[], bytes]], Any]
READING: dict[str, Use] = {
    "a file": lambda client, read: client.tag(_file(read)),
    "an example": lambda client, read: client.search(example=_file(read)).total_count(),
    "many photos": lambda client, read: _all(client.tag_many(read() for _ in range(2))),
    "a callable": lambda client, read: _all(client.upload([tw.UploadPhoto(read)])),
}


def _file(read: Callable[[], bytes]) -> Any:
    class File(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return read()

    return File()


async def _all(values: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in values]


@pytest.mark.parametrize("what", READING)
@asynchronous
async def test_the_event_loop_goes_on_while_photos_are_read(what: str) -> None:
    @dataclass
    class Fake(FakeSearch, fake_upload.FakeUpload):
        pass

    read_begins, go_on = Signal(), threading.Event()

    def read() -> bytes:
        read_begins.set()
        assert go_on.wait(WAIT_S)  # which only the loop sets
        return b"dog"

    with fake_search.serving(Fake()) as fake:
        async with AsyncClient.connect(fake.url) as client:
            under_way = asyncio.ensure_future(READING[what](client, read))
            await read_begins.wait()
            go_on.set()
            await under_way


@asynchronous
async def test_whoever_waits_for_an_operation_is_told_in_the_event_loop(
    fake: FakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tagwright_client._operations._FIRST_PAUSE_S", 0.001)

    def progress(operation: operation_pb2.Operation) -> None:
        operation.done += 1
        if operation.done % 3 == 0:
            operation.state = operation_pb2.OPERATION_STATE_SUCCEEDED

    fake.progress = progress
    told: list[tuple[int, str]] = []

    def tell(operation: tw.Operation) -> None:
        told.append((operation.done, threading.current_thread().name))

    async def tell_later(operation: tw.Operation) -> None:
        assert (await client.image("a")).id == "a"
        tell(operation)

    def complain(operation: tw.Operation) -> None:
        raise LookupError("mine")

    async with AsyncClient.connect(fake.url) as client:
        assert (await client.wait_for_operation("1", on_progress=tell)).state == "SUCCEEDED"
        assert told == [(1, "MainThread"), (2, "MainThread"), (3, "MainThread")]
        await client.wait_for_operation("1", on_progress=tell_later)
        assert told[3:] == [(4, "MainThread")]
        assert (await client.wait_for_operation("1")).done == 5
        with pytest.raises(LookupError, match="mine"):
            await client.wait_for_operation("1", on_progress=complain)


def test_a_client_outlives_an_event_loop(fake: FakeSearch) -> None:
    client = AsyncClient.connect(fake.url)
    for _ in range(2):
        assert asyncio.run(client.tag(b"dog")).tags
    asyncio.run(client.close())
    assert client_threads() == []


def test_an_address_that_is_none_is_refused_at_once_and_the_environment_names_one(
    fake: FakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(tw.ArgumentInvalid):
        AsyncClient.connect("nonsense")
    monkeypatch.setenv("TAGWRIGHT_URL", fake.url)
    assert repr(AsyncClient.connect()) == f"<AsyncClient of {fake.url}>"


@pytest.mark.parametrize("wrong", [{"token": "a b"}, {"ca_file": "/no/such/file"}])
@asynchronous
async def test_what_is_wrong_with_a_connection_is_said_when_it_is_opened(wrong: dict[str, str]) -> None:
    with pytest.raises(tw.ArgumentInvalid) as caught:
        async with AsyncClient.connect("grpcs://localhost:1", **wrong):  # type: ignore[arg-type]
            pytest.fail("it opened")
    assert [violation.field for violation in caught.value.field_violations] == list(wrong)
    client = AsyncClient.connect("grpcs://localhost:1", **wrong)  # type: ignore[arg-type]
    with pytest.raises(tw.ArgumentInvalid):
        await client.models()
    await client.close()


@asynchronous
async def test_a_token_shows_nowhere(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url, token="secret-token") as client:
        assert "secret-token" not in repr(client) + repr(vars(client))


@asynchronous
async def test_a_stop_iteration_of_the_callers_own_code_is_an_error_not_a_hang(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await client.tag(_file(functools.partial(next, iter(()))))


def test_requests_of_a_twin_are_the_clients(fake: FakeSearch) -> None:
    with Client.connect(fake.url) as client:
        client.tag(b"dog", include_tags=["sea"], min_score=0.5)

    async def main() -> None:
        async with AsyncClient.connect(fake.url) as client:
            await client.tag(b"dog", include_tags=["sea"], min_score=0.5)

    asyncio.run(main())
    first, second = fake.requests
    assert isinstance(first, pb.TagImageRequest)
    assert first == second
