"""The store of a server: its database, brought up to date, and the verbs of every noun."""

from __future__ import annotations

from contextlib import AbstractContextManager

from tagwright_server.clock import Clock, SystemClock
from tagwright_server.store.accounts import Accounts
from tagwright_server.store.api_keys import ApiKeys
from tagwright_server.store.audit import Audit
from tagwright_server.store.changes import Changes
from tagwright_server.store.database import Database
from tagwright_server.store.facts import Facts
from tagwright_server.store.failures import FailedLogins
from tagwright_server.store.images import Images
from tagwright_server.store.migrate import migrate
from tagwright_server.store.operations import Operations
from tagwright_server.store.replies import Replies
from tagwright_server.store.sessions import Sessions
from tagwright_server.store.tags import Tags


class Store:
    """What a server keeps. Each verb is one transaction; inside transaction() they are one together."""

    def __init__(self, database: Database, *, clock: Clock | None = None) -> None:
        self.database = database
        self.changes = Changes(database, clock=clock or SystemClock())
        self.accounts = Accounts(database, self.changes)
        self.sessions = Sessions(database, self.accounts)
        self.api_keys = ApiKeys(database, self.accounts)
        self.audit = Audit(database)
        self.replies = Replies(database)
        self.failures = FailedLogins(database)
        self.facts = Facts(database)
        self.images = Images(database, self.changes)
        self.tags = Tags(database, self.changes)
        self.operations = Operations(database)

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside happens, for ever, or nothing of it does."""
        return self.database.transaction()

    def ready(self) -> bool:
        """Whether it can be read just now; never raises, and takes a few seconds at the very most."""
        return self.database.ready()

    def close(self) -> None:
        """Close it; calls in progress may finish."""
        self.database.close()


def open_store(
    url: str, *, busy_timeout_s: float = 5.0, connections_max: int = 96, clock: Clock | None = None
) -> Store:
    """Open the database of a URL, bring it up to date, and return its store; raise StartupError."""
    database = Database(url, busy_timeout_s=busy_timeout_s, connections_max=connections_max)
    try:
        migrate(database, clock=clock)
    except BaseException:
        database.close()
        raise
    return Store(database, clock=clock)
