"""The whole server over a real Triton whose model process is killed: what its callers and its health service say."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import photos as pictures
import pytest
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status
from servers import NOT_SERVING, SERVING, Failure, Running, connected, health_stub, photo, running
from tritons import kill, needs_triton, our_triton

from tagwright.v1 import tag_pb2
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub

pytestmark = needs_triton

CALLERS = 8
NOT_SERVING_WITHIN_S = 5.0
BACK_WITHIN_S = 60.0  # some seconds where nothing else runs
LONGEST_CALL_S = 4.0  # where something died, it is said at once and not at the caller's deadline
DEADLINE_S = 10.0
STUB = "triton_python_backend_stub"


@pytest.fixture
def server(repository: Path) -> Iterator[Running]:
    with running(repository, inference="auto") as serving:
        yield serving


class Callers:
    """Ask without pause, each for a photo of its own, and compare every answer with the one while all was well."""

    def __init__(self, server: Running) -> None:
        self.outcomes: Counter[str] = Counter()
        self.longest_s = 0.0
        self.answered = threading.Condition()
        self._address, self._token = str(server.app.address), server.token
        self._requests = [photo(pictures.jpeg(seed=seed), min_score=0.0) for seed in range(CALLERS)]
        self._expected = [_scores(server.tagging.TagImage(request).tags) for request in self._requests]

    @contextmanager
    def asking(self) -> Iterator[None]:
        over = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(i, over)) for i in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def wait_for_answers(self, more: int = 50) -> None:
        """Return when `more` answers were right since now."""
        with self.answered:
            enough = self.outcomes["right"] + more
            assert self.answered.wait_for(lambda: self.outcomes["right"] >= enough, timeout=30)

    def _ask(self, i: int, over: threading.Event) -> None:
        with connected(self._address, self._token) as channel:
            stub = TaggingServiceStub(channel)
            while not over.is_set():
                started = time.monotonic()
                outcome = self._outcome(stub, i)
                with self.answered:
                    self.outcomes[outcome] += 1
                    self.longest_s = max(self.longest_s, time.monotonic() - started)
                    self.answered.notify_all()
                if outcome != "right":
                    over.wait(0.1)  # sooner than it was told to; with no pause it would take the cores from the start

    def _outcome(self, stub: Any, i: int) -> str:
        try:
            tags = stub.TagImage(self._requests[i], timeout=DEADLINE_S).tags
        except grpc.RpcError as err:
            status = rpc_status.from_call(cast("grpc.Call", err))  # what a call raises is that call
            failure = Failure(err.code(), status) if status is not None else None
            return failure.info.reason if failure is not None else f"{err.code()}: {err.details()}"
        return "right" if _scores(tags) == pytest.approx(self._expected[i], abs=1e-4) else "WRONG"


def _scores(tags: tag_pb2.ImageTags) -> dict[str, float]:
    return {tag.name: tag.score for tag in tags.tags}


def test_a_killed_model_process_is_told_to_callers_and_balancers_and_comes_back_by_itself(server: Running) -> None:
    callers = Callers(server)
    watch = health_stub(server.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    said = (answer.status for answer in watch)
    assert next(said) == SERVING
    with callers.asking():
        callers.wait_for_answers()
        before = our_triton(STUB)
        killed = time.monotonic()
        kill(before)
        assert next(said) == NOT_SERVING
        down_s = time.monotonic() - killed
        assert next(said) == SERVING
        up_s = time.monotonic() - killed
        callers.wait_for_answers()
    watch.cancel()
    print(f"NOT_SERVING after {down_s:.2f} s, SERVING after {up_s:.2f} s; {callers.longest_s=:.2f}; {callers.outcomes}")
    assert down_s <= NOT_SERVING_WITHIN_S
    assert up_s <= BACK_WITHIN_S
    assert callers.outcomes.keys() == {"right", "MODEL_UNAVAILABLE"}
    assert callers.longest_s <= LONGEST_CALL_S
    assert not set(before) & set(our_triton(STUB))
