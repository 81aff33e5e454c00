"""PostgreSQL cuts connections, restarts, crashes, stands still: a call costs a moment, a thread is never lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import postgres
import pytest
from stores import NOW, PATIENCE_S, Aside, OnPostgres, a_session, added, an_account, database_of

from tagwright_server.errors import Busy
from tagwright_server.store.store import Store, open_store

WAIT_S = 0.5
NO_ANSWER_S = WAIT_S + 1.0  # what is waited beyond the server's own limits


class TestPostgresGone(OnPostgres):
    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        store = open_store(url, busy_timeout_s=WAIT_S)
        yield store
        store.close()

    def test_connections_that_were_cut_while_idle_cost_no_call(self, url: str, store: Store) -> None:
        [ada] = added(store, "Ada")
        session = a_session(ada)
        store.sessions.add(session)
        for use in (
            lambda: store.sessions.find(session.token_hash),
            lambda: store.accounts.record_login(ada.id, at=NOW),
            lambda: store.accounts.page(after=None, limit=9),
            store.ready,
        ):
            open_connections(store, 3)
            assert postgres.server().cut_connections(database_of(url)) == 3
            use()
        assert store.ready()

    def test_a_connection_that_is_cut_before_its_first_query_costs_no_call(self, url: str, store: Store) -> None:
        [ada] = added(store, "Ada")
        with store.database.reading():
            assert postgres.server().cut_connections(database_of(url)) >= 1
            assert store.accounts.get(ada.id) == ada
        with store.database.reading():
            assert postgres.server().cut_connections(database_of(url)) >= 1
            store.accounts.record_login(ada.id, at=NOW)

    def test_a_transaction_that_is_cut_did_nothing_and_says_busy(self, url: str, store: Store) -> None:
        def lose_the_connection() -> None:
            with store.transaction():
                added(store, "Ada")
                postgres.server().cut_connections(database_of(url))
                added(store, "Bob")

        with pytest.raises(Busy):
            lose_the_connection()
        assert store.accounts.page(after=None, limit=9) == []

    def test_a_connection_that_breaks_at_the_end_leaves_open_what_happened(self, url: str, store: Store) -> None:
        def lose_the_connection() -> None:
            with store.transaction():
                added(store, "Ada")
                postgres.server().cut_connections(database_of(url))

        with pytest.raises(Busy, match="same request_id is safe"):
            lose_the_connection()
        assert store.accounts.page(after=None, limit=9) == []

    def test_while_it_is_down_calls_are_busy_and_afterwards_none_fails(
        self, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        added(store, "Ada")
        open_connections(store, 3)
        server = postgres.server()
        server.stop(signal.SIGINT)
        try:
            for call in (store.accounts.any, lambda: added(store, "Bob")):
                started = time.monotonic()
                with pytest.raises(Busy) as caught:
                    call()
                assert str(server.folder) not in str(caught.value)
                assert time.monotonic() - started < 1
            assert not store.ready()
            assert not store.ready()
            store.sessions.touch("any", at=NOW)
            assert caplog.text.count("the database cannot be read") == 1
        finally:
            server.start()
        assert store.ready()
        added(store, "Bob")
        assert len(store.accounts.page(after=None, limit=9)) == 2

    def test_a_restart_between_two_calls_is_not_noticed(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        open_connections(store, 3)
        server = postgres.server()
        for number in (signal.SIGINT, signal.SIGQUIT):
            server.stop(number)
            server.start()
            assert store.accounts.password_hash(ada.id) == "Ada's hash"
            store.accounts.record_login(ada.id, at=NOW)

    def test_a_server_that_stands_still_is_not_waited_for(self, store: Store) -> None:
        [ada] = added(store, "Ada")
        open_connections(store, 3)
        server = postgres.server()
        stopped = server.pause()
        try:
            started = time.monotonic()
            calls = [Aside(lambda: store.accounts.get(ada.id)), Aside(lambda: added(store, "Bob"))]
            for call in calls:
                with pytest.raises(Busy):
                    call.result()
            assert time.monotonic() - started < NO_ANSWER_S + 1.5
            started = time.monotonic()
            assert not store.ready()
            assert time.monotonic() - started < 4
        finally:
            server.resume(stopped)
        assert store.ready()
        assert store.accounts.get(ada.id) == ada

    def test_clients_in_numbers_survive_that_their_connections_are_cut_again_and_again(
        self, url: str, store: Store
    ) -> None:
        done = threading.Event()
        acknowledged: list[str] = []
        refused: list[Busy] = []

        def write(thread: int) -> None:
            i = 0
            while not done.is_set():
                account = an_account(f"{thread} {(i := i + 1)}")
                try:
                    store.accounts.add(account, password_hash="")
                    acknowledged.append(account.username)
                except Busy as err:
                    refused.append(err)

        threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            postgres.server().cut_connections(database_of(url))
        done.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        stored = {account.username for account in store.accounts.page(after=None, limit=100_000)}
        assert len(acknowledged) > 20
        assert set(acknowledged) <= stored
        assert len(refused) <= 4 * 10, "more calls failed than connections were cut"
        assert len(stored) <= len(acknowledged) + len(refused)


def open_connections(store: Store, n: int) -> None:
    """Make the store have `n` idle connections."""
    together = threading.Barrier(n)

    def hold() -> None:
        with store.database.reading():
            together.wait(PATIENCE_S)

    for call in [Aside(hold) for _ in range(n)]:
        call.result()
