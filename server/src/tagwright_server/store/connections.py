"""Connections that wait for their next use, at most so many in all.

playhouse.pool is not used: it opens and pings connections while it holds its lock, so that one server that does not
answer would stop every thread, those that need no database included.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from tagwright_server.store.engine import Engine, busy


class Connections:
    """The connections of one database. The one used last is used next; none is opened under the lock."""

    def __init__(self, engine: Engine, *, most: int) -> None:
        self._engine = engine
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._open = 0  # in use or idle
        self._closed = False

    def take(self, *, quickly: bool = False) -> Any:
        """Return a connection, the one used last if one is idle; raise Busy if all are in use.

        It may have been cut while it was idle: whoever takes it finds out with the first thing that it asks.
        """
        with self._lock:
            if self._closed or (not self._idle and self._open >= self._most):
                raise busy()
            if self._idle:
                return self._idle.pop()
            self._open += 1
        return self._connect(quickly)

    def give(self, connection: Any) -> None:
        """Take back a connection that is in no transaction."""
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        self.discard(connection)

    def discard(self, connection: Any) -> None:
        """Close a connection that was taken."""
        with self._lock:
            self._open -= 1
        _close(connection)

    def discard_idle(self) -> None:
        """Close those that nobody uses: what broke one has likely broken them all."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._open -= len(idle)
        for connection in idle:
            _close(connection)

    def close(self) -> None:
        """Close them all, those in use when they are given back; from now on nobody gets one."""
        with self._lock:
            self._closed = True
        self.discard_idle()

    def _connect(self, quickly: bool) -> Any:
        try:
            return self._engine.connect(quickly=quickly)
        except BaseException:
            with self._lock:
                self._open -= 1
            raise


def _close(connection: Any) -> None:
    with suppress(Exception):  # it is broken, that is why it is closed
        connection.close()
