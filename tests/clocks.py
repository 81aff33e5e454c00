"""A clock whose time of day stands still until a test moves it; seconds that pass stay real."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from tagwright_server.clock import SystemClock


class MovedClock(SystemClock):
    """The time of day at which it was made, moved by `by`."""

    def __init__(self) -> None:
        self._began = super().now()
        self.by = timedelta()

    def now(self) -> datetime:
        return self._began + self.by

    @contextmanager
    def moved(self, by: timedelta) -> Iterator[None]:
        """Have it moved by that much more while the block runs."""
        self.by += by
        try:
            yield
        finally:
            self.by -= by
