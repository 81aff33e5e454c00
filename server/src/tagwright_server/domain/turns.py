"""So many at a time: the others wait for their turn.

For work that keeps the interpreter busy. Threads that all want its lock take it from each other in the middle of what
they do, and each gets it back only after some milliseconds: sixteen searches at once made half as many a second as one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tagwright_server.domain.deadline import Deadline

_LOOK_S = 0.25


class Turns:
    """Turns for `at_once` at a time."""

    def __init__(self, at_once: int) -> None:
        self._free = threading.Semaphore(at_once)

    @contextmanager
    def take(self, deadline: Deadline, what: str) -> Iterator[None]:
        """Wait for a turn and have it while the block runs; raises DeadlineExceeded and CallerGone.

        `what` completes "the time ran out before ...".
        """
        while not self._free.acquire(timeout=min(_LOOK_S, deadline.remaining_s())):
            deadline.check(what)  # also whether anybody still waits
        try:
            deadline.check(what)
            yield
        finally:
            self._free.release()
