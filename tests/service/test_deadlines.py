"""A caller's time: looked at before every costly step, capped by the server, and over when the caller hangs up."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import photos as pictures
import pytest
from numpy.typing import NDArray
from servers import PATIENCE_S, FakeBackend, FakeClock, FakeDecoder, Running, failure_of, photo, photos, running

from tagwright_server.domain.capacity import Capacity
from tagwright_server.domain.deadline import CallerGone, Deadline
from tagwright_server.domain.models import Models
from tagwright_server.domain.tagging import PhotoRequest, Tagger
from tagwright_server.domain.tags import TaggingOptions
from tagwright_server.errors import DeadlineExceeded
from tagwright_server.inference.backend import Prediction
from tagwright_server.inference.bundle import Bundle, load_bundles


def test_time_that_ran_out_before_decoding_means_no_decoding(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    with running(repository, backend=backend, decoder=decoder, call_timeout_s=1e-9) as server:
        failure = failure_of(server.tagging.TagImage, photo(b"50"))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert decoder.submitted == 0


def test_time_that_ran_out_during_decoding_means_no_inference(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    clock = FakeClock()

    def a_minute_passes() -> None:
        clock.time_s += 60.0

    decoder.before_result = a_minute_passes
    with running(repository, backend=backend, decoder=decoder, clock=clock) as server:
        failure = failure_of(server.tagging.TagImage, photo(b"50"))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert "before the model looked at the photo" in failure.text
    assert backend.batches == []


@pytest.mark.parametrize("stage", ["decoder", "backend"])
def test_a_call_without_a_deadline_ends_with_the_servers_own(
    repository: Path, backend: FakeBackend, decoder: FakeDecoder, stage: str
) -> None:
    stuck = (decoder if stage == "decoder" else backend).latch
    with running(repository, backend=backend, decoder=decoder, call_timeout_s=0.2) as server:
        stuck.close()
        failure = failure_of(server.tagging.TagImage, photo(b"50"), timeout=None)
        stuck.open()
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


@pytest.mark.parametrize("stage", ["decoder", "backend"])
def test_a_callers_deadline_ends_the_call_wherever_it_is(
    steered: Running, backend: FakeBackend, decoder: FakeDecoder, stage: str
) -> None:
    stuck = (decoder if stage == "decoder" else backend).latch
    stuck.close()
    failure = failure_of(steered.tagging.TagImages, photos(photo(b"50"), photo(b"60")), timeout=0.2)
    assert failure.code == grpc.StatusCode.DEADLINE_EXCEEDED
    stuck.open()
    assert steered.tagging.TagImage(photo(b"50")).tags.tags


def test_a_caller_who_hangs_up_takes_all_photos_out_of_the_queue(
    steered: Running, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    decoder.latch.close()
    call = steered.tagging.TagImages.future(photos(*[photo(b"50")] * 5))
    decoder.latch.await_arrivals()
    call.cancel()
    for _ in range(5):
        assert decoder.cancelled.acquire(timeout=PATIENCE_S)
    decoder.latch.open()
    assert steered.tagging.TagImage(photo(b"60")).tags.tags
    assert backend.batches == [1]


def test_a_caller_who_hangs_up_before_inference_gets_none(
    steered: Running, backend: FakeBackend, decoder: FakeDecoder
) -> None:
    hung_up = threading.Event()
    calls: list[Any] = []

    def hang_up() -> None:
        decoder.before_result = lambda: None
        calls[0].cancel()
        assert decoder.cancelled.acquire(timeout=PATIENCE_S)  # the server knows
        hung_up.set()

    decoder.before_result = hang_up
    decoder.latch.close()
    calls.append(steered.tagging.TagImage.future(photo(b"50")))
    decoder.latch.open()
    assert hung_up.wait(PATIENCE_S)
    assert steered.tagging.TagImage(photo(b"60")).tags.tags
    assert backend.batches == [1]


@pytest.mark.parametrize("n", [9, 64])
@pytest.mark.parametrize(("ends", "raised"), [("gone", CallerGone), ("late", DeadlineExceeded)])
def test_nobody_waiting_after_the_first_chunk_means_no_further_one(
    repository: Path, decoder: FakeDecoder, n: int, ends: str, raised: type[Exception]
) -> None:
    clock = FakeClock()
    deadline = Deadline(60.0, clock)

    class EndsMeanwhile(FakeBackend):
        def infer(self, model: Bundle, pixels: NDArray[np.uint8], *, timeout_s: float) -> Prediction:
            if ends == "gone":
                deadline.hang_up()
            else:
                clock.time_s += 60.0
            return super().infer(model, pixels, timeout_s=timeout_s)

    backend, room = EndsMeanwhile(), Capacity(64, "photos")
    models = Models(load_bundles(repository), default="tagger")
    tagger = Tagger(models=models, backend=backend, decoder=decoder, photos=room, clock=clock)
    with pytest.raises(raised):
        tagger.tag_many([PhotoRequest(b"50", TaggingOptions())] * n, deadline)
    assert backend.batches == [8]
    assert room.held == 0


def test_photos_of_many_chunks_come_back_in_their_order(steered: Running, backend: FakeBackend) -> None:
    results = steered.tagging.TagImages(photos(*[photo(b"%d" % (30 + n), min_score=0.0) for n in range(20)])).results
    assert [round(result.tags.tags[0].score * 100) for result in results] == list(range(30, 50))
    assert backend.batches == [8, 8, 4]


@contextmanager
def _slow_uploads(server: Running, n: int) -> Iterator[list[Any]]:
    """Calls whose message never comes."""
    sending = threading.Semaphore(0)
    ended = threading.Event()

    def message() -> Iterator[bytes]:
        sending.release()
        ended.wait(PATIENCE_S)
        yield from ()

    upload: Any = server.channel.stream_unary("/tagwright.v1.TaggingService/TagImage")
    try:
        calls = [upload.future(message()) for _ in range(n)]
        for _ in range(n):
            assert sending.acquire(timeout=PATIENCE_S)
        yield calls
    finally:
        ended.set()


def test_slow_uploads_keep_nobody_else_waiting(steered: Running) -> None:
    with _slow_uploads(steered, 32) as calls:
        for _ in range(20):
            assert steered.tagging.TagImage(photo(b"50"), timeout=PATIENCE_S).tags.tags
        for call in calls:
            call.cancel()


def test_an_upload_that_does_not_end_is_cut_off(repository: Path, backend: FakeBackend, decoder: FakeDecoder) -> None:
    with (
        running(repository, backend=backend, decoder=decoder, call_timeout_s=0.3, calls_max=4) as server,
        _slow_uploads(server, 4) as calls,
    ):
        for call in calls:
            assert call.exception(timeout=PATIENCE_S).code() == grpc.StatusCode.CANCELLED
        assert server.tagging.TagImage(photo(b"50"), wait_for_ready=True).tags.tags


def test_a_storm_of_cancelled_calls_leaves_nothing_behind(repository: Path) -> None:
    jpeg = pictures.jpeg(640, 480)
    rng = random.Random(1)
    with running(repository, calls_max=8) as server:
        server.tagging.TagImage(photo(jpeg))
        settled = threading.active_count()

        def storm(pauses: list[float]) -> None:
            for pause_s in pauses:
                call = server.tagging.TagImage.future(photo(jpeg))
                threading.Event().wait(pause_s)  # when it is cancelled is what varies
                call.cancel()

        with ThreadPoolExecutor(8) as callers:
            list(callers.map(storm, [[rng.uniform(0, 0.02) for _ in range(50)] for _ in range(8)]))

        def tag() -> bool:
            code = server.tagging.TagImage.future(photo(jpeg), timeout=PATIENCE_S).code()
            assert code in (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED)  # the storm's last are just ending
            return bool(code == grpc.StatusCode.OK)

        waiting = threading.Event()
        assert any(tag() or waiting.wait(0.05) for _ in range(400))
        with ThreadPoolExecutor(8) as callers:  # every one of the eight places is free again
            assert all(callers.map(lambda _: bool(server.tagging.TagImage(photo(jpeg, min_score=0.0))), range(8)))
        assert threading.active_count() <= settled + 8 + 8 + 2  # calls, refusals, and what grpc's client keeps
