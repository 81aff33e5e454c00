"""What `database.py` needs of a kind of database; `sqlite.py` and `postgres.py` are the two that there are."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import peewee

from tagwright_server.errors import Busy, StorageFull

BUSY_RETRY_S = 1.0
FULL_RETRY_S = 30.0  # a disk is not cleared within a second


@dataclass(frozen=True, slots=True)
class Trouble:
    """What an error of a driver means: what callers are told, None if it is no more than it says itself.

    `broken`: the connection is not to be used again. `lost`: the server had ended it, so that none of what was sent
    was done, unless it was a COMMIT.
    """

    error: Exception | None
    broken: bool = True
    lost: bool = False


class Handed(threading.local):
    """The connection that a thread is about to use: peewee would otherwise open one while it holds its only lock."""

    connection: Any = None


class Engine(Protocol):
    """One kind of database. Connections are the driver's own, in its autocommit mode."""

    queries: peewee.Database  # builds SQL and runs it on the connection that was handed over; opens none itself
    handed: Handed
    errors: tuple[type[Exception], ...]
    row_locks: bool  # whether transactions that write run beside each other, so that rows have to be locked

    def start(self) -> None:
        """Check that it can be used, once; raise StartupError."""
        ...

    def connect(self, *, quickly: bool = False) -> Any:
        """Open a connection; `quickly` it gives up sooner."""
        ...

    def idle(self, connection: Any) -> bool:
        """Whether a connection is in no transaction."""
        ...

    def begin(self, connection: Any, *, wait: bool) -> None:
        """Begin a transaction that writes. Without `wait` it gives up at once where others write."""
        ...

    def end(self) -> None:
        """Called once after each begin() that succeeded, when its transaction is over."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Hold the lock that one starting server has; on the connection that is in use."""
        ...

    def trouble(self, err: Exception) -> Trouble:
        """Say what a driver's error means."""
        ...

    def probe(self, connection: Any) -> None:
        """Read something within a second, or raise."""
        ...


def original(err: Exception) -> Exception:
    """Return the driver's own error: peewee's carries it."""
    carried = getattr(err, "orig", None)
    return carried if isinstance(carried, Exception) else err


def busy() -> Busy:
    """Return what callers are told where the database is locked too long or does not answer."""
    return Busy("The database is busy. Nothing was changed; try again in a moment.", retry_after_s=BUSY_RETRY_S)


def unsure() -> Busy:
    """Return what callers are told where the connection broke before the database said whether it kept a change."""
    text = (
        "The database went away before it said whether the change was kept. The same request_id is safe to send again."
    )
    return Busy(text, retry_after_s=BUSY_RETRY_S)


def full() -> StorageFull:
    """Return what callers are told where there is no room to write."""
    text = "The server's disk is full. Nothing was changed; what is stored can still be read."
    return StorageFull(text, retry_after_s=FULL_RETRY_S)
