"""The time one call has, and whether anybody still waits for its answer.

grpc does not interrupt a running handler: whoever works for a caller looks here before each costly step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tagwright_server.clock import Clock
from tagwright_server.errors import DeadlineExceeded


class CallerGone(Exception):
    """The caller hung up or was cut off: there is nobody to answer, so there is nothing left to do."""


class Deadline:
    """The end of one call. Made where the call comes in, looked at everywhere, safe to use from many threads."""

    def __init__(self, budget_s: float, clock: Clock) -> None:
        self._clock = clock
        self._end_s = clock.monotonic_s() + budget_s
        self._lock = threading.Lock()
        self._gone = False
        self._callbacks: list[Callable[[], object]] = []

    @property
    def gone(self) -> bool:
        """Whether the caller hung up."""
        return self._gone

    def remaining_s(self) -> float:
        """Seconds left; never negative."""
        return max(0.0, self._end_s - self._clock.monotonic_s())

    def check(self, before: str) -> None:
        """Raise DeadlineExceeded or CallerGone where working on makes no sense; `before` completes the sentence."""
        if self._gone:
            raise CallerGone
        if self._clock.monotonic_s() >= self._end_s:
            raise DeadlineExceeded(f"the time ran out before {before}")

    def hang_up(self) -> None:
        """Tell everyone who works for this call that nobody waits any more; idempotent."""
        with self._lock:
            self._gone = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def when_gone(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the caller hangs up, at once if that has happened. It must be quick."""
        with self._lock:
            if not self._gone:
                self._callbacks.append(callback)
                return
        callback()

    def forget(self) -> None:
        """Drop the callbacks: what they would stop has ended by itself."""
        with self._lock:
            self._callbacks.clear()
