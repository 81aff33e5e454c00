"""Keys of backend services, found by the hash of the key; they stay to be listed after they were revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tagwright_server.errors import NotFound
from tagwright_server.store import accounts
from tagwright_server.store.accounts import Accounts
from tagwright_server.store.database import Database
from tagwright_server.store.models import AccountRow, ApiKeyRow
from tagwright_server.store.records import Account, ApiKey, Scope
from tagwright_server.store.text import need_storable, storable
from tagwright_server.store.touch import touch

_COLUMNS = (
    ApiKeyRow.id,
    ApiKeyRow.account,
    AccountRow.username,
    ApiKeyRow.name,
    ApiKeyRow.prefix,
    ApiKeyRow.token_hash,
    ApiKeyRow.scopes,
    ApiKeyRow.created,
    ApiKeyRow.expires,
    ApiKeyRow.used,
    ApiKeyRow.revoked,
)


class ApiKeys:
    """The keys of a database."""

    def __init__(self, database: Database, owners: Accounts) -> None:
        self._database = database
        self._accounts = owners
        query = ApiKeyRow.select(*_COLUMNS, *accounts.COLUMNS).join(AccountRow).where(ApiKeyRow.token_hash == b"")
        self._by_hash = database.lookup(query)

    def add(self, key: ApiKey) -> None:
        """Add a key; raise NotFound where its account is gone, ArgumentInvalid for a NUL in its name."""
        query = ApiKeyRow.insert(
            id=key.id,
            account=key.account_id,
            name=need_storable(key.name, field="name"),
            prefix=key.prefix,
            token_hash=key.token_hash,
            scopes=" ".join(sorted(scope.value for scope in key.scopes)),
            created=key.created,
            expires=key.expires,
            used=key.used,
            revoked=key.revoked,
        )
        with self._database.transaction():
            self._accounts.need(key.account_id)
            self._database.change(query)

    def find(self, token_hash: bytes) -> tuple[ApiKey, Account] | None:
        """Return the key with that hash, revoked and expired ones too, and its account."""
        with self._database.reading():
            row = self._by_hash(token_hash)
        return (_key(row), accounts.account(row[len(_COLUMNS) :])) if row else None

    def get(self, id: str) -> ApiKey | None:
        """Return the key with that id."""
        query = ApiKeyRow.select(*_COLUMNS).join(AccountRow).where(ApiKeyRow.id == id)
        with self._database.reading():
            row = self._database.row(query) if storable(id) else None
        return _key(row) if row else None

    def page(self, account_id: str, *, before: tuple[datetime, str] | None, limit: int) -> list[ApiKey]:
        """Return up to `limit` keys of an account, the newest first, those before a key's (created, id)."""
        query = ApiKeyRow.select(*_COLUMNS).join(AccountRow).where(ApiKeyRow.account == account_id)
        query = query.order_by(ApiKeyRow.created.desc(), ApiKeyRow.id.desc()).limit(limit)
        if before is not None:
            created, id = before
            older = ApiKeyRow.created < created
            query = query.where(older | ((ApiKeyRow.created == created) & (ApiKeyRow.id < id)))
        with self._database.reading():
            return [_key(row) for row in self._database.rows(query)]

    def revoke(self, id: str, *, at: datetime) -> ApiKey:
        """Revoke a key, for ever, and return it; one that was revoked keeps its time. Raise NotFound."""
        query = ApiKeyRow.update(revoked=at).where(ApiKeyRow.id == id, ApiKeyRow.revoked.is_null())
        with self._database.transaction():
            if storable(id):
                self._database.change(query)
            key = self.get(id)
        if key is None:
            raise NotFound("There is no such key.")
        return key

    def touch(self, id: str, *, at: datetime) -> None:
        """Note that it was used, unless the database has no time just now."""
        touch(self._database, ApiKeyRow.update(used=at).where(ApiKeyRow.id == id))

    def try_to_revoke(self, id: str, *, at: datetime) -> None:
        """Revoke a key if the database has time for that just now."""
        query = ApiKeyRow.update(revoked=at).where(ApiKeyRow.id == id, ApiKeyRow.revoked.is_null())
        touch(self._database, query)

    def count_valid(self, account_id: str, *, at: datetime) -> int:
        """Return how many keys of an account are neither revoked nor expired; call inside transaction().

        The account is locked from here on, so that two callers cannot both take the last place.
        """
        self._database.need_transaction()
        self._accounts.need(account_id)
        unexpired = ApiKeyRow.expires.is_null() | (ApiKeyRow.expires > at)
        query = ApiKeyRow.select(ApiKeyRow.id).where(ApiKeyRow.account == account_id, ApiKeyRow.revoked.is_null())
        return len(self._database.rows(query.where(unexpired)))  # a hundred at most


def _key(row: Sequence[Any]) -> ApiKey:
    return ApiKey(
        id=row[0],
        account_id=row[1],
        username=row[2],
        name=row[3],
        prefix=row[4],
        token_hash=bytes(row[5]),
        scopes=frozenset(Scope(value) for value in row[6].split()),
        created=row[7],
        expires=row[8],
        used=row[9],
        revoked=row[10],
    )
