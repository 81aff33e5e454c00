"""How much is done at once. What goes over it is refused at once, so that what was accepted keeps its pace."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tagwright_server.errors import Overloaded


class Capacity:
    """Room for `limit` things of one kind, such as calls or photos, or for an amount, such as bytes."""

    def __init__(self, limit: int, things: str, *, retry_after_s: float = 1.0) -> None:
        self._limit = limit
        self._things = things
        self._retry_after_s = retry_after_s
        self._lock = threading.Lock()
        self._held = 0

    @property
    def held(self) -> int:
        """How much room is taken right now."""
        return self._held

    @contextmanager
    def hold(self, n: int = 1) -> Iterator[None]:
        """Take room for `n` of them, none or more, while the block runs; raises Overloaded where there is none."""
        with self._lock:
            if self._held + n > self._limit:
                raise Overloaded(
                    f"the server is at its limit of {self._limit:,} {self._things} at once",
                    retry_after_s=self._retry_after_s,
                )
            self._held += n
        try:
            yield
        finally:
            with self._lock:
                self._held -= n


class SharedCapacity:
    """Room for `limit` things, of which nobody takes more than a share of `each`; `whose` says what somebody is."""

    def __init__(self, limit: int, things: str, *, each: int, whose: str) -> None:
        self._whole = Capacity(limit, things)
        self._each = each
        self._things = f"{things} of one {whose}"
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, who: str) -> Iterator[None]:
        """Take room for one of them while the block runs; raises Overloaded where there is none, or none for `who`."""
        with self._lock:
            if self._held[who] >= self._each:
                raise Overloaded(f"the server takes at most {self._each:,} {self._things} at once", retry_after_s=1.0)
            self._held[who] += 1
        try:
            with self._whole.hold():
                yield
        finally:
            with self._lock:
                self._held[who] -= 1
                if not self._held[who]:
                    del self._held[who]
