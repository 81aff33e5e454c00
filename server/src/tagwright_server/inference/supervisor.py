"""Watches over one Triton: knows whether it tells the truth, and starts our own again when it does not.

Triton calls itself ready when its model process is dead, so nothing it says about itself counts. What counts is the
canary: a frame whose scores the manifest knows, run through every model about once a second however busy it is, and at
once when a call failed. Callers' answers do not stand in for it: labels that were swapped look well in each of them.
They say one thing only, that a model with no time for the canary is busy and not stuck. Ready means that the last
canary came back right. Our own Triton is killed and started again when it died, failed, lied, or was stuck for several
seconds; one elsewhere is only watched. This is the one circuit breaker: while not ready, callers are refused at once
and no call reaches Triton but the canary.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tagwright_server.errors import DeadlineExceeded, Overloaded, StartupError, TagwrightError
from tagwright_server.inference.backend import Nonsense, OnChange
from tagwright_server.inference.bundle import Bundle
from tagwright_server.inference.connection import Connection, WrongModel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long. The sums matter: NOT_SERVING within 5 s of a fault, back within 15 s of a kill."""

    canary_every_s: float = 1.0
    canary_timeout_s: float = 2.0  # as long as Triton's queue lets a request wait
    strikes: int = 4  # canaries in a row without scores before our own Triton is killed: it may just be starved
    start_timeout_s: float = 120.0  # torch on a slow disk; a start takes about 5 s here
    start_poll_s: float = 0.1
    first_backoff_s: float = 0.2
    longest_backoff_s: float = 30.0


class Process(Protocol):
    """A Triton of our own, as `child.Child` is."""

    id: str
    address: str

    def alive(self) -> bool:
        """Whether the process runs."""
        ...

    def last_error(self) -> str:
        """Return why it ended, in one line."""
        ...

    def stop(self) -> None:
        """Kill it."""
        ...


class Supervisor:
    """Keeps `connection` at a Triton that passed its canary, or at None."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        *,
        start: Callable[[], Process] | None = None,
        address: str = "",
        pace: Pace | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        """Watch the Triton that `start` starts or, without it, the one at `address`; returns after its first canary.

        Raises StartupError if our own does not come up, or if either serves other models. One elsewhere that does
        not answer yet is no error: it becomes ready when it does.
        """
        self._bundles = tuple(bundles)
        self._start = start
        self._address = address
        self._pace = pace or Pace()
        self._on_change = on_change or (lambda ready: None)
        self.version = ""
        self.connection: Connection | None = None  # None: not ready
        self._served: dict[str, float] = {}  # by model, when it last answered somebody
        self._wake = threading.Event()
        self._closing = False
        self._first = threading.Event()
        self._refusals: list[str] = []  # why the first start failed
        # One thread for all of the child's life: the kernel would end it with the thread that started it.
        self._thread = threading.Thread(target=self._run, name="tagwright-supervisor", daemon=True)
        self._thread.start()
        self._first.wait()
        if self._refusals:
            self._thread.join()
            raise StartupError(self._refusals[0])

    def served(self, model: Bundle) -> None:
        """Note that `model` just gave a caller a right answer."""
        self._served[model.name] = time.monotonic()

    def suspect(self) -> None:
        """Note that a call failed: the canary runs now."""
        self._served.clear()
        self._wake.set()

    def close(self) -> None:
        """Stop watching, and our own Triton with it; idempotent."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._keep_up()
        finally:  # however this thread ends, nobody waits for it and no caller gets through
            self._become(None)
            if not self._first.is_set():
                self._refusals.append("Triton did not start")
                self._first.set()

    def _keep_up(self) -> None:
        backoff_s = self._pace.first_backoff_s
        while not self._closing:
            came_up = False
            try:
                try:
                    came_up = self._start_and_watch() if self._start else self._watch_elsewhere()
                finally:
                    self._become(None)
            except Exception:  # a mistake of ours must not end the watch: nobody would start Triton again
                _log.exception("watching Triton failed")
            if not self._first.is_set():
                return
            backoff_s = self._pace.first_backoff_s if came_up else min(2 * backoff_s, self._pace.longest_backoff_s)
            self._sleep(backoff_s)

    def _start_and_watch(self) -> bool:
        """Run our own Triton until it has to go; return whether it ever came up."""
        assert self._start is not None
        try:
            process = self._start()
        except (StartupError, OSError) as err:
            self._refuse(f"Triton cannot be started: {err}")
            return False
        connection = Connection(process.address, id=process.id)
        try:
            if not self._comes_up(process, connection):
                return False
            self._watch(connection, process)
            return True
        finally:
            try:
                self._become(None)
            finally:
                process.stop()

    def _comes_up(self, process: Process, connection: Connection) -> bool:
        deadline = time.monotonic() + self._pace.start_timeout_s
        why = "it does not answer"
        while not self._closing and process.alive() and time.monotonic() < deadline:
            try:
                self._greet(connection)
                return True
            except (WrongModel, Nonsense) as err:
                self._refuse(str(err))
                return False
            except TagwrightError as err:
                why = _described(err)
            self._sleep(self._pace.start_poll_s)
        if not self._closing:
            self._refuse(f"Triton did not start: {why if process.alive() else process.last_error()}")
        return False

    def _watch_elsewhere(self) -> bool:
        connection = Connection(self._address)
        try:
            self._greet(connection)
        except WrongModel as err:
            self._refuse(str(err))
            return False
        except TagwrightError as err:
            _log.warning("Triton at %s: %s", self._address, _described(err))
            self._first.set()
            self._sleep(self._pace.canary_every_s)
            return True  # no backoff: looking costs it nothing
        self._watch(connection, None)
        return True

    def _greet(self, connection: Connection) -> None:
        """Make sure who is there and that every model tells the truth, then let callers in."""
        self.version = connection.identify(self._bundles)
        for bundle in self._bundles:
            connection.try_canary(bundle, timeout_s=self._pace.canary_timeout_s)
        self._become(connection)
        self._first.set()

    def _watch(self, connection: Connection, process: Process | None) -> None:
        """Return when this Triton is no longer to be trusted, or on close()."""
        strikes, hung = 0, False
        while not self._closing:
            if not hung:  # waiting for an answer took long enough
                self._sleep(self._pace.canary_every_s)
            if process is not None and not process.alive():
                _log.error("Triton died: %s", process.last_error())
                return
            try:
                right = self._check(connection)
            except (Overloaded, DeadlineExceeded) as err:
                strikes += 1
                hung = isinstance(err, DeadlineExceeded)
                if hung:  # a queue that is full at first may be the callers' doing: no reason to refuse them yet
                    self._become(None)
                _log.error("Triton %s", "does not answer in time" if hung else "says its queue is full, serves nobody")
                if strikes >= self._pace.strikes or (hung and process is None):
                    return
            except TagwrightError as err:
                _log.error("Triton failed its canary: %s", _described(err))
                return
            else:
                strikes, hung = 0, False
                if right:
                    self._become(connection)

    def _check(self, connection: Connection) -> bool:
        """Run every canary; return whether all came back right, False where a busy model had no time for its own.

        Raises what `Connection.try_canary` does; Overloaded and DeadlineExceeded only of a model that has not served
        a caller either for a whole period.
        """
        right = True
        for bundle in self._bundles:
            try:
                connection.try_canary(bundle, timeout_s=self._pace.canary_timeout_s)
            except (Overloaded, DeadlineExceeded):
                if time.monotonic() - self._served.get(bundle.name, -math.inf) > self._pace.canary_every_s:
                    raise
                right = False
        return right

    def _become(self, connection: Connection | None) -> None:
        was = self.connection is not None
        self.connection = connection
        if was != (connection is not None):
            _log.info("Triton is %s", "ready" if connection else "not ready")
            self._on_change(connection is not None)

    def _refuse(self, why: str) -> None:
        _log.error("%s", why)
        if not self._first.is_set():
            self._refusals.append(why)

    def _sleep(self, seconds: float) -> None:
        """Wait, but not when somebody suspects or closes."""
        self._wake.wait(seconds)
        if not self._closing:
            self._wake.clear()


def _described(err: Exception) -> str:
    return f"{err} ({err.__cause__})" if err.__cause__ else str(err)
