"""So many at a time; who waits and hangs up, or has no time left, goes."""

from __future__ import annotations

import threading

import pytest

from tagwright_server.clock import SystemClock
from tagwright_server.domain.deadline import CallerGone, Deadline
from tagwright_server.domain.turns import Turns
from tagwright_server.errors import DeadlineExceeded

PATIENCE_S = 20.0


def soon(seconds: float = PATIENCE_S) -> Deadline:
    return Deadline(seconds, SystemClock())


def test_no_more_work_at_once_than_there_are_turns() -> None:
    turns, here, most, lock = Turns(2), 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=PATIENCE_S)  # so that two are seen together at all

    def work() -> None:
        nonlocal here, most
        with turns.take(soon(), "its turn came"):
            with lock:
                here += 1
                most = max(most, here)
            both.wait()
            with lock:
                here -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (most, here) == (2, 0)


def test_who_has_no_time_left_does_not_get_a_turn() -> None:
    turns = Turns(1)
    with (
        turns.take(soon(), "its turn came"),
        pytest.raises(DeadlineExceeded, match="its turn came"),
        turns.take(soon(0.01), "its turn came"),
    ):
        raise AssertionError
    with turns.take(soon(), "its turn came"):  # which is free again
        pass


def test_who_hangs_up_waits_no_longer() -> None:
    turns, waiting = Turns(1), soon()
    gone: list[BaseException] = []

    def wait() -> None:
        try:
            with turns.take(waiting, "its turn came"):
                raise AssertionError
        except CallerGone as err:
            gone.append(err)

    with turns.take(soon(), "its turn came"):
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.hang_up()
        thread.join(PATIENCE_S)
        assert gone
