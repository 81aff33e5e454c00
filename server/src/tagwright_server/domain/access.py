"""Who a caller is, what they may do, and what a call asks of them. Nothing is allowed that no rule allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from tagwright_server.errors import ScopeMissing
from tagwright_server.store.records import Account, ApiKey, AuditEvent, Role, Scope, Session

SCOPES_OF: Mapping[Role, frozenset[Scope]] = {
    Role.USER: frozenset({Scope.TAGGING_READ, Scope.TAGGING_WRITE, Scope.SEARCH}),
    Role.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something, as the audit log says it."""

    name: str
    credential: str
    peer: str

    def did(self, action: str, target: str, *, at: datetime, details: Mapping[str, str] | None = None) -> AuditEvent:
        """Return the event of this actor's doing something."""
        return AuditEvent(at, self.name, self.credential, self.peer, action, target, details or {})


@dataclass(frozen=True, slots=True)
class Caller:
    """An account with the session or the key that it uses, and where the call comes from."""

    account: Account
    scopes: frozenset[Scope]
    peer: str
    session: Session | None = None
    api_key: ApiKey | None = None

    @property
    def actor(self) -> Actor:
        """Who this is for the audit log."""
        credential = f"key {self.api_key.prefix}" if self.api_key is not None else "session"
        return Actor(self.account.username, credential, self.peer)

    @property
    def session_id(self) -> str | None:
        """The session's id; None where the caller uses a key."""
        return self.session.id if self.session is not None else None


class Needs(Enum):
    """What a call asks of its caller beside a scope."""

    NOTHING = "no token at all"
    TOKEN = "a valid token"
    SESSION = "a session: keys are for programs, which make no keys and sign nobody out"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one call asks of its caller. A scope is held by the roles of SCOPES_OF, and by keys that were given it."""

    needs: Needs = Needs.TOKEN
    scope: Scope | None = None


def check(rule: Rule, caller: Caller) -> None:
    """Raise ScopeMissing where the caller may not make the call."""
    missing_scope = rule.scope is not None and rule.scope not in caller.scopes
    if missing_scope or (rule.needs is Needs.SESSION and caller.session is None):
        raise ScopeMissing("This call needs a role or a scope that the token does not have.")
