"""Signing in and out, and one's own password.

Unknown names, disabled accounts and wrong passwords are alike in what is said, what is done and how long it takes.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tagwright_server.clock import Clock
from tagwright_server.domain import tokens
from tagwright_server.domain.access import Actor, Caller
from tagwright_server.domain.capacity import Capacity
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.passwords import Passwords, check_new
from tagwright_server.domain.throttle import Throttle
from tagwright_server.errors import Busy, LoginFailed, Overloaded, RateLimited
from tagwright_server.store.records import Account, Session
from tagwright_server.store.store import Store

_MOST_HELD_BACK = 8  # refusals at once: they take places from those who log in; beyond that, refusing is immediate


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lasts: unused, and at most."""

    idle: timedelta
    absolute: timedelta


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session; the token is nowhere else."""

    token: str = field(repr=False)
    session: Session
    account: Account


@dataclass(frozen=True, slots=True)
class NewPassword:
    """What is kept of a new password, and of the one that it replaces."""

    kept: str = field(repr=False)
    instead_of: str = field(repr=False)


class SignIn:
    """Sessions come and go here. `peer` is for the audit log, `group` is what failures are counted for."""

    def __init__(
        self,
        store: Store,
        *,
        passwords: Passwords,
        throttle: Throttle,
        lifetime: Lifetime,
        refusal_delay_s: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._throttle = throttle
        self._clock = clock
        self._refusal_delay_s = refusal_delay_s
        self._held_back = Capacity(_MOST_HELD_BACK, "refusals")
        self.lifetime = lifetime

    def login(self, username: str, password: str, *, peer: str, group: str, deadline: Deadline) -> SignedIn:
        """Make a session. Raises LoginFailed, RateLimited and Overloaded."""
        known = self._known(username, group, deadline)

        def attempt() -> SignedIn:
            account, kept = self._verified(username, password, peer=peer, group=group)
            fresh = self._passwords.hash(password) if self._passwords.outdated(kept) else None
            return self._begin(account, kept=kept, fresh=fresh, peer=peer, group=group)

        return self._passwords.in_turn(attempt, deadline, first=known)

    def logout(self, caller: Caller) -> None:
        """End the caller's session."""
        assert caller.session is not None  # noqa: S101  (the rule of the call asks for one)
        with self._store.transaction():
            if self._store.sessions.end(caller.session.id):
                self._record("logout", caller.account, at=self._clock.now(), peer=caller.peer)

    def check_change(self, caller: Caller, *, current: str, new: str, group: str, deadline: Deadline) -> NewPassword:
        """Verify the current password and hash the new one, both of the caller's account. Changes nothing.

        Raises LoginFailed, RateLimited, Overloaded and ArgumentInvalid.
        """
        username = caller.account.username
        check_new(new, username=username, field="new_password")
        known = self._known(username, group, deadline)

        def attempt() -> NewPassword:
            _, kept = self._verified(username, current, peer=caller.peer, group=group)
            return NewPassword(self._passwords.hash(new), instead_of=kept)

        return self._passwords.in_turn(attempt, deadline, first=known)

    def change(self, caller: Caller, password: NewPassword) -> None:
        """Keep the new password and end the account's other sessions. Raises Busy where a rival change won."""
        now = self._clock.now()
        with self._store.transaction():
            if not self._store.accounts.replace_hash(
                caller.account.id, password_hash=password.kept, was=password.instead_of
            ):
                raise Busy("The password was changed by somebody else just now.", retry_after_s=1.0)
            account = self._store.accounts.update(caller.account.id, updated=now)
            self._store.sessions.end_all(account.id, but=caller.session_id)
            self._record("password.change", account, at=now, peer=caller.peer)

    def _known(self, username: str, group: str, deadline: Deadline) -> bool:
        """Return whether the peer is known to the account; hold a refusal back, so that asking again costs time."""
        try:
            return self._throttle.check(username, group, at=self._clock.now())
        except RateLimited:
            with suppress(Overloaded), self._held_back.hold():
                gone = threading.Event()
                deadline.when_gone(gone.set)
                gone.wait(min(self._refusal_delay_s, deadline.remaining_s()))
                deadline.forget()
            raise

    def _verified(self, username: str, password: str, *, peer: str, group: str) -> tuple[Account, str]:
        now = self._clock.now()
        self._throttle.check(username, group, at=now)  # again: those before us in the line may have failed
        account = self._store.accounts.find(username)
        kept = self._store.accounts.password_hash(account.id if account is not None else "")
        matches = self._passwords.matches(password, kept)
        if account is None or kept is None or account.disabled or not matches:
            with self._store.transaction():
                self._throttle.fail(username, group, at=now)
                self._record("login.failed", account, at=now, peer=peer, credential="")
            raise LoginFailed
        return account, kept

    def _begin(self, account: Account, *, kept: str, fresh: str | None, peer: str, group: str) -> SignedIn:
        now = self._clock.now()
        token = tokens.make(tokens.SESSION)
        session = Session(
            id=uuid.uuid4().hex,
            account_id=account.id,
            token_hash=tokens.digest(token),
            created=now,
            used=now,
            expires=now + self.lifetime.absolute,
        )
        with self._store.transaction():
            current = self._store.accounts.get(account.id)  # it is locked from here on
            if current is None or current.disabled or self._store.accounts.password_hash(account.id) != kept:
                raise LoginFailed  # changed while the password was hashed
            if fresh is not None:
                self._store.accounts.replace_hash(account.id, password_hash=fresh, was=kept)
            self._store.accounts.record_login(account.id, at=now)
            self._store.sessions.add(session)
            self._throttle.succeed(account.username, group, at=now)
            self._record("login", account, at=now, peer=peer)
        return SignedIn(token, session, replace(current, last_login=now))

    def _record(
        self, action: str, account: Account | None, *, at: datetime, peer: str, credential: str = "session"
    ) -> None:
        # The name that was typed is not written where there is no such account: it may be a password.
        name = account.username if account is not None else ""
        actor = name if credential else ""
        self._store.audit.add(Actor(actor, credential, peer).did(action, name, at=at))
