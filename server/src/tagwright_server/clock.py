"""Time, handed in wherever it matters, so that tests turn the hands instead of sleeping.

`monotonic_s` is for deadlines and durations: it never goes back. `now` is for what people read and what is stored: it
is always in UTC. No other file asks the operating system for the time of day.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        ...


class SystemClock:
    """The operating system's clocks."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(timezone.utc)
