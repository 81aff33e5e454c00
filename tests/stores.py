"""Stores for tests: one of each kind of database, fresh for every test, and values to put into them.

A contract class is inherited twice: with `OnSqlite`, and with `OnPostgres`, which brings a real server.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import postgres
import pytest
from postgres import needs_postgres

from tagwright_server.store.models import TABLES
from tagwright_server.store.records import Account, ApiKey, AuditEvent, Role, Scope, Session
from tagwright_server.store.store import Store, open_store

NOW = datetime(2026, 3, 1, 12, 30, 45, 678_901, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
PATIENCE_S = 60.0  # what a test waits at most for something that takes milliseconds on an idle machine
_Result = TypeVar("_Result")


class OnSqlite:
    """Tests of this class run on an SQLite file."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite://{tmp_path}/store/tagwright.sqlite3"

    @pytest.fixture
    def fresh_url(self, url: str) -> str:
        """A database without tables."""
        return url

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        store = open_store(url)
        yield store
        store.close()


@needs_postgres
class OnPostgres:
    """Tests of this class run on a real PostgreSQL, in one database that is emptied for each."""

    @pytest.fixture
    def url(self) -> str:
        server, name = postgres.server(), _shared()
        server.sql("; ".join(f"DELETE FROM {table._meta.table_name}" for table in reversed(TABLES)), database=name)
        return server.url(name)

    @pytest.fixture
    def fresh_url(self) -> Iterator[str]:
        """A database without tables."""
        server = postgres.server()
        name = server.create()
        yield server.url(name)
        server.drop(name)

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        store = open_store(url)
        yield store
        store.close()


@functools.cache
def _shared() -> str:
    name = postgres.server().create()
    open_store(postgres.server().url(name)).close()
    return name


def database_of(url: str) -> str:
    """The name of the PostgreSQL database of a URL."""
    return url.partition("?")[0].rpartition("/")[2]


def an_account(username: str = "Ada", **changes: Any) -> Account:
    """An account that is not stored."""
    return replace(Account(uuid4().hex, username, Role.USER, False, NOW, NOW), **changes)


def a_session(account: Account, **changes: Any) -> Session:
    """A session that is not stored."""
    return replace(Session(uuid4().hex, account.id, uuid4().bytes * 2, NOW, NOW, NOW + HOUR), **changes)


def a_key(account: Account, **changes: Any) -> ApiKey:
    """A key that is not stored."""
    key = ApiKey(
        id=uuid4().hex,
        account_id=account.id,
        username=account.username,
        name="nightly import",
        prefix="twk_Ab12Cd34",
        token_hash=uuid4().bytes * 2,
        scopes=frozenset({Scope.TAGGING_READ, Scope.SEARCH}),
        created=NOW,
    )
    return replace(key, **changes)


def an_event(action: str = "user.create", **changes: Any) -> AuditEvent:
    """An event that is not stored."""
    return replace(AuditEvent(NOW, "Ada", "session", "192.0.2.7", action, "bob", {"role": "ROLE_ADMIN"}), **changes)


def added(store: Store, *usernames: str, **changes: Any) -> list[Account]:
    """Add an account of each name, with the name and "'s hash" as its hash."""
    accounts = [an_account(username, **changes) for username in usernames]
    for account in accounts:
        store.accounts.add(account, password_hash=f"{account.username}'s hash")
    return accounts


def at_once(*calls: Callable[[], _Result]) -> Sequence[_Result | Exception]:
    """Make all the calls at the same moment, each in a thread, and return what they returned or raised."""
    together = threading.Barrier(len(calls))

    def call(one: Callable[[], _Result]) -> _Result | Exception:
        together.wait(PATIENCE_S)
        try:
            return one()
        except Exception as err:
            return err

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))


class Aside:
    """Something that runs in another thread while the test looks on."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._threads = ThreadPoolExecutor(1)
        self._future = self._threads.submit(call)

    def result(self) -> Any:
        """What it returned; raises what it raised."""
        try:
            return self._future.result(PATIENCE_S)
        finally:
            self._threads.shutdown()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()
