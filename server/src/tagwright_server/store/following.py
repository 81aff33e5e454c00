"""Keeping up with the feed of changes (changes.py): what an index in memory does before it is asked, and now and then.

Any number of threads may ask it to catch up; one of them takes in for all.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tagwright_server.store.changes import Changes, Mark, MarkTooOld


class Follower(ABC):
    """Something that is made from the database, and that knows up to where: `_mark`."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._catching_up = threading.Lock()  # over the mark, and so over who changes what is indexed
        self._begun = 0  # runs of catch_up, and of those that ended the one that began last
        self._ended = 0
        self._mark: Mark

    def catch_up(self, *, patience_s: float | None = None, most: int | None = None) -> bool:
        """Take in all that was committed to the database before this call; quick where that is nothing. Raises Busy.

        Whoever cannot wait says how long for others who do the same, and how many photos at most, and is told whether
        it is all taken in: another caller that can is to take in the rest.
        """
        before = self._begun
        if not self._catching_up.acquire(timeout=-1 if patience_s is None else patience_s):
            return False
        try:
            if self._ended > before:  # one that began after this call has seen all of it
                return True
            self._begun += 1
            run = self._begun
            try:
                numbers, mark = self._changes.since(self._mark)
            except MarkTooOld:
                if most is not None:
                    return False
                self._mark = self._read_anew()
            else:
                if most is not None and len(numbers) > most:
                    return False
                self._take_in(numbers)
                self._mark = mark
            if most is None:
                self._tidy()
            self._ended = run
            return True
        finally:
            self._catching_up.release()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Have it not change meanwhile; not for catching up in."""
        with self._catching_up:
            yield

    def save(self) -> None:  # noqa: B027  (not all have a file)
        """Write what the next start begins with, where there is such a file and anything is new. Raises OSError."""

    def close(self) -> None:  # noqa: B027
        """Save it; where that cannot be, the next start takes longer."""

    @abstractmethod
    def _take_in(self, numbers: Sequence[int]) -> None:
        """Have these photos as the database has them now."""

    @abstractmethod
    def _read_anew(self) -> Mark:
        """Have all photos as the database has them now; return the mark of a moment before."""

    def _tidy(self) -> None:  # noqa: B027
        """Do what may take longer, for those who can wait."""
