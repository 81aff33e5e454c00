"""Keys of backend services: made and revoked here, shown once."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tagwright_server.clock import Clock
from tagwright_server.domain import tokens
from tagwright_server.domain.access import Caller
from tagwright_server.domain.quoting import quoted
from tagwright_server.errors import ArgumentInvalid, NotFound, QuotaExceeded, ScopeMissing
from tagwright_server.store.records import ApiKey, Scope
from tagwright_server.store.store import Store

MOST_VALID = 100  # keys an account
_LONGEST_NAME = 100
_QUOTA_AGAIN_S = 3600.0  # nothing but revoking or expiry makes room


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made; `token` is nowhere else."""

    token: str = field(repr=False)
    api_key: ApiKey


class ApiKeys:
    """What is done to keys; using them is `credentials`."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def create(self, name: str, scopes: Sequence[str], *, expires: datetime | None, by: Caller) -> NewApiKey:
        """Make a key of the caller's account. Raises ArgumentInvalid, ScopeMissing and QuotaExceeded."""
        now = self._clock.now()
        if not 1 <= len(name.strip()) <= _LONGEST_NAME:
            raise ArgumentInvalid(f"must have 1 to {_LONGEST_NAME} characters", field="name")
        if expires is not None and expires <= now:
            raise ArgumentInvalid("must be in the future", field="expire_time")
        token = tokens.make(tokens.API_KEY)
        api_key = ApiKey(
            id=uuid.uuid4().hex,
            account_id=by.account.id,
            username=by.account.username,
            name=name.strip(),
            prefix=token[: tokens.SHOWN],
            token_hash=tokens.digest(token),
            scopes=_scopes(scopes, by),
            created=now,
            expires=expires,
        )
        with self._store.transaction():
            if self._store.api_keys.count_valid(by.account.id, at=now) >= MOST_VALID:
                raise QuotaExceeded(
                    f"an account has at most {MOST_VALID} valid keys; revoke one first", retry_after_s=_QUOTA_AGAIN_S
                )
            self._store.api_keys.add(api_key)
            details = {"name": api_key.name, "scopes": " ".join(sorted(scope.value for scope in api_key.scopes))}
            self._record("key.create", api_key, by, at=now, details=details)
        return NewApiKey(token, api_key)

    def page(self, username: str, *, before: tuple[datetime, str] | None, limit: int, by: Caller) -> Sequence[ApiKey]:
        """Return keys of an account, the newest first; of the caller's own where `username` is "".

        A key without the scope admin sees itself only. Raises ScopeMissing, and NotFound for administrators.
        """
        account_id = by.account.id
        if by.api_key is not None and Scope.ADMIN not in by.scopes and not username:
            return [by.api_key] if before is None else []
        if username:
            account = self._store.accounts.find(username)
            own = account is not None and account.id == by.account.id and by.api_key is None
            if not own and Scope.ADMIN not in by.scopes:
                raise ScopeMissing("Only administrators see the keys of others.")
            if account is None:
                raise NotFound(f"there is no account {quoted(username)}")
            account_id = account.id
        return self._store.api_keys.page(account_id, before=before, limit=limit)

    def revoke(self, key_id: str, *, by: Caller) -> ApiKey:
        """Make a key invalid for ever. Raises NotFound, also for what is not the caller's to see."""
        now = self._clock.now()
        with self._store.transaction():
            api_key = self._store.api_keys.get(key_id)
            if api_key is None or not _may_revoke(api_key, by):
                raise NotFound("there is no such key")
            if api_key.revoked is None:
                api_key = self._store.api_keys.revoke(key_id, at=now)
                self._record("key.revoke", api_key, by, at=now, details={"name": api_key.name})
        return api_key

    def _record(self, action: str, api_key: ApiKey, by: Caller, *, at: datetime, details: dict[str, str]) -> None:
        details = {"owner": api_key.username, **details}
        self._store.audit.add(by.actor.did(action, api_key.prefix, at=at, details=details))


def _may_revoke(api_key: ApiKey, by: Caller) -> bool:
    if Scope.ADMIN in by.scopes:
        return True
    return api_key.id == by.api_key.id if by.api_key is not None else api_key.account_id == by.account.id


def _scopes(names: Sequence[str], by: Caller) -> frozenset[Scope]:
    known = {scope.value: scope for scope in Scope}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        said = f"has an unknown scope {quoted(unknown[0])}" if unknown else "names no scope"
        raise ArgumentInvalid(f"{said}; there are: {', '.join(known)}", field="scopes")
    scopes = frozenset(known[name] for name in names)
    if not scopes <= by.scopes:
        raise ScopeMissing("A key cannot do more than the one who makes it.")
    return scopes
