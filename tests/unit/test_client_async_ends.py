"""How work of the asyncio twin ends before it is done: cancelled, left, closed. The server is told, no thread stays."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing
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
from tagwright.v1 import operation_pb2
from tagwright_client import AsyncClient

CALLS: dict[str, Callable[[AsyncClient], Coroutine[Any, Any, Any]]] = {
    "tag": lambda client: client.tag(b"dog"),
    "refine": lambda client: client.refine(b"dog"),
    "image": lambda client: client.image("a"),
    "content": lambda client: client.content("a"),
    "images": lambda client: anext_of(client.images()),
    "search": lambda client: anext_of(client.search("dog")),
    "total_count": lambda client: client.search("dog").total_count(),
    "tag_many": lambda client: anext_of(client.tag_many(itertools.repeat(b"dog"))),
    "wait_for_operation": lambda client: client.wait_for_operation("1"),
}


class Hanging:
    """Has calls of a fake arrive and go no further until they are over."""

    def __init__(self, fake: FakeSearch) -> None:
        self.arrived, self.ended = Signal(), Signal()
        fake.behave = fake.refine = self.meet
        fake.meet = self.meet

    def meet(self, _first: object, _second: object, context: Any) -> None:
        over = threading.Event()
        if context.add_callback(over.set):  # not where it is over already
            self.arrived.set()
            assert over.wait(WAIT_S)
        self.ended.set()


@pytest.fixture
def fake() -> Iterator[FakeSearch]:
    fake = FakeSearch()
    for id in "abc":
        fake.keep(id)
    fake.operations["1"] = operation_pb2.Operation(id="1", state=operation_pb2.OPERATION_STATE_RUNNING)
    with fake_search.serving(fake, threads=32):
        yield fake


async def anext_of(values: Any) -> Any:
    return await anext(values)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, WAIT_S)


@pytest.mark.parametrize("name", CALLS)
@asynchronous
async def test_cancelling_whoever_awaits_a_call_ends_it_at_the_server(fake: FakeSearch, name: str) -> None:
    hanging = Hanging(fake)
    async with AsyncClient.connect(fake.url) as client:
        task = asyncio.create_task(CALLS[name](client))
        await hanging.arrived.wait()
        await cancelled(task)
        await hanging.ended.wait()
        fake.meet = lambda name, attempt, context: None
        assert (await client.image("a")).id == "a"  # the others go on


@asynchronous
async def test_cancelling_ends_the_wait_for_an_overloaded_server() -> None:
    refused = Signal()

    def overloaded(call: object, attempt: int, context: Any) -> None:
        refused.set()
        fake_tagging.abort(context, fake_tagging.status(8, "busy", reason="OVERLOADED", retry_after_s=20))

    with fake_auth.serving() as fake:
        fake.behave = overloaded
        async with AsyncClient.connect(fake.url) as client:
            task = asyncio.create_task(client.login("ada", fake_auth.PASSWORD))
            await refused.wait()
            await cancelled(task)
    assert len(fake.calls) == 1


@asynchronous
async def test_cancelling_ends_the_wait_for_an_operation(fake: FakeSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagwright_client._operations._FIRST_PAUSE_S", 60.0)
    told = Signal()
    async with AsyncClient.connect(fake.url) as client:
        task = asyncio.create_task(client.wait_for_operation("1", on_progress=lambda operation: told.set()))
        await told.wait()
        await cancelled(task)


@asynchronous
async def test_cancelling_ends_whoever_is_being_told_of_an_operation(fake: FakeSearch) -> None:
    told = Signal()

    async def never_done(operation: tw.Operation) -> None:
        told.set()
        await asyncio.Event().wait()

    async with AsyncClient.connect(fake.url) as client:
        task = asyncio.create_task(client.wait_for_operation("1", on_progress=never_done))
        await told.wait()
        await cancelled(task)


@asynchronous
async def test_a_time_out_of_asyncios_own_ends_a_call_too(fake: FakeSearch) -> None:
    hanging = Hanging(fake)
    async with AsyncClient.connect(fake.url) as client:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.tag(b"dog"), 0.2)
        await hanging.ended.wait()


@pytest.mark.parametrize("step", [anext_of, lambda results: results.next_page()])
@pytest.mark.parametrize(
    "list_", [lambda client: client.search("dog", page_size=1), lambda client: client.images(page_size=1)]
)
@asynchronous
async def test_a_list_whose_step_was_cancelled_goes_on_where_it_was(
    fake: FakeSearch, list_: Callable[[AsyncClient], Any], step: Callable[[Any], Coroutine[Any, Any, Any]]
) -> None:
    async with AsyncClient.connect(fake.url) as client:
        results = list_(client)
        expected = [result async for result in list_(client)]
        assert await anext(results) == expected[0]
        hanging = Hanging(fake)
        task = asyncio.create_task(step(results))
        await hanging.arrived.wait()
        await cancelled(task)
        fake.meet = lambda name, attempt, context: None
        assert [result async for result in results] == expected[1:]


@asynchronous
async def test_work_whose_step_was_cancelled_is_over(fake: FakeSearch) -> None:
    hanging = Hanging(fake)
    async with AsyncClient.connect(fake.url) as client:
        results = client.tag_many([b"dog"])
        task = asyncio.create_task(anext_of(results))
        await hanging.arrived.wait()
        await cancelled(task)
        assert [result async for result in results] == []


@asynchronous
async def test_a_download_that_is_cancelled_leaves_no_file(fake: FakeSearch, tmp_path: Path) -> None:
    hanging = Hanging(fake)
    async with AsyncClient.connect(fake.url) as client:
        task = asyncio.create_task(client.save_content("a", tmp_path / "a.jpg"))
        await hanging.arrived.wait()
        await cancelled(task)
    assert list(tmp_path.iterdir()) == []


@asynchronous
async def test_leaving_a_loop_early_ends_what_it_had_under_way(fake: FakeSearch) -> None:
    source_ended = Signal()

    def photos() -> Iterator[bytes]:
        try:
            while True:
                yield b"dog"
        finally:
            source_ended.set()

    async with AsyncClient.connect(fake.url) as client:
        async for result in client.tag_many(photos(), concurrency=2):
            assert result.tags
            break
        await source_ended.wait()
        assert (await client.image("a")).id == "a"


@asynchronous
async def test_an_iterator_can_be_ended_and_waited_for(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        async with aclosing(client.tag_many(itertools.repeat(b"dog"), concurrency=2)) as results:
            await anext(results)
            assert any(name.startswith("tagwright-tag-many") for name in client_threads())
        assert not any(name.startswith("tagwright-tag-many") for name in client_threads())
        assert [result async for result in results] == []
        await results.aclose()
        async with aclosing(client.images()), aclosing(client.search()):
            pass
    assert fake.calls == []


def uploading(stream_met: Signal) -> fake_upload.FakeUpload:
    fake = fake_upload.FakeUpload()

    def keep_waiting(stream: fake_upload.Stream, offer: Any) -> None:
        if offer.file_name == "second.jpg":
            stream_met.set()
            assert stream.ended.wait(WAIT_S)

    fake.on_offer = keep_waiting
    return fake


PHOTOS = [tw.UploadPhoto(b"first", file_name="first.jpg"), tw.UploadPhoto(b"second", file_name="second.jpg")]


@pytest.mark.parametrize("how", ["cancelled", "left", "closed"])
@asynchronous
async def test_an_upload_that_is_not_wanted_any_more_ends_at_the_server(how: str) -> None:
    met = Signal()
    with fake_tagging.serving(uploading(met)) as fake:
        assert isinstance(fake, fake_upload.FakeUpload)
        fake.photos = 1  # the second is offered once the first is stored
        async with AsyncClient.connect(fake.url) as client:
            results = client.upload(PHOTOS, window=2)
            assert (await anext(results)).tags
            if how == "left":
                del results
            else:
                step = asyncio.create_task(anext_of(results))
                await met.wait()
                if how == "cancelled":
                    await cancelled(step)
                else:
                    await client.close()
                    with pytest.raises(tw.ClientClosed):
                        await step
            assert await asyncio.to_thread(fake.streams[0].ended.wait, WAIT_S)
        assert len(fake.streams) == 1


@asynchronous
async def test_closing_ends_everything(fake: FakeSearch) -> None:
    async with AsyncClient.connect(fake.url) as client:
        many = client.tag_many(itertools.repeat(b"dog"), concurrency=2)
        await anext(many)
        images = client.images()
        await anext(images)
        hanging = Hanging(fake)
        calls = [asyncio.create_task(call(client)) for call in CALLS.values()]
        await hanging.arrived.wait()
        await asyncio.gather(client.close(), client.close())
        for ended in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(ended, tw.ClientClosed)
        assert client_threads() == []
        for call in (client.tag(b"dog"), anext_of(many), anext_of(images), anext_of(client.search()), client.models()):
            with pytest.raises(tw.ClientClosed, match=r"AsyncClient\.connect"):
                await call
        assert "closed" in repr(client)


@asynchronous
async def test_a_client_that_was_never_used_is_closed_as_well() -> None:
    client = AsyncClient.connect("grpc://localhost:1")
    await client.close()
    await client.close()
    with pytest.raises(tw.ClientClosed):
        await client.models()


@asynchronous
async def test_closing_that_is_cancelled_closes_all_the_same(fake: FakeSearch) -> None:
    hanging = Hanging(fake)
    client = AsyncClient.connect(fake.url)
    call = asyncio.create_task(client.tag(b"dog"))
    await hanging.arrived.wait()
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)  # it begins
    closing.cancel()
    with pytest.raises(tw.ClientClosed):
        await call
    await client.close()
    assert client_threads() == []
