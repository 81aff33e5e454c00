"""Ends work that nobody waits for any more: the calls under way, and the pauses between them.

Whoever does a call's work on another's behalf, as the asyncio twin does, runs it inside `scope(cancellation)`: whatever
the work starts there ends with that cancellation.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
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
        self.track(call)
        try:
            yield
        finally:
            self.forget(call)

    def track(self, call: Cancellable) -> None:
        """Have `call` cancelled if the cancellation comes before it is forgotten, or came before."""
        with self._lock:
            self._under_way.add(call)
            too_late = self._cancelled.is_set()
        if too_late:
            call.cancel()

    def forget(self, call: Cancellable) -> None:
        """Let `call` be: it is over."""
        with self._lock:
            self._under_way.discard(call)

    @property
    def cancelled(self) -> bool:
        """Whether the cancellation has come."""
        return self._cancelled.is_set()

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


_scope: ContextVar[Cancellation | None] = ContextVar("tagwright_scope", default=None)


@contextmanager
def scope(cancellation: Cancellation) -> Iterator[None]:
    """Have what the block starts, in this thread, end with `cancellation`."""
    before = _scope.set(cancellation)
    try:
        yield
    finally:
        _scope.reset(before)


def current() -> Cancellation | None:
    """Return the cancellation of the scope that this runs in, if any."""
    return _scope.get()


@contextmanager
def linked(*others: Cancellation) -> Iterator[Cancellation]:
    """Give the block a cancellation of its own, which comes with any of the `others` and the scope's too."""
    own, around = Cancellation(), current()
    with ExitStack() as stack:
        for other in others if around is None else (*others, around):
            stack.enter_context(other.tracking(own))
        yield own
