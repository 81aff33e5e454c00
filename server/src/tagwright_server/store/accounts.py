"""Accounts. Names are equal where `fold` makes them so; passwords come and go as hashes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tagwright_server.errors import NameTaken, NotFound
from tagwright_server.store.changes import Changes
from tagwright_server.store.database import Database
from tagwright_server.store.models import AccountRow, ImageRow
from tagwright_server.store.records import Account, Role
from tagwright_server.store.text import need_storable, storable

_ADMINISTRATORS = b"administrators"
_LONGEST = 256  # characters

COLUMNS = (
    AccountRow.id,
    AccountRow.username,
    AccountRow.role,
    AccountRow.disabled,
    AccountRow.created,
    AccountRow.updated,
    AccountRow.last_login,
)


def fold(username: str) -> str:
    """Return what is the same for names that differ in case or Unicode form only: NFKC, casefolded, until stable.

    What is longer than any name stays as it is: normalising takes time that grows with the square of the length.
    """
    if len(username) > _LONGEST:
        return username
    while (folded := unicodedata.normalize("NFKC", username).casefold()) != username:
        username = folded
    return username


def account(row: Sequence[Any]) -> Account:
    """Make an account of COLUMNS."""
    return Account(row[0], row[1], Role(row[2]), row[3], row[4], row[5], row[6])


class Accounts:
    """The accounts of a database. Inside transaction(), what reads one account also locks it until the end."""

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    def add(self, account: Account, *, password_hash: str) -> None:
        """Add an account; raise NameTaken where there is one of that name, ArgumentInvalid for a NUL in it."""
        need_storable(account.username, field="username")
        query = AccountRow.insert(
            id=account.id,
            username=account.username,
            folded=fold(account.username),
            role=account.role.value,
            disabled=account.disabled,
            password_hash=password_hash,
            created=account.created,
            updated=account.updated,
            last_login=account.last_login,
        ).on_conflict(action="nothing", conflict_target=[AccountRow.folded])
        with self._database.transaction():
            if not self._database.change(query):
                raise NameTaken("There is an account of that name.")

    def find(self, username: str) -> Account | None:
        """Return the account of that name."""
        return self._one(AccountRow.folded == fold(username)) if storable(username) else None

    def get(self, id: str) -> Account | None:
        """Return the account with that id."""
        return self._one(AccountRow.id == id) if storable(id) else None

    def password_hash(self, id: str) -> str | None:
        """Return the hash of its password."""
        query = AccountRow.select(AccountRow.password_hash).where(AccountRow.id == id)
        with self._database.reading():
            row = self._database.row(self._database.locked(query)) if storable(id) else None
        return row[0] if row else None

    def page(self, *, after: str | None, limit: int) -> list[Account]:
        """Return up to `limit` accounts in the order of their folded names, those after the name `after`."""
        query = AccountRow.select(*COLUMNS).order_by(AccountRow.folded).limit(limit)
        if after is not None:
            query = query.where(AccountRow.folded > fold(need_storable(after, field="page_token")))
        with self._database.reading():
            return [account(row) for row in self._database.rows(query)]

    def update(
        self,
        id: str,
        *,
        role: Role | None = None,
        disabled: bool | None = None,
        password_hash: str | None = None,
        updated: datetime,
    ) -> Account:
        """Change what is given and return the account as it is then; raise NotFound."""
        changes: dict[str, Any] = {"updated": updated}
        changes |= {} if role is None else {"role": role.value}
        changes |= {} if disabled is None else {"disabled": disabled}
        changes |= {} if password_hash is None else {"password_hash": password_hash}
        with self._database.transaction():
            self._change(id, changes)
            return self.need(id)

    def replace_hash(self, id: str, *, password_hash: str, was: str) -> bool:
        """Keep a better hash of the same password, unless the password was changed meanwhile; return whether."""
        query = AccountRow.update(password_hash=password_hash)
        with self._database.transaction():
            return bool(self._database.change(query.where(AccountRow.id == id, AccountRow.password_hash == was)))

    def record_login(self, id: str, *, at: datetime) -> None:
        """Note a login; raise NotFound. Inside transaction() the account is locked from here on."""
        with self._database.transaction():
            if not self._change(id, {"last_login": at}):
                raise NotFound("There is no such account.")

    def delete(self, id: str) -> None:
        """Delete an account with its sessions, keys and photos; raise NotFound."""
        photos = ImageRow.select(ImageRow.number).where(ImageRow.account == id)
        with self._database.transaction():
            self.get(id)  # locked: nobody gives it another photo
            self._changes.photos(row[0] for row in self._database.rows(photos))
            if not self._database.change(AccountRow.delete().where(AccountRow.id == id)):
                raise NotFound("There is no such account.")

    def enabled_admins(self) -> set[str]:
        """Return the ids of the administrators that are not disabled; call inside transaction(), before other verbs.

        They stay what they are until the transaction ends, and whoever else asks meanwhile waits for that: two of them
        cannot remove each other, and the first one is made once.
        """
        self._database.lock(_ADMINISTRATORS)
        administers = (AccountRow.role == Role.ADMIN.value) & (AccountRow.disabled == False)  # noqa: E712 - SQL
        query = AccountRow.select(AccountRow.id).where(administers).order_by(AccountRow.id)
        return {row[0] for row in self._database.rows(self._database.locked(query))}

    def need(self, id: str) -> Account:
        """Return the account with that id; raise NotFound."""
        found = self.get(id)
        if found is None:
            raise NotFound("There is no such account.")
        return found

    def any(self) -> bool:
        """Whether there is an account."""
        with self._database.reading():
            return self._database.row(AccountRow.select(AccountRow.id)) is not None

    def _one(self, which: Any) -> Account | None:
        query = AccountRow.select(*COLUMNS).where(which)
        with self._database.reading():
            row = self._database.row(self._database.locked(query))
        return account(row) if row else None

    def _change(self, id: str, changes: dict[str, Any]) -> int:
        return self._database.change(AccountRow.update(**changes).where(AccountRow.id == id))
