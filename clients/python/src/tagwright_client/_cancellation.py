"""Ends work that nobody waits for any more: the calls under way, and the pauses between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Cancellable(Protocol):
    """Anything under way that can be called off, such as a call to the server."""

    def cancel(self) -> object:
        """Call it off; harmless once it is done."""
        ...


class Cancellation:
    """Shared by all that one caller started: after `cancel()` everything tracked ends, now and later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: set[Cancellable] = set()
        self._cancelled = threading.Event()

    @contextmanager
    def tracking(self, call: Cancellable) -> Iterator[None]:
        """Have `call` cancelled if the cancellation comes while the block runs, or came before."""
        with self._lock:
            self._under_way.add(call)
            too_late = self._cancelled.is_set()
        if too_late:
            call.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(call)

    def pause(self, seconds: float) -> bool:
        """Wait; return False at once when cancelled, True when the time has passed."""
        return not self._cancelled.wait(seconds)

    def cancel(self) -> None:
        """Cancel what is tracked now and whatever comes to be tracked later."""
        with self._lock:
            self._cancelled.set()
            under_way = list(self._under_way)
        for call in under_way:  # outside the lock: a call's own callbacks may want it
            call.cancel()
