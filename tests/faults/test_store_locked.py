"""Another process holds a lock in the database, for a while or for too long."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stores import NOW, PATIENCE_S, OnPostgres, OnSqlite, a_key, a_session, added, an_event

from tagwright_server.errors import Busy
from tagwright_server.store.sqlite import file_of
from tagwright_server.store.store import Store, open_store

ON_SQLITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE account SET username = username")
print("locked", flush=True)
sys.stdin.read()
connection.execute("COMMIT")
"""
ON_POSTGRES = """
import psycopg, sys
connection = psycopg.connect(sys.argv[1])
for table in ("account", "session", "api_key"):
    connection.execute(f"SELECT * FROM {table} FOR UPDATE")
print("locked", flush=True)
sys.stdin.read()
connection.commit()
"""
WAIT_S = 0.5
AT_ONCE_S = 0.3  # what takes milliseconds, on a machine that does other things too


@contextmanager
def holding(script: str, place: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock, until its input ends."""
    command = [sys.executable, "-c", script, place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
            process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0
        finally:
            process.kill()


class LockedContract:
    def test_a_lock_of_a_second_is_waited_for(self, store: Store, script: str, place: str) -> None:
        [ada] = added(store, "Ada")
        with holding(script, place) as holder:
            assert holder.stdin is not None
            release = threading.Timer(1.0, holder.stdin.close)
            started = time.monotonic()
            release.start()
            store.accounts.record_login(ada.id, at=NOW)
            assert time.monotonic() - started >= 0.9
            release.join()
            holder.stdin = None  # communicate() would close it again
        found = store.accounts.get(ada.id)
        assert found is not None
        assert found.last_login == NOW

    def test_a_lock_that_is_held_too_long_refuses_writes_as_busy_and_nothing_else(
        self, url: str, script: str, place: str
    ) -> None:
        store = open_store(url, busy_timeout_s=WAIT_S)
        [ada] = added(store, "Ada")
        session, key = a_session(ada), a_key(ada)
        store.sessions.add(session)
        store.api_keys.add(key)
        with holding(script, place):
            started = time.monotonic()
            with pytest.raises(Busy) as caught:
                store.accounts.record_login(ada.id, at=NOW)
            assert WAIT_S * 0.9 <= time.monotonic() - started < WAIT_S + 1
            assert caught.value.retry_after_s == 1
            assert not {"account", "sql", "UPDATE", str(place)} & set(str(caught.value).split())

            started = time.monotonic()
            assert store.sessions.find(session.token_hash) == (session, ada)
            assert store.accounts.page(after=None, limit=9) == [ada]
            store.sessions.touch(session.id, at=NOW.replace(year=2030))
            store.api_keys.touch(key.id, at=NOW.replace(year=2030))
            assert store.ready()
            open_store(url).close()  # a server can also be started meanwhile
            assert time.monotonic() - started < AT_ONCE_S
        store.accounts.record_login(ada.id, at=NOW)
        assert store.sessions.find(session.token_hash) == (session, store.accounts.get(ada.id))  # no touch was kept
        store.close()

    def test_all_who_wait_give_up_after_the_same_time(self, url: str, script: str, place: str) -> None:
        store = open_store(url, busy_timeout_s=WAIT_S)
        [ada] = added(store, "Ada")
        refused: list[float] = []

        def write() -> None:
            started = time.monotonic()
            with pytest.raises(Busy):
                store.accounts.record_login(ada.id, at=NOW)
            refused.append(time.monotonic() - started)

        with holding(script, place):
            threads = [threading.Thread(target=write) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE_S)
        assert len(refused) == 6
        assert max(refused) < WAIT_S + 1
        store.accounts.record_login(ada.id, at=NOW)
        store.close()


class TestLockedOnSqlite(OnSqlite, LockedContract):
    @pytest.fixture
    def script(self) -> str:
        return ON_SQLITE

    @pytest.fixture
    def place(self, url: str) -> str:
        return str(file_of(url))


class TestLockedOnPostgres(OnPostgres, LockedContract):
    @pytest.fixture
    def script(self) -> str:
        return ON_POSTGRES

    @pytest.fixture
    def place(self, url: str) -> str:
        return url

    def test_a_deadlock_costs_one_of_the_two_a_retry(self, store: Store) -> None:
        [ada, bob] = added(store, "Ada", "Bob")
        together = threading.Barrier(2)
        outcomes: list[str] = []

        def write(first: str, second: str) -> None:
            try:
                with store.transaction():
                    store.accounts.record_login(first, at=NOW)
                    together.wait(PATIENCE_S)
                    store.accounts.record_login(second, at=NOW)
                    store.audit.add(an_event())
                outcomes.append("done")
            except Busy:
                outcomes.append("busy")

        threads = [threading.Thread(target=write, args=pair) for pair in ((ada.id, bob.id), (bob.id, ada.id))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert sorted(outcomes) == ["busy", "done"]
        assert len(store.audit.page(before=None, limit=9)) == 1
