"""Accounts: who there is, and what administrators do to them. Every change is in the audit log, in one transaction."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Sequence

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Actor
from tagwright_server.domain.quoting import quoted
from tagwright_server.errors import ArgumentInvalid, LastAdministrator, NotFound
from tagwright_server.store.records import Account, Role
from tagwright_server.store.store import Store

_LONGEST_NAME = 64
_FEW_PHOTOS = 500  # are deleted within some tens of milliseconds
_ALSO_IN_NAMES = "._-@+"


class Accounts:
    """What administrators do; passwords come in hashed."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(self, username: str, *, password_hash: str, role: Role, by: Actor) -> Account:
        """Make an account. Raises NameTaken."""
        now = self._clock.now()
        account = Account(uuid.uuid4().hex, username, role, disabled=False, created=now, updated=now)
        with self._store.transaction():
            self._store.accounts.add(account, password_hash=password_hash)
            self._store.audit.add(by.did("user.create", username, at=now, details={"role": role.value}))
        return account

    def get(self, username: str) -> Account:
        """Return the account of that name. Raises NotFound."""
        account = self._store.accounts.find(username)
        if account is None:
            raise NotFound(f"there is no account {quoted(username)}")
        return account

    def id_of(self, username: str) -> str | None:
        """Return the id of the account of that name."""
        account = self._store.accounts.find(username)
        return account.id if account is not None else None

    def page(self, *, after: str | None, limit: int) -> Sequence[Account]:
        """Return at most `limit` accounts in the order of their names, those after the name `after`."""
        return self._store.accounts.page(after=after, limit=limit)

    def update(
        self,
        username: str,
        *,
        by: Actor,
        role: Role | None = None,
        disabled: bool | None = None,
        password_hash: str | None = None,
        own_session: str | None = None,
    ) -> Account:
        """Change what is given. Disabling ends the account's sessions, a new password those but `own_session`.

        Raises NotFound and LastAdministrator.
        """
        now = self._clock.now()
        with self._store.transaction():
            account = self._locked(username)
            new_role = role if role is not None else account.role
            new_disabled = disabled if disabled is not None else account.disabled
            if new_role is not Role.ADMIN or new_disabled:
                self._check_not_last(account)
            changes = _changes(account, role=new_role, disabled=new_disabled, new_password=password_hash is not None)
            if not changes:
                return account
            changed = self._store.accounts.update(
                account.id, role=new_role, disabled=new_disabled, password_hash=password_hash, updated=now
            )
            if new_disabled or password_hash is not None:
                self._store.sessions.end_all(account.id, but=None if new_disabled else own_session)
            self._store.audit.add(by.did("user.update", account.username, at=now, details=changes))
        return changed

    def make_small(self, username: str, *, by: Actor) -> None:
        """Get an account ready to be deleted in one short transaction. Raises NotFound and LastAdministrator.

        One with many photos is disabled first and then loses them little by little, so that nobody waits meanwhile.
        """
        account = self.get(username)
        if self._store.images.usage(account.id).photos <= _FEW_PHOTOS:
            return
        self.update(username, disabled=True, by=by)
        while self._store.images.delete_of(account.id, limit=_FEW_PHOTOS):
            pass

    def delete(self, username: str, *, by: Actor) -> None:
        """Remove an account with its sessions and keys. Raises NotFound and LastAdministrator."""
        with self._store.transaction():
            account = self._locked(username)
            self._check_not_last(account)
            self._store.accounts.delete(account.id)
            event = by.did("user.delete", account.username, at=self._clock.now(), details={"id": account.id})
            self._store.audit.add(event)

    def _locked(self, username: str) -> Account:
        self._store.accounts.enabled_admins()  # takes their locks first: two of them cannot remove each other
        return self.get(username)

    def _check_not_last(self, account: Account) -> None:
        if self._store.accounts.enabled_admins() == {account.id}:
            raise LastAdministrator(f"{quoted(account.username)} is the last administrator who can sign in")


def check_name(username: str) -> None:
    """Refuse a name with blanks, control characters, signs or symbols in it. Raises ArgumentInvalid."""
    if not 1 <= len(username) <= _LONGEST_NAME:
        raise ArgumentInvalid(f"must have 1 to {_LONGEST_NAME} characters, not {len(username):,}", field="username")
    if not all(_in_names(character) for character in username) or not unicodedata.is_normalized("NFC", username):
        raise ArgumentInvalid(
            f"may have letters, digits and any of {' '.join(_ALSO_IN_NAMES)} , in Unicode form NFC", field="username"
        )


def _in_names(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" or character in _ALSO_IN_NAMES


def _changes(account: Account, *, role: Role, disabled: bool, new_password: bool) -> dict[str, str]:
    changes = {}
    if role is not account.role:
        changes["role"] = role.value
    if disabled is not account.disabled:
        changes["disabled"] = "yes" if disabled else "no"
    if new_password:
        changes["password"] = "changed"
    return changes
