"""An index in memory, and who waits for it: callers know all that was there before, or hear that they do not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from tagwright_server.clock import SystemClock
from tagwright_server.domain import indexes
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.indexes import KeptIndex
from tagwright_server.errors import Busy, DeadlineExceeded

PATIENCE_S = 20.0
CLOCK = SystemClock()


def soon(seconds: float = PATIENCE_S) -> Deadline:
    return Deadline(seconds, CLOCK)


class Index:
    """One that a caller cannot catch up with by itself; the thread can once it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.rounds = 0
        self.closed = False

    def catch_up(self, *, patience_s: float | None = None, most: int | None = None) -> bool:
        if most is not None:
            return False
        self.rounds += 1
        return self.may.wait(PATIENCE_S)

    def save(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@contextmanager
def kept(open: Callable[[], Any]) -> Iterator[KeptIndex[Any]]:
    index: KeptIndex[Any] = KeptIndex("photos", cast("Any", open))
    index.start()
    try:
        yield index
    finally:
        index.stop()


def test_what_is_too_much_for_a_caller_the_thread_takes_in_while_it_waits() -> None:
    made = Index()
    with kept(lambda: made) as index:
        before = made.rounds
        assert index.current(soon(), CLOCK) is cast("Any", made)
        assert made.rounds > before
    assert made.closed


def test_a_round_that_began_before_is_not_enough() -> None:
    made = Index()
    made.may.clear()
    with kept(lambda: made) as index:
        assert index.opened.wait(PATIENCE_S)
        while not made.rounds:  # it is in a round that it cannot end
            index._wake.set()
        with pytest.raises(DeadlineExceeded):
            index.current(soon(0.05), CLOCK)
        made.may.set()
        under_way = made.rounds
        index.current(soon(), CLOCK)
        assert made.rounds > under_way


def test_an_index_that_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "_AGAIN_S", 0.01)
    tries, made, may = 0, Index(), threading.Event()

    def open() -> Index:
        nonlocal tries
        tries += 1
        if not may.is_set():
            raise RuntimeError("the disk is on fire")
        return made

    with kept(open) as index:
        assert index.opened.wait(PATIENCE_S)  # nobody waits for it any longer
        with pytest.raises(Busy, match="being made"):
            index.current(soon(), CLOCK)
        may.set()
        while index.index is None:
            threading.Event().wait(0.01)
        assert index.current(soon(), CLOCK) is cast("Any", made)
        assert tries > 1


def test_a_stop_does_not_wait_for_ever_for_an_index_that_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "_STOP_S", 0.05)
    begun, may = threading.Event(), threading.Event()

    def open() -> Index:
        begun.set()
        may.wait(PATIENCE_S)
        raise RuntimeError("the database is closed")

    with kept(open) as index:
        assert begun.wait(PATIENCE_S)
        with pytest.raises(Busy):
            index.current(soon(0.2), CLOCK)
    may.set()
