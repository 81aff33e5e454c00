"""One line on how far an upload is, for people."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

TICK_S = 0.25  # often enough to look alive, seldom enough to cost nothing


class Progress:
    """Counts results and writes a line over and over again, four times a second at most; the last one stays."""

    def __init__(self, stream: TextIO, *, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._total = total
        self._clock = clock
        self._started_s = self._shown_s = clock()
        self._width = 0
        self._done = self._failed = 0

    def count(self, *, failed: bool) -> None:
        """Add one result."""
        self._done += 1
        self._failed += failed

    def show(self) -> None:
        """Write the line, if it is time for it."""
        if self._clock() - self._shown_s >= TICK_S:
            self._write("\r")

    def close(self) -> None:
        """Write the line for the last time, and end it."""
        self._write("\n")

    def _write(self, end: str) -> None:
        now_s = self._clock()
        self._shown_s = now_s
        passed_s = now_s - self._started_s
        done = f"{self._done}/{self._total}" if self._total is not None else f"{self._done}"
        line = f"{done} photos, {self._done / passed_s if passed_s > 0 else 0.0:.1f}/s, {self._failed} failed"
        self._width = max(self._width, len(line))
        try:
            self._stream.write(f"\r{line:<{self._width}}{end}")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody looks: a closed or full stderr is no reason to end an upload
