"""What lies in store-0001.sqlite3 and store-0001.sql: a little of everything that the first schema keeps.

Frozen, like those files: every later version has to find all of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from tagwright_server.store.records import (
    Account,
    ApiKey,
    AuditEvent,
    Failures,
    Reply,
    Role,
    Scope,
    Session,
)
from tagwright_server.store.store import Store

NOW = datetime(2026, 3, 1, 12, 30, 45, 678_901, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)

ACCOUNTS = [
    Account("0" * 31 + "1", "Ada", Role.ADMIN, False, NOW, NOW + HOUR, NOW + 2 * HOUR),
    Account("0" * 31 + "2", "bob@example.org", Role.USER, True, NOW, NOW),
    Account("0" * 31 + "3", "Ωmega-Straße", Role.USER, False, NOW + HOUR, NOW + HOUR),
]
SESSIONS = [
    Session("1" * 32, ACCOUNTS[0].id, bytes(range(32)), NOW, NOW + HOUR, NOW + 12 * HOUR),
    Session("2" * 32, ACCOUNTS[2].id, bytes(range(32, 64)), NOW, NOW, NOW + 12 * HOUR),
]
KEYS = [
    ApiKey(
        id="3" * 32,
        account_id=ACCOUNTS[0].id,
        username="Ada",
        name="nightly import",
        prefix="twk_Ab12Cd34",
        token_hash=bytes(range(64, 96)),
        scopes=frozenset(Scope),
        created=NOW,
        expires=NOW + 24 * HOUR,
        used=NOW + HOUR,
        revoked=NOW + 2 * HOUR,
    ),
    ApiKey(
        id="4" * 32,
        account_id=ACCOUNTS[2].id,
        username="Ωmega-Straße",
        name="Schlüssel 🔑",
        prefix="twk_Ef56Gh78",
        token_hash=bytes(range(96, 128)),
        scopes=frozenset({Scope.SEARCH}),
        created=NOW + HOUR,
    ),
]
EVENTS = [
    AuditEvent(NOW, "", "local", "", "user.create", "Ada", {"role": "ROLE_ADMIN"}, 1),
    AuditEvent(NOW + HOUR, "Ada", "session", "192.0.2.7", "key.create", "twk_Ab12Cd34", {"name": 'a "б" \0'}, 2),
    AuditEvent(NOW + 2 * HOUR, "", "", "2001:db8::7", "login.failed", "no\ufffdbody", {}, 3),
]
REPLY = Reply(bytes(range(16)), b"content", bytes(range(256)), NOW)
FAILURES = {"account ada": Failures(2.5, NOW), "peer 192.0.2.7": Failures(0.1 + 0.2, NOW + HOUR)}
FACTS = {"pepper check": "a value", "empty": ""}


def fill(store: Store) -> None:
    """Put all of it into an empty store."""
    with store.transaction():
        for account in ACCOUNTS:
            store.accounts.add(account, password_hash=f"$2b$12${account.username}")
        for session in SESSIONS:
            store.sessions.add(session)
        for key in KEYS:
            store.api_keys.add(key)
        for event in EVENTS:
            store.audit.add(event)
        store.replies.add(REPLY)
        for bucket, failures in FAILURES.items():
            store.failures.put(bucket, failures)
        for name, value in FACTS.items():
            store.facts.set_once(name, value)


def check(store: Store) -> None:
    """Find all of it, and that new things can be added to it."""
    by_id = {account.id: account for account in ACCOUNTS}
    assert store.accounts.page(after=None, limit=99) == ACCOUNTS
    assert [store.accounts.find(account.username.upper()) for account in ACCOUNTS] == ACCOUNTS
    assert [store.accounts.password_hash(account.id) for account in ACCOUNTS] == [
        f"$2b$12${account.username}" for account in ACCOUNTS
    ]
    for session in SESSIONS:
        assert store.sessions.find(session.token_hash) == (session, by_id[session.account_id])
    for key in KEYS:
        assert store.api_keys.find(key.token_hash) == (key, by_id[key.account_id])
        assert store.api_keys.page(key.account_id, before=None, limit=99) == [key]
    assert store.audit.page(before=None, limit=99) == EVENTS[::-1]
    assert store.replies.find(REPLY.id) == REPLY
    assert store.failures.get([*FAILURES, "other"]) == FAILURES
    assert {name: store.facts.get(name) for name in FACTS} == FACTS
    assert store.audit.add(EVENTS[0]).id > EVENTS[-1].id
    store.accounts.delete(ACCOUNTS[0].id)
    assert store.sessions.find(SESSIONS[0].token_hash) is None
