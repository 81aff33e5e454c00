"""What the store promises of transactions, times and connections, on SQLite and on PostgreSQL."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import peewee
import pytest
from stores import (
    NOW,
    PATIENCE_S,
    Aside,
    OnPostgres,
    OnSqlite,
    a_key,
    a_session,
    added,
    an_account,
    an_event,
    at_once,
)

from tagwright_server.errors import Busy, NameTaken
from tagwright_server.store.models import ReplyRow
from tagwright_server.store.records import Failures
from tagwright_server.store.store import Store, open_store

A_MOMENT_S = 0.2  # long enough to overtake, where nothing holds one back


class DatabaseContract:
    @pytest.mark.parametrize(
        "moment",
        [
            datetime(1, 1, 1, tzinfo=timezone.utc),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
            datetime(1970, 1, 1, tzinfo=timezone.utc),
            datetime(2026, 10, 25, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
        ],
    )
    def test_times_are_kept_to_the_microsecond_and_come_back_in_utc(self, store: Store, moment: datetime) -> None:
        account = an_account(created=moment, updated=moment, last_login=moment)
        store.accounts.add(account, password_hash="")
        found = store.accounts.get(account.id)
        assert found == account
        assert found.created.tzinfo is timezone.utc

    def test_a_time_without_a_zone_is_a_mistake_and_nothing_is_kept(self, store: Store) -> None:
        with pytest.raises(ValueError, match="zone"):
            store.accounts.add(an_account(created=datetime(2026, 1, 1)), password_hash="")
        assert not store.accounts.any()

    def test_verbs_in_one_transaction_happen_together(self, store: Store) -> None:
        with store.transaction():
            [ada] = added(store, "Ada")
            event = store.audit.add(an_event())
            assert store.accounts.find("ada") == ada
            assert Aside(store.accounts.any).result() is False, "it was seen before it was sure"
        assert store.accounts.find("ada") == ada
        assert store.audit.page(before=None, limit=9) == [event]

    def test_an_error_undoes_everything(self, store: Store) -> None:
        with suppress(KeyError), store.transaction():
            added(store, "Ada")
            with store.transaction():
                store.audit.add(an_event())
            raise KeyError
        assert not store.accounts.any()
        assert store.audit.page(before=None, limit=9) == []
        added(store, "Ada")

    def test_an_error_inside_that_somebody_caught_still_undoes_everything_and_says_so(self, store: Store) -> None:
        def go_on_after_an_error() -> None:
            with store.transaction():
                added(store, "Bob")
                with suppress(NameTaken):
                    added(store, "ADA")
                store.audit.add(an_event())

        added(store, "Ada")
        with pytest.raises(RuntimeError, match="undone"):
            go_on_after_an_error()
        assert store.accounts.find("Bob") is None
        assert store.audit.page(before=None, limit=9) == []

    def test_a_query_that_failed_inside_undoes_everything_too(self, store: Store) -> None:
        def go_on_after_an_error() -> None:
            with store.transaction():
                added(store, "Ada")
                again = ReplyRow.insert(id=b"id", content=b"", sealed=b"", created=NOW)
                store.database.change(again)
                with suppress(peewee.IntegrityError):
                    store.database.change(again)

        with pytest.raises(RuntimeError, match="undone"):
            go_on_after_an_error()
        assert not store.accounts.any()
        assert store.replies.find(b"id") is None

    def test_reads_wait_for_no_writer(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        session = a_session(ada)
        store.sessions.add(session)
        with store.transaction():
            store.accounts.update(ada.id, disabled=True, updated=NOW)
            assert Aside(lambda: store.sessions.find(session.token_hash)).result() == (session, ada)
            assert Aside(lambda: store.accounts.page(after=None, limit=9)).result() == [ada]
            assert Aside(store.ready).result() is True

    def test_a_touch_waits_for_nobody_and_fails_nobody(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        session, key = a_session(ada), a_key(ada)
        store.sessions.add(session)
        store.api_keys.add(key)
        with store.transaction():
            store.sessions.touch(session.id, at=NOW + timedelta(1))
            store.api_keys.touch(key.id, at=NOW + timedelta(1))
            started = datetime.now(timezone.utc)
            Aside(lambda: store.sessions.touch(session.id, at=NOW + timedelta(2))).result()
            Aside(lambda: store.api_keys.touch(key.id, at=NOW + timedelta(2))).result()
            assert datetime.now(timezone.utc) - started < timedelta(seconds=1)
        found = store.sessions.find(session.token_hash)
        assert found is not None
        assert found[0].used == NOW + timedelta(1)

    def test_threads_that_write_at_once_all_succeed(self, store: Store) -> None:
        def write(thread: int) -> None:
            [account] = added(store, f"user {thread}")
            for i in range(40):
                session = a_session(account)
                with store.transaction():
                    store.accounts.record_login(account.id, at=NOW)
                    store.sessions.add(session)
                    store.audit.add(an_event(actor=account.username))
                store.sessions.touch(session.id, at=NOW + timedelta(i))
                store.failures.put(f"bucket {i % 3}", Failures(float(i), NOW))
                store.api_keys.add(a_key(account))
                store.sessions.end(session.id)

        assert at_once(*[lambda thread=thread: write(thread) for thread in range(8)]) == [None] * 8
        assert len(store.audit.page(before=None, limit=500)) == 8 * 40
        accounts = store.accounts.page(after=None, limit=9)
        assert [len(store.api_keys.page(account.id, before=None, limit=99)) for account in accounts] == [40] * 8

    def test_more_connections_than_there_may_be_are_refused_as_busy(self, url: str) -> None:
        store = open_store(url, connections_max=2)
        held, go = threading.Barrier(3), threading.Event()

        def hold() -> None:
            with store.database.reading():
                store.accounts.any()
                held.wait(PATIENCE_S)
                assert go.wait(PATIENCE_S)

        try:
            holders = [Aside(hold), Aside(hold)]
            held.wait(PATIENCE_S)
            with pytest.raises(Busy) as caught:
                store.accounts.any()
            assert caught.value.retry_after_s == 1
            assert not store.ready()
            store.sessions.touch("any", at=NOW)
            go.set()
            assert [holder.result() for holder in holders] == [None, None]
            assert store.ready()
            added(store, "Ada")
        finally:
            store.close()

    def test_nothing_is_asked_of_the_database_outside(self, store: Store) -> None:
        for mistake in (
            lambda: store.database.rows(peewee.Select()),
            lambda: store.database.change(peewee.Select()),
            lambda: store.database.insert(peewee.Select()),
        ):
            with pytest.raises(RuntimeError, match="inside"):
                mistake()

    def test_a_closed_store_says_so_and_may_be_closed_again(self, url: str) -> None:
        store = open_store(url)
        store.close()
        store.close()
        assert not store.ready()
        with pytest.raises(Busy):
            store.accounts.any()

    def test_calls_in_progress_may_finish_when_it_is_closed(self, url: str) -> None:
        store = open_store(url)
        with store.transaction():
            added(store, "Ada")
            store.close()
        store = open_store(url)
        assert store.accounts.find("Ada") is not None
        store.close()

    def test_no_hash_is_logged_however_much_is_logged(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        [ada] = added(store, "Ada")
        session = a_session(ada, token_hash=b"0123456789abcdef")
        store.sessions.add(session)
        store.sessions.find(session.token_hash)
        for secret in ("Ada's hash", "0123456789abcdef"):
            assert secret not in caplog.text


class TestDatabaseOnSqlite(OnSqlite, DatabaseContract):
    pass


class TestDatabaseOnPostgres(OnPostgres, DatabaseContract):
    pass
