"""From a token to a caller. What was once seen expired stays so, whatever the clock says later."""

from __future__ import annotations

from datetime import datetime, timedelta

from tagwright_server.clock import Clock
from tagwright_server.domain import tokens
from tagwright_server.domain.access import SCOPES_OF, Caller
from tagwright_server.domain.sign_in import Lifetime
from tagwright_server.errors import TokenInvalid
from tagwright_server.store.store import Store

_NOTED_EVERY = timedelta(minutes=1)  # "last used" is kept to the minute: a write for each call would cost a disk sync


class Credentials:
    """Looks tokens up, each time anew: what was revoked a moment ago is refused."""

    def __init__(self, store: Store, *, lifetime: Lifetime, clock: Clock) -> None:
        self._store = store
        self._lifetime = lifetime
        self._clock = clock

    def identify(self, token: str, *, peer: str) -> Caller:
        """Return whose token it is. Raises TokenInvalid."""
        if not tokens.well_formed(token):
            raise TokenInvalid
        digest, now = tokens.digest(token), self._clock.now()
        return self._session(digest, now, peer) if token.startswith(tokens.SESSION) else self._key(digest, now, peer)

    def renew(self, caller: Caller) -> Caller:
        """Return the caller as the store knows them by now. Raises TokenInvalid."""
        now = self._clock.now()
        if caller.session is not None:
            return self._session(caller.session.token_hash, now, caller.peer)
        assert caller.api_key is not None  # noqa: S101  (a caller has one of the two)
        return self._key(caller.api_key.token_hash, now, caller.peer)

    def _session(self, digest: bytes, now: datetime, peer: str) -> Caller:
        found = self._store.sessions.find(digest)
        if found is None:
            raise TokenInvalid
        session, account = found
        if now >= session.expires or now - session.used >= self._lifetime.idle:
            self._store.sessions.try_to_end(session.id)
            raise TokenInvalid
        if account.disabled:
            raise TokenInvalid
        if _to_be_noted(session.used, now):
            self._store.sessions.touch(session.id, at=now)
        return Caller(account, SCOPES_OF[account.role], peer, session=session)

    def _key(self, digest: bytes, now: datetime, peer: str) -> Caller:
        found = self._store.api_keys.find(digest)
        if found is None:
            raise TokenInvalid
        api_key, account = found
        if api_key.revoked is not None or account.disabled:
            raise TokenInvalid
        if api_key.expires is not None and now >= api_key.expires:
            self._store.api_keys.try_to_revoke(api_key.id, at=now)
            raise TokenInvalid
        if api_key.used is None or _to_be_noted(api_key.used, now):
            self._store.api_keys.touch(api_key.id, at=now)
        return Caller(account, api_key.scopes & SCOPES_OF[account.role], peer, api_key=api_key)


def _to_be_noted(last: datetime, now: datetime) -> bool:
    return now - last >= _NOTED_EVERY or now < last
