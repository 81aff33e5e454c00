"""Sessions of signed-in people, found by the hash of their token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tagwright_server.store import accounts
from tagwright_server.store.accounts import Accounts
from tagwright_server.store.database import Database
from tagwright_server.store.models import AccountRow, SessionRow
from tagwright_server.store.records import Account, Session
from tagwright_server.store.touch import touch

_COLUMNS = (
    SessionRow.id,
    SessionRow.account,
    SessionRow.token_hash,
    SessionRow.created,
    SessionRow.used,
    SessionRow.expires,
)


class Sessions:
    """The sessions of a database."""

    def __init__(self, database: Database, owners: Accounts) -> None:
        self._database = database
        self._accounts = owners
        query = SessionRow.select(*_COLUMNS, *accounts.COLUMNS).join(AccountRow).where(SessionRow.token_hash == b"")
        self._by_hash = database.lookup(query)

    def add(self, session: Session) -> None:
        """Add a session; raise NotFound where its account is gone.

        The account is locked until the transaction ends: whoever disables it, or changes its password, comes before
        or after, and ends this session if after. What was checked before the transaction is to be checked again in it.
        """
        query = SessionRow.insert(
            id=session.id,
            account=session.account_id,
            token_hash=session.token_hash,
            created=session.created,
            used=session.used,
            expires=session.expires,
        )
        with self._database.transaction():
            self._accounts.need(session.account_id)
            self._database.change(query)

    def find(self, token_hash: bytes) -> tuple[Session, Account] | None:
        """Return the session with that token, however old it is, and its account."""
        with self._database.reading():
            row = self._by_hash(token_hash)
        return (_session(row), accounts.account(row[len(_COLUMNS) :])) if row else None

    def touch(self, id: str, *, at: datetime) -> None:
        """Note that it was used, unless the database has no time just now.

        An earlier moment than the last one counts too: then the clock went back, and the idle time with it.
        """
        query = SessionRow.update(used=at).where(SessionRow.id == id)
        touch(self._database, query)

    def try_to_end(self, id: str) -> None:
        """End a session if the database has time for that just now."""
        touch(self._database, SessionRow.delete().where(SessionRow.id == id))

    def end(self, id: str) -> bool:
        """End a session and return whether there was one."""
        with self._database.transaction():
            return bool(self._database.change(SessionRow.delete().where(SessionRow.id == id)))

    def end_all(self, account_id: str, *, but: str | None = None) -> int:
        """End all sessions of an account, but for one, and return how many."""
        query = SessionRow.delete().where(SessionRow.account == account_id)
        if but is not None:
            query = query.where(SessionRow.id != but)
        with self._database.transaction():
            return self._database.change(query)

    def prune(self, *, expired_before: datetime) -> int:
        """Remove those that expired before a moment and return how many."""
        with self._database.transaction():
            return self._database.change(SessionRow.delete().where(SessionRow.expires < expired_before))


def _session(row: Sequence[Any]) -> Session:
    return Session(row[0], row[1], bytes(row[2]), row[3], row[4], row[5])
