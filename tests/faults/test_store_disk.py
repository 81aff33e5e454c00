"""The disk is full: what would be written is refused, what is stored can be read, and it goes on once there is room."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import postgres
import pytest
from disks import fill, small_disk
from stores import an_account, an_event

from tagwright_server.errors import StartupError, StorageFull
from tagwright_server.store.records import Account
from tagwright_server.store.sqlite import SqliteEngine
from tagwright_server.store.store import Store, open_store

LONG = "x" * 2000
MIB = 1024 * 1024

__all__ = ["small_disk"]  # the fixture


def write_until_full(store: Store) -> list[Account]:
    """Add accounts and events until that is refused; return the accounts that were taken."""
    taken: list[Account] = []
    for i in range(100_000):
        account = an_account(f"{i} {LONG}")
        try:
            with store.transaction():
                store.accounts.add(account, password_hash="")
                store.audit.add(an_event(target=LONG))
        except StorageFull:
            return taken
        taken.append(account)
    pytest.fail("it never got full")


def see_that_it_survives(store: Store, make_room: Callable[[], None]) -> None:
    """Fill it, look whether everything acknowledged is there and nothing else, make room, go on."""
    store.accounts.add(an_account("first"), password_hash="")
    taken = write_until_full(store)
    assert taken
    assert store.accounts.find("first") is not None
    for account in taken[:3] + taken[-3:]:
        assert store.accounts.find(account.username) is not None
    store.sessions.touch("any", at=taken[0].created)
    assert store.ready()
    assert len(store.accounts.page(after=None, limit=100_000)) == len(taken) + 1
    make_room()
    store.accounts.add(an_account("Ada"), password_hash="")
    assert store.accounts.find("Ada") is not None


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [160]
    connect = SqliteEngine.connect

    def with_few_pages(self: SqliteEngine, *, quickly: bool = False) -> sqlite3.Connection:
        connection = connect(self, quickly=quickly)
        connection.execute(f"PRAGMA max_page_count={pages[0]}")
        return connection

    monkeypatch.setattr(SqliteEngine, "connect", with_few_pages)
    store = open_store(f"sqlite://{tmp_path}/store.db")

    def make_room() -> None:
        pages[0] = 10_000
        store.database._connections.discard_idle()

    see_that_it_survives(store, make_room)
    store.close()
    check = sqlite3.connect(tmp_path / "store.db")
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


def test_sqlite_on_a_full_disk(small_disk: Path) -> None:
    store = open_store(f"sqlite://{small_disk}/store.db")
    see_that_it_survives(store, fill(small_disk, but_bytes=MIB).unlink)
    store.close()
    again = open_store(f"sqlite://{small_disk}/store.db")
    assert again.accounts.find("Ada") is not None
    again.close()


def test_a_server_that_starts_on_a_full_disk_says_so(small_disk: Path) -> None:
    open_store(f"sqlite://{small_disk}/store.db").close()
    fill(small_disk)
    with pytest.raises(StartupError, match=r"full"):
        open_store(f"sqlite://{small_disk}/store.db")
    with pytest.raises(StartupError, match=r"full"):
        open_store(f"sqlite://{small_disk}/other.db")


@postgres.needs_postgres
def test_postgresql_on_a_full_disk(small_disk: Path) -> None:
    server = postgres.server()
    place = small_disk / "tables"
    place.mkdir()
    server.own(place)
    server.sql(f"CREATE TABLESPACE small LOCATION '{place}'")
    name = server.create(options="TABLESPACE small")
    try:
        store = open_store(server.url(name))
        see_that_it_survives(store, fill(small_disk, but_bytes=MIB).unlink)
        store.close()
    finally:
        server.drop(name)
        server.sql("DROP TABLESPACE small")
