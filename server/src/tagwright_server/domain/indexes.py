"""Indexes in memory: each is opened in a thread of its own, which then keeps up with the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tagwright_server.clock import Clock
from tagwright_server.domain.deadline import Deadline
from tagwright_server.errors import Busy, ComeBack
from tagwright_server.store.following import Follower

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0  # so that a call finds little to catch up with
_SAVE_EVERY_S = 600.0  # what a start after a kill has to read again
_COME_BACK_S = 1.0


I = TypeVar("I", bound=Follower)  # noqa: E741  (as in "index")


class KeptIndex(Generic[I]):
    """An index, and the thread that keeps up with the database for it; `start` and `stop` it."""

    def __init__(self, name: str, open: Callable[[], I]) -> None:
        self._name = name
        self._open = open
        self._on_open: list[Callable[[I], None]] = []
        self._each_time: list[Callable[[], None]] = []
        self.opened = threading.Event()  # or it cannot be
        self.index: I | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"index of {name}", daemon=True)

    def on_open(self, do: Callable[[I], None]) -> None:
        """Have something done with the index when it is open, before anybody else has it."""
        self._on_open.append(do)

    def each_time(self, do: Callable[[], None]) -> None:
        """Have something done whenever it has caught up, every second."""
        self._each_time.append(do)

    def start(self) -> None:
        """Open the index and follow the database."""
        self._thread.start()

    def stop(self) -> None:
        """End, and save the index."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.index is not None:
            self.index.close()

    def current(self, deadline: Deadline, clock: Clock) -> I:
        """Return the index, which knows all that was committed before this call. Raises Busy and DeadlineExceeded."""
        begun_s = clock.monotonic_s()
        opened = self.opened.wait(min(_COME_BACK_S, deadline.remaining_s()))
        if self.index is None:
            after_s = _COME_BACK_S if opened else max(_COME_BACK_S, clock.monotonic_s() - begun_s)
            raise Busy(f"The index of {self._name} is still being made.", retry_after_s=after_s)
        if not self.index.catch_up(patience_s=deadline.remaining_s()):
            deadline.check(f"the index of {self._name} had caught up")
        return self.index

    def _run(self) -> None:
        while not self._stop.is_set() and self.index is None:
            try:
                index = self._open()
                for do in self._on_open:
                    do(index)
                self.index = index
            except ComeBack as err:
                log.warning("the index of %s is not open yet: %s", self._name, err)
                self._stop.wait(err.retry_after_s)
            except Exception:
                log.exception("the index of %s cannot be opened", self._name)
                break
        self.opened.set()
        unsaved_s = 0.0
        while self.index is not None and not self._stop.wait(_LOOK_EVERY_S):
            unsaved_s += _LOOK_EVERY_S
            save = unsaved_s >= _SAVE_EVERY_S
            self._follow(self.index, save=save)
            if save:
                unsaved_s = 0.0

    def _follow(self, index: I, *, save: bool) -> None:
        try:
            index.catch_up()
            for do in self._each_time:
                do()
            if save:
                index.save()
        except ComeBack as err:
            log.info("the index of %s keeps up later: %s", self._name, err)
        except Exception:
            log.exception("the index of %s could not keep up; it tries again", self._name)
