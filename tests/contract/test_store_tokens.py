"""What the store promises of sessions and keys, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from stores import HOUR, NOW, Aside, OnPostgres, OnSqlite, a_key, a_session, added, an_account, at_once

from tagwright_server.errors import ArgumentInvalid, NotFound
from tagwright_server.store.records import ApiKey, Scope
from tagwright_server.store.store import Store

MICROSECOND = timedelta(microseconds=1)


class Enough(Exception):
    """There are as many keys as there may be."""


class SessionsContract:
    def test_a_session_is_found_by_the_hash_of_its_token_with_its_account(self, store: Store) -> None:
        [ada, bob] = added(store, "Ada", "Bob")
        sessions = [a_session(account) for account in (ada, ada, bob)]
        for session in sessions:
            store.sessions.add(session)
        assert [store.sessions.find(session.token_hash) for session in sessions] == [
            (sessions[0], ada),
            (sessions[1], ada),
            (sessions[2], bob),
        ]
        for odd in (b"", bytes(32), sessions[0].token_hash[:-1], sessions[0].token_hash + b"\0"):
            assert store.sessions.find(odd) is None

    def test_a_hash_is_any_bytes(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        session = a_session(ada, token_hash=bytes(range(256)))
        store.sessions.add(session)
        assert store.sessions.find(bytes(range(256))) == (session, ada)

    def test_what_is_found_of_the_account_is_how_it_is_now(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        session = a_session(ada)
        store.sessions.add(session)
        disabled = store.accounts.update(ada.id, disabled=True, updated=NOW)
        assert store.sessions.find(session.token_hash) == (session, disabled)

    def test_nobody_who_is_gone_gets_a_session(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.sessions.add(a_session(an_account()))

    def test_a_session_is_touched_also_when_the_clock_went_back(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        session = a_session(ada)
        store.sessions.add(session)
        for at in (NOW + HOUR, NOW, NOW + 2 * HOUR):
            store.sessions.touch(session.id, at=at)
            found = store.sessions.find(session.token_hash)
            assert found is not None
            assert found[0].used == at
        store.sessions.touch("no such", at=NOW)

    def test_a_session_ends_once(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        session = a_session(ada)
        store.sessions.add(session)
        assert store.sessions.end(session.id)
        assert not store.sessions.end(session.id)
        assert store.sessions.find(session.token_hash) is None

    def test_all_sessions_of_an_account_end_but_one(self, store: Store) -> None:
        [ada, bob] = added(store, "Ada", "Bob")
        sessions = [a_session(account) for account in (ada, ada, ada, bob)]
        for session in sessions:
            store.sessions.add(session)
        assert store.sessions.end_all(ada.id, but=sessions[1].id) == 2
        assert [store.sessions.find(session.token_hash) is not None for session in sessions] == [
            False,
            True,
            False,
            True,
        ]
        assert store.sessions.end_all(ada.id) == 1
        assert store.sessions.end_all(ada.id) == 0

    def test_sessions_that_expired_are_pruned_to_the_microsecond(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        sessions = [a_session(ada, expires=NOW + i * MICROSECOND) for i in (-1, 0, 1)]
        for session in sessions:
            store.sessions.add(session)
        assert store.sessions.prune(expired_before=NOW) == 1
        assert store.sessions.find(sessions[0].token_hash) is None
        assert store.sessions.find(sessions[1].token_hash) == (sessions[1], ada)

    def test_disabling_comes_before_or_after_a_login_but_not_between(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        session = a_session(ada)

        def disable() -> int:
            with store.transaction():
                store.accounts.update(ada.id, disabled=True, updated=NOW)
                return store.sessions.end_all(ada.id)

        with store.transaction():
            store.sessions.add(session)
            rival = Aside(disable)
            assert store.accounts.need(ada.id) == ada
        assert rival.result() == 1
        assert store.sessions.find(session.token_hash) is None


class ApiKeysContract:
    def test_a_key_comes_back_as_it_was_written(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        keys = [
            a_key(ada),
            a_key(ada, scopes=frozenset(Scope), expires=NOW + HOUR, used=NOW, revoked=NOW - HOUR),
            a_key(ada, scopes=frozenset(), name="Schlüssel für 日本 🔑 %_'\""),
        ]
        for key in keys:
            store.api_keys.add(key)
        assert [store.api_keys.find(key.token_hash) for key in keys] == [(key, ada) for key in keys]
        assert [store.api_keys.get(key.id) for key in keys] == keys
        assert store.api_keys.find(b"other") is None
        assert store.api_keys.get("other") is store.api_keys.get("\0") is None

    @pytest.mark.parametrize("odd", ["\0", "a\0b", "\ud800"])
    def test_a_name_that_cannot_be_stored_is_refused_and_named(self, store: Store, odd: str) -> None:
        [ada] = added(store, "Ada")
        with pytest.raises(ArgumentInvalid) as caught:
            store.api_keys.add(a_key(ada, name=odd))
        assert caught.value.field == "name"
        assert store.api_keys.page(ada.id, before=None, limit=9) == []

    def test_nobody_who_is_gone_gets_a_key(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.api_keys.add(a_key(an_account()))

    def test_pages_go_from_the_newest_to_the_oldest_and_split_those_of_one_moment(self, store: Store) -> None:
        [ada, bob] = added(store, "Ada", "Bob")
        created = [NOW, NOW, NOW, NOW + MICROSECOND, NOW - HOUR, NOW, NOW]
        keys = [a_key(ada, created=at, revoked=NOW if i % 2 else None) for i, at in enumerate(created)]
        for key in (*keys, a_key(bob)):
            store.api_keys.add(key)
        found: list[ApiKey] = []
        while page := store.api_keys.page(ada.id, before=(found[-1].created, found[-1].id) if found else None, limit=2):
            assert len(page) <= 2
            found += page
        assert found == sorted(keys, key=lambda key: (key.created, key.id), reverse=True)

    def test_a_key_is_revoked_once_and_for_ever(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        key = a_key(ada)
        store.api_keys.add(key)
        assert store.api_keys.revoke(key.id, at=NOW).revoked == NOW
        assert store.api_keys.revoke(key.id, at=NOW + HOUR).revoked == NOW
        found = store.api_keys.find(key.token_hash)
        assert found is not None
        assert found[0].revoked == NOW
        for odd in ("no such", "\0"):
            with pytest.raises(NotFound):
                store.api_keys.revoke(odd, at=NOW)

    def test_a_key_is_touched_also_when_the_clock_went_back(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        key = a_key(ada)
        store.api_keys.add(key)
        for at in (NOW + HOUR, NOW):
            store.api_keys.touch(key.id, at=at)
            found = store.api_keys.get(key.id)
            assert found is not None
            assert found.used == at

    def test_valid_keys_are_counted(self, store: Store) -> None:
        [ada, bob] = added(store, "Ada", "Bob")
        ends = [None, NOW + MICROSECOND, NOW, NOW - HOUR]
        for key in (*[a_key(ada, expires=end) for end in ends], a_key(ada, revoked=NOW), a_key(bob)):
            store.api_keys.add(key)
        with store.transaction():
            assert store.api_keys.count_valid(ada.id, at=NOW) == 2
        with pytest.raises(RuntimeError):
            store.api_keys.count_valid(ada.id, at=NOW)
        with pytest.raises(NotFound), store.transaction():
            store.api_keys.count_valid("no such", at=NOW)

    def test_the_last_place_is_taken_once(self, store: Store) -> None:
        [ada] = added(store, "Ada")

        def make() -> None:
            with store.transaction():
                if store.api_keys.count_valid(ada.id, at=NOW) >= 3:
                    raise Enough
                store.api_keys.add(a_key(ada))

        outcomes = at_once(*[make] * 8)
        assert [type(outcome) for outcome in outcomes].count(Enough) == 5
        assert len(store.api_keys.page(ada.id, before=None, limit=9)) == 3


class TestSessionsOnSqlite(OnSqlite, SessionsContract):
    pass


class TestSessionsOnPostgres(OnPostgres, SessionsContract):
    pass


class TestApiKeysOnSqlite(OnSqlite, ApiKeysContract):
    pass


class TestApiKeysOnPostgres(OnPostgres, ApiKeysContract):
    pass
