"""A Triton that answers nonsense, somebody else's truth, or nothing: every call is an error, and readiness says so."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import bundles
import grpc
import numpy as np
import pytest
from fake_triton import FakeTriton, Outputs, served
from numpy.typing import NDArray
from tritons import Readiness

from tagwright_server.errors import DeadlineExceeded, ModelUnavailable, Overloaded, StartupError, TagwrightError
from tagwright_server.inference.bundle import Bundle, load_bundle
from tagwright_server.inference.supervisor import Pace
from tagwright_server.inference.triton import TritonBackend
from tagwright_server.inference.triton_files import EMBEDDING, SCORES, SECONDS

PACE = Pace(canary_every_s=0.05, canary_timeout_s=0.5)
PHOTO: NDArray[np.uint8] = np.zeros((1, 32, 32, 3), np.uint8)
SOON_S = 5.0


def with_scores(change: Callable[[NDArray[np.float32]], NDArray[np.generic]]) -> Callable[[Outputs], Outputs]:
    return lambda outputs: outputs | {SCORES: change(outputs[SCORES])}


def nan(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    scores[0, 2] = np.nan
    return scores


LIES: dict[str, Callable[[Outputs], Outputs]] = {
    "not a number": with_scores(nan),
    "infinite": with_scores(lambda scores: scores + np.float32(np.inf)),
    "labels swapped": with_scores(lambda scores: np.roll(scores, 1, axis=1)),
    "a label too many": with_scores(lambda scores: np.concatenate([scores, scores[:, :1]], axis=1)),
    "a label too few": with_scores(lambda scores: scores[:, 1:]),
    "one answer for two photos": with_scores(lambda scores: np.concatenate([scores, scores])),
    "empty": with_scores(lambda scores: scores[:0]),
    "another type": with_scores(lambda scores: scores.astype(np.float64)),
    "no probabilities": with_scores(lambda scores: scores + 1),
    "an embedding of no length": lambda outputs: outputs | {EMBEDDING: outputs[EMBEDDING] * 0},
    "an output missing": lambda outputs: {SCORES: outputs[SCORES]},
    "nothing": lambda outputs: {},
    "bytes that are no strings": lambda outputs: outputs | {SCORES: np.full(outputs[SCORES].shape, b"x", "S1")},
    "strings for seconds": lambda outputs: outputs | {SECONDS: np.full((len(outputs[SCORES]), 1), b"fast", object)},
}


QUEUE_FULL = (grpc.StatusCode.UNAVAILABLE, "[request id: <id_unknown>] Exceeds maximum queue size")


class Ours:
    """A Triton that counts as our own: one start of the fake."""

    id = "fake"

    def __init__(self, address: str, started: list[Ours]) -> None:
        self.address = address
        self.error: Exception | None = None
        self.stopped = False
        started.append(self)

    def alive(self) -> bool:
        if self.error is not None:
            raise self.error
        return not self.stopped

    def last_error(self) -> str:
        return "stopped"

    def stop(self) -> None:
        self.stopped = True


@contextmanager
def asking(backend: TritonBackend, model: Bundle) -> Iterator[Counter[str]]:
    """Ask without pause meanwhile, and count what came of it."""
    outcomes: Counter[str] = Counter()
    begun, over = threading.Event(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                outcomes[type(backend.infer(model, PHOTO, timeout_s=5)).__name__] += 1
            except TagwrightError as err:
                outcomes[type(err).__name__] += 1
                over.wait(0.01)
            begun.set()

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        assert begun.wait(SOON_S)
        yield outcomes
    finally:
        over.set()
        caller.join()


@pytest.fixture
def fake(tmp_path: Path) -> FakeTriton:
    bundle = bundles.write_bundle(tmp_path, network=False)
    scores = [0.1, 0.2, 0.3, 0.4, 0.5]
    bundles.edit_manifest(bundle, canary={"scores": scores})
    return FakeTriton(load_bundle(bundle.path))


@pytest.fixture
def address(fake: FakeTriton) -> Iterator[str]:
    with served(fake) as address:
        yield address


@pytest.fixture
def model(fake: FakeTriton) -> Bundle:
    return fake.bundle


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def backend(fake: FakeTriton, address: str, readiness: Readiness) -> Iterator[TritonBackend]:
    backend = TritonBackend([fake.bundle], address=address, pace=PACE, on_change=readiness)
    yield backend
    backend.close()


def test_one_that_tells_the_truth_is_served_from(backend: TritonBackend, model: Bundle) -> None:
    assert backend.ready()
    assert backend.engine == "Triton 9.9.9"
    assert backend.infer(model, PHOTO, timeout_s=5).scores[0] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_one_that_begins_to_lie_is_found_out_and_trusted_again_only_with_the_truth(
    backend: TritonBackend, fake: FakeTriton, model: Bundle, readiness: Readiness, lie: Callable[[Outputs], Outputs]
) -> None:
    readiness.forget()
    fake.lie = lie
    readiness.seconds_until(False, at_most_s=SOON_S)
    with pytest.raises(ModelUnavailable):
        backend.infer(model, PHOTO, timeout_s=5)
    fake.lie = lambda outputs: outputs
    readiness.seconds_until(True, at_most_s=SOON_S)
    assert backend.infer(model, PHOTO, timeout_s=5).scores.shape == (1, 5)


@pytest.mark.parametrize("name", [name for name in LIES if name != "labels swapped"])
def test_a_lie_to_a_caller_is_an_error_even_before_a_canary_hears_it(
    fake: FakeTriton, address: str, model: Bundle, name: str
) -> None:
    backend = TritonBackend([model], address=address, pace=Pace(canary_every_s=60))
    try:
        fake.lie = LIES[name]
        with pytest.raises(ModelUnavailable):
            backend.infer(model, PHOTO, timeout_s=5)
    finally:
        backend.close()


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_one_that_lies_from_the_start_is_never_ready(
    fake: FakeTriton, address: str, model: Bundle, lie: Callable[[Outputs], Outputs]
) -> None:
    fake.lie = lie
    backend = TritonBackend([model], address=address, pace=PACE)
    try:
        assert not backend.ready()
        with pytest.raises(ModelUnavailable):
            backend.infer(model, PHOTO, timeout_s=5)
    finally:
        backend.close()


def test_labels_swapped_midway_are_found_out_while_callers_ask_without_pause(
    fake: FakeTriton, address: str, model: Bundle, readiness: Readiness
) -> None:
    period_s = 0.5  # far longer than a caller waits for an answer: there is no period without one
    backend = TritonBackend([model], address=address, pace=Pace(canary_every_s=period_s), on_change=readiness)
    try:
        with asking(backend, model) as outcomes:
            readiness.forget()
            fake.lie = LIES["labels swapped"]
            readiness.seconds_until(False, at_most_s=4 * period_s)
            fake.lie = lambda outputs: outputs
            readiness.seconds_until(True, at_most_s=SOON_S)
        assert outcomes.keys() == {"Prediction", "ModelUnavailable"}
    finally:
        backend.close()


def test_one_that_hangs_is_found_out(
    backend: TritonBackend, fake: FakeTriton, model: Bundle, readiness: Readiness
) -> None:
    readiness.forget()
    fake.hang = threading.Event()
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        backend.infer(model, PHOTO, timeout_s=0.2)
    assert time.monotonic() - started < 2  # s; without the deadline it would never end
    readiness.seconds_until(False, at_most_s=SOON_S)
    fake.hang.set()
    readiness.seconds_until(True, at_most_s=SOON_S)


def test_a_queue_with_no_room_for_the_canary_is_no_fault_while_callers_are_served(
    backend: TritonBackend, fake: FakeTriton, model: Bundle, readiness: Readiness
) -> None:
    readiness.forget()
    fake.refuse_canary = QUEUE_FULL
    deadline = time.monotonic() + SOON_S
    with asking(backend, model) as outcomes:
        while fake.canaries_refused < 3 * PACE.strikes:
            assert backend.ready()
            assert time.monotonic() < deadline
            threading.Event().wait(PACE.canary_every_s)
    assert outcomes.keys() == {"Prediction"}


@pytest.mark.parametrize("text", ["[request id: <id_unknown>] Exceeds maximum queue size", "Request timeout expired"])
def test_a_caller_refused_for_a_full_queue_hears_of_overload(
    fake: FakeTriton, address: str, model: Bundle, text: str
) -> None:
    backend = TritonBackend([model], address=address, pace=Pace(canary_every_s=60))
    try:
        fake.refuse = (grpc.StatusCode.UNAVAILABLE, text)
        with pytest.raises(Overloaded) as refused:
            backend.infer(model, PHOTO, timeout_s=5)
        assert refused.value.retry_after_s > 0
        assert backend.ready()
    finally:
        backend.close()


def test_one_whose_queue_stays_full_and_that_serves_nobody_is_not_ready(
    backend: TritonBackend, fake: FakeTriton, model: Bundle, readiness: Readiness
) -> None:
    readiness.forget()
    fake.refuse = QUEUE_FULL
    with asking(backend, model) as outcomes:
        readiness.seconds_until(False, at_most_s=SOON_S)
        fake.refuse = None
        readiness.seconds_until(True, at_most_s=SOON_S)
    assert outcomes["Overloaded"]
    assert backend.infer(model, PHOTO, timeout_s=5).scores.shape == (1, 5)


def test_our_own_whose_queue_stays_full_is_killed_and_started_again(
    fake: FakeTriton, address: str, model: Bundle, readiness: Readiness
) -> None:
    started: list[Ours] = []
    backend = TritonBackend([model], start=lambda: Ours(address, started), pace=PACE, on_change=readiness)
    try:
        fake.refuse = QUEUE_FULL
        readiness.seconds_until(True, at_most_s=SOON_S)
        readiness.seconds_until(False, at_most_s=SOON_S)
        fake.refuse = None
        readiness.seconds_until(True, at_most_s=SOON_S)
        assert [ours.stopped for ours in started] == [True, False]
    finally:
        backend.close()
    assert [ours.stopped for ours in started] == [True, True]


def test_a_mistake_of_ours_in_the_watch_does_not_end_it(
    fake: FakeTriton, address: str, model: Bundle, readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[Ours] = []
    backend = TritonBackend([model], start=lambda: Ours(address, started), pace=PACE, on_change=readiness)
    try:
        readiness.forget()
        started[0].error = ValueError("unforeseen")
        readiness.seconds_until(False, at_most_s=SOON_S)
        readiness.seconds_until(True, at_most_s=SOON_S)
        assert backend.infer(model, PHOTO, timeout_s=5).scores.shape == (1, 5)
        assert [ours.stopped for ours in started] == [True, False]
        assert "watching Triton failed" in caplog.text
    finally:
        backend.close()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (grpc.StatusCode.INTERNAL, "Stub process 'tagger_0_0' is not healthy."),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'tagger' is not found"),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input"),
    ],
)
def test_every_other_error_is_a_model_that_is_unavailable_and_tells_callers_nothing_of_the_inside(
    backend: TritonBackend, fake: FakeTriton, model: Bundle, readiness: Readiness, status: grpc.StatusCode, text: str
) -> None:
    readiness.forget()
    fake.refuse = (status, text)
    with pytest.raises(ModelUnavailable) as refused:
        backend.infer(model, PHOTO, timeout_s=5)
    assert text not in str(refused.value)
    readiness.seconds_until(False, at_most_s=SOON_S)
    fake.refuse = None
    readiness.seconds_until(True, at_most_s=SOON_S)


def test_while_it_is_not_trusted_no_caller_reaches_it(
    backend: TritonBackend, fake: FakeTriton, model: Bundle, readiness: Readiness
) -> None:
    readiness.forget()
    fake.hang = threading.Event()
    readiness.seconds_until(False, at_most_s=SOON_S)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as callers:
        refusals = [callers.submit(backend.infer, model, PHOTO, timeout_s=5).exception() for _ in range(64)]
    assert {type(refusal) for refusal in refusals} == {ModelUnavailable}
    assert time.monotonic() - started < 3  # s; a single call that waited would take 5
    assert fake.calls < 64


def test_one_that_serves_another_network_is_refused_at_the_start(fake: FakeTriton, address: str, model: Bundle) -> None:
    fake.digest = "0" * 64
    with pytest.raises(StartupError, match="is of digest 000000000000…"):
        TritonBackend([model], address=address, pace=PACE)


def test_one_that_serves_other_labels_is_refused_at_the_start(fake: FakeTriton, address: str, model: Bundle) -> None:
    fake.label_count = 6
    with pytest.raises(StartupError, match="has SCORES__0"):
        TritonBackend([model], address=address, pace=PACE)


def test_one_that_is_not_there_yet_becomes_ready_when_it_comes(
    fake: FakeTriton, address: str, model: Bundle, readiness: Readiness
) -> None:
    fake.refuse = (grpc.StatusCode.UNAVAILABLE, "model is loading")
    backend = TritonBackend([model], address=address, pace=PACE, on_change=readiness)
    try:
        assert not backend.ready()
        fake.refuse = None
        readiness.seconds_until(True, at_most_s=SOON_S)
    finally:
        backend.close()
