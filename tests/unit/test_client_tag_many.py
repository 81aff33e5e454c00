"""`tag_many`: lazy, ordered, bounded, patient with an overloaded server, and clean when it is left."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import fake_tagging
import grpc
import pytest
from fake_tagging import FakeTagging

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright_client import (
    ArgumentInvalid,
    Client,
    ClientClosed,
    ImageRejected,
    Overloaded,
    Photo,
    PhotoUnreadable,
    TagManyResult,
)

WAIT_S = 10


@pytest.fixture
def fake() -> Iterator[FakeTagging]:
    with fake_tagging.serving() as fake:
        yield fake


@pytest.fixture
def client(fake: FakeTagging) -> Iterator[Client]:
    with Client.connect(fake.url) as client:
        yield client


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("tagwright-tag-many")]


def names(results: Iterator[TagManyResult]) -> list[str]:
    return [result.tags.tags[0].name if result.tags else type(result.error).__name__ for result in results]


def test_results_come_in_order_with_failures_in_their_place(client: Client, fake: FakeTagging, tmp_path: Path) -> None:
    last_arrived = threading.Event()

    def first_answers_last(attempt: int, request: pb.TagImageRequest, context: object) -> None:
        if request.image == b"last":
            last_arrived.set()
        if request.image == b"first":
            assert last_arrived.wait(WAIT_S)

    fake.behave = first_answers_last
    photos: list[Photo] = [b"first", b"!truncated", b"middle", tmp_path / "missing.jpg", b"last"]
    results = list(client.tag_many(photos, on_error="return"))
    assert names(iter(results)) == ["first", "ImageRejected", "middle", "PhotoUnreadable", "last"]
    assert [result.index for result in results] == [0, 1, 2, 3, 4]
    assert all(result.photo is photo for result, photo in zip(results, photos, strict=True))
    assert isinstance(results[1].error, ImageRejected)
    assert results[1].error.metadata["limit"] == "truncated"
    assert isinstance(results[3].error, PhotoUnreadable)
    assert results[0].tags is not None
    assert results[0].tags.timings.inference_ms == 3.5


def test_the_first_failure_is_raised_in_its_turn_and_ends_the_rest(client: Client) -> None:
    results = client.tag_many([b"a", b"!truncated", b"c"])
    assert next(results).index == 0
    with pytest.raises(ImageRejected):
        next(results)
    assert list(results) == []
    assert workers() == []


def test_an_endless_source_is_read_only_as_far_as_needed(client: Client) -> None:
    results = client.tag_many(itertools.repeat(b"dog"), concurrency=3)
    assert names(itertools.islice(results, 20)) == ["dog"] * 20


def test_the_window_is_filled_and_never_more_than_that(client: Client, fake: FakeTagging) -> None:
    window_full = threading.Event()
    taken: list[int] = []

    def photos() -> Iterator[bytes]:
        for index in range(20):
            taken.append(index)
            if index == 3:  # 2 workers, 4 photos
                window_full.set()
            yield b"%d" % index

    def head_waits(attempt: int, request: pb.TagImageRequest, context: object) -> None:
        if request.image == b"0":
            assert window_full.wait(WAIT_S)

    fake.behave = head_waits
    for given_back, result in enumerate(client.tag_many(photos(), concurrency=2), start=1):
        assert result.index == given_back - 1
        assert len(taken) <= given_back - 1 + 4
        if given_back == 1:
            assert len(taken) == 4
    assert len(taken) == 20


def test_no_more_calls_are_in_flight_than_asked_for(client: Client, fake: FakeTagging) -> None:
    in_flight, most, lock = 0, 0, threading.Lock()
    three_at_once = threading.Event()

    def count(attempt: int, request: object, context: object) -> None:
        nonlocal in_flight, most
        with lock:
            in_flight += 1
            most = max(most, in_flight)
            if in_flight == 3:
                three_at_once.set()
        assert three_at_once.wait(WAIT_S)
        with lock:
            in_flight -= 1

    fake.behave = count
    assert len(list(client.tag_many([b"dog"] * 30, concurrency=3))) == 30
    assert most == 3


def test_nothing_is_read_before_the_first_result_is_asked_for(client: Client) -> None:
    def photos() -> Iterator[bytes]:
        pytest.fail("read too early")
        yield b""  # type: ignore[unreachable]  # makes it a generator

    client.tag_many(photos()).close()


def abandoned(client: Client, fake: FakeTagging, leave: Callable[[Generator[TagManyResult, None, None]], None]) -> None:
    ended = threading.Semaphore(0)

    def all_but_the_first_hang(attempt: int, request: pb.TagImageRequest, context: grpc.ServicerContext) -> None:
        if request.image != b"first":
            hung = threading.Event()
            if context.add_callback(hung.set):  # not where the call is over already
                assert hung.wait(WAIT_S)
            ended.release()

    fake.behave = all_but_the_first_hang
    photos = itertools.chain([b"first"], itertools.repeat(b"second"))
    results = client.tag_many(photos, concurrency=2)
    assert next(results).index == 0
    leave(results)
    assert workers() == []
    arrived = sum(request.image == b"second" for request in fake.requests)
    for _ in range(arrived):
        assert ended.acquire(timeout=WAIT_S)  # the server, too, was told to stop


def test_leaving_the_loop_cancels_what_is_under_way(client: Client, fake: FakeTagging) -> None:
    abandoned(client, fake, lambda results: results.close())


def test_an_interrupt_in_the_loop_body_cancels_what_is_under_way(client: Client, fake: FakeTagging) -> None:
    def interrupted(results: Generator[TagManyResult, None, None]) -> None:
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt())

    abandoned(client, fake, interrupted)


def test_an_exception_of_the_source_comes_after_the_results_before_it(client: Client) -> None:
    def photos() -> Iterator[bytes]:
        yield b"a"
        yield b"b"
        raise RuntimeError("the camera fell down")

    results = client.tag_many(photos())
    assert [next(results).index, next(results).index] == [0, 1]
    with pytest.raises(RuntimeError, match="the camera fell down"):
        next(results)


def test_an_overloaded_server_is_given_the_time_it_asks_for(client: Client, fake: FakeTagging) -> None:
    busy = fake_tagging.status(8, "busy", reason="OVERLOADED", retry_after_s=0.15)

    def busy_twice(attempt: int, request: object, context: grpc.ServicerContext) -> None:
        if attempt < 2:
            fake_tagging.abort(context, busy)

    fake.behave = busy_twice
    assert names(client.tag_many([b"dog"])) == ["dog"]
    first, second, third = fake.arrivals
    assert second - first >= 0.15
    assert third - second >= 0.15


def test_an_overloaded_server_that_names_no_time_is_tried_again(client: Client, fake: FakeTagging) -> None:
    def busy_once(attempt: int, request: object, context: grpc.ServicerContext) -> None:
        if attempt == 0:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")

    fake.behave = busy_once
    assert names(client.tag_many([b"dog"])) == ["dog"]


def test_a_pause_longer_than_the_time_out_is_not_begun(client: Client, fake: FakeTagging) -> None:
    busy = fake_tagging.status(8, "busy", reason="OVERLOADED", retry_after_s=0.9)
    fake.behave = lambda attempt, request, context: fake_tagging.abort(context, busy)
    (result,) = client.tag_many([b"dog"], timeout_s=0.5, on_error="return")
    assert isinstance(result.error, Overloaded)
    assert result.error.retry_after_s == 0.9
    assert len(fake.requests) == 1


def test_tag_alone_does_not_wait_but_tells_when_to_come_back(client: Client, fake: FakeTagging) -> None:
    busy = fake_tagging.status(8, "busy", reason="OVERLOADED", retry_after_s=0.2)
    fake.behave = lambda attempt, request, context: fake_tagging.abort(context, busy)
    with pytest.raises(Overloaded) as caught:
        client.tag(b"dog")
    assert caught.value.retry_after_s == 0.2
    assert len(fake.requests) == 1


def test_leaving_while_the_server_is_overloaded_does_not_wait(client: Client, fake: FakeTagging) -> None:
    busy = fake_tagging.status(8, "busy", reason="OVERLOADED", retry_after_s=0.999)
    refused = threading.Event()

    def second_is_refused(attempt: int, request: pb.TagImageRequest, context: grpc.ServicerContext) -> None:
        if request.image == b"second":
            context.add_callback(refused.set)
            fake_tagging.abort(context, busy)

    fake.behave = second_is_refused
    results = client.tag_many([b"first", b"second"], timeout_s=60)
    assert next(results).index == 0
    assert refused.wait(WAIT_S)
    results.close()
    assert workers() == []
    assert [request.image for request in fake.requests].count(b"second") == 1


def test_a_client_closed_in_between_ends_the_iteration(client: Client) -> None:
    results = client.tag_many(itertools.repeat(b"dog"), on_error="return", concurrency=1)
    next(results)
    client.close()
    with pytest.raises(ClientClosed):
        list(itertools.islice(results, 10))


def test_an_unknown_way_to_treat_errors_is_refused(client: Client) -> None:
    with pytest.raises(ArgumentInvalid, match="on_error"):
        client.tag_many([], on_error="ignore")  # type: ignore[arg-type]


def test_no_photos_give_no_results(client: Client) -> None:
    assert list(client.tag_many([])) == []
