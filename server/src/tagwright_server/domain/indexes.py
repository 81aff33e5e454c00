"""Indexes in memory: each is opened in a thread of its own, which then keeps up with the database."""

from __future__ import annotations

import logging
import threading
import time
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
_AGAIN_S, _AGAIN_MOST_S = 5.0, 300.0  # until it is tried again to open what could not be
_FEW = 2_000  # changed photos that a call itself takes in; more are for the thread, and the call waits
_STOP_S = 5.0  # that a stop waits for an index that is still being made

I = TypeVar("I", bound=Follower)  # noqa: E741  (as in "index")


class KeptIndex(Generic[I]):
    """An index, and the thread that keeps up with the database for it; `start` and `stop` it."""

    def __init__(self, name: str, open: Callable[[], I]) -> None:
        self._name = name
        self._open = open
        self._on_open: list[Callable[[I], None]] = []
        self._each_time: list[Callable[[], None]] = []
        self.opened = threading.Event()  # or could not be at the first try
        self.index: I | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._rounds = threading.Condition()
        self._begun = self._ended = 0  # rounds of the thread
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
        """End, and save the index; one that is still being made is given up."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S if self.index is None else None)
        if self.index is not None:
            self.index.close()

    def current(self, deadline: Deadline, clock: Clock) -> I:
        """Return the index, which knows all that was committed before this call.

        Raises Busy where it is not open yet, DeadlineExceeded and CallerGone. Not to be called where others wait for
        what the caller holds: it may take as long as there is time.
        """
        begun_s = clock.monotonic_s()
        self.opened.wait(min(_COME_BACK_S, deadline.remaining_s()))
        index = self.index
        if index is None:
            after_s = max(_COME_BACK_S, clock.monotonic_s() - begun_s)
            raise Busy(f"The index of {self._name} is being made.", retry_after_s=after_s)
        if not index.catch_up(patience_s=deadline.remaining_s(), most=_FEW):
            self._await_round(deadline)
        deadline.check(f"the index of {self._name} had caught up")
        return index

    def _await_round(self, deadline: Deadline) -> None:
        """Wait until the thread has caught up in a round that began after this."""
        with self._rounds:
            wanted = self._begun + 1
            self._wake.set()
            while self._ended < wanted:
                deadline.check(f"the index of {self._name} had caught up")
                self._rounds.wait(min(_LOOK_EVERY_S, deadline.remaining_s()))

    def _run(self) -> None:
        again_s = _AGAIN_S
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
                if self._stop.is_set():
                    return
                log.exception("the index of %s cannot be opened; the next try is in %g s", self._name, again_s)
                self.opened.set()  # nobody waits for it
                self._stop.wait(again_s)
                again_s = min(_AGAIN_MOST_S, 2 * again_s)
        self.opened.set()
        saved_s = time.monotonic()
        while self.index is not None and not self._stop.is_set():
            self._wake.wait(_LOOK_EVERY_S)
            self._wake.clear()
            save = time.monotonic() - saved_s >= _SAVE_EVERY_S
            self._round(self.index, save=save)
            if save:
                saved_s = time.monotonic()

    def _round(self, index: I, *, save: bool) -> None:
        with self._rounds:
            self._begun += 1
            round = self._begun
        if self._follow(index, save=save):
            with self._rounds:
                self._ended = round
                self._rounds.notify_all()

    def _follow(self, index: I, *, save: bool) -> bool:
        """Catch up, and do what goes with it; return whether it has caught up."""
        caught_up = False
        try:
            caught_up = index.catch_up()
            for do in self._each_time:
                do()
            if save:
                index.save()
        except ComeBack as err:
            log.info("the index of %s keeps up later: %s", self._name, err)
        except Exception:
            log.exception("the index of %s could not keep up; it tries again", self._name)
        return caught_up
