"""Which URLs open a store, what the files are like that are made, and what is refused with one clear line."""

from __future__ import annotations

import builtins
import os
import sqlite3
import stat
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import postgres
import pytest
from stores import OnPostgres, OnSqlite, added

from tagwright_server.errors import StartupError
from tagwright_server.store import sqlite
from tagwright_server.store.database import Database
from tagwright_server.store.sqlite import file_of
from tagwright_server.store.store import Store, open_store

SECRET = "pa55word"
_NOBODY = 65534


@contextmanager
def refused(*words: str, without: str = "\n") -> Iterator[None]:
    """What is inside cannot start, and says so with these words, on one line."""
    with pytest.raises(StartupError) as caught:
        yield
    said = str(caught.value)
    assert said.startswith("database: ")
    assert "\n" not in said
    told = "".join(traceback.format_exception(caught.value))
    assert without == "\n" or without not in told
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///var/lib/tagwright.sqlite3", "/var/lib/tagwright.sqlite3"),
        ("sqlite:////var/lib/tagwright.sqlite3", "/var/lib/tagwright.sqlite3"),
        ("sqlite:/var/lib/tagwright.sqlite3", "/var/lib/tagwright.sqlite3"),
        ("sqlite:///a%20b%3Fc%23d%25/%C3%A9.db", "/a b?c#d%/é.db"),
        ("sqlite:///a b/é.db", "/a b/é.db"),
        ("sqlite:///a/../b.db", "/b.db"),
        ("sqlite:some.db", str(Path.cwd() / "some.db")),
    ],
)
def test_an_sqlite_url_names_a_file(url: str, file: str) -> None:
    assert file_of(url) == Path(file)


@pytest.mark.parametrize(
    "url",
    [
        *("", "tagwright.db", "/var/lib/tagwright.db", "mysql://host/name", "sqlite", "sqlite:", "sqlite://"),
        *("sqlite://host/a.db", "sqlite:///", "sqlite::memory:", "sqlite:///a.db?mode=ro", "sqlite:///a%00.db"),
        *("postgresql:", "postgresql:name", "http://postgresql://"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with refused():
        Database(url)


class TestSqliteFiles:
    def test_the_files_are_for_us_alone_and_so_is_a_folder_that_is_made(self, tmp_path: Path) -> None:
        was = os.umask(0)
        try:
            store = open_store(f"sqlite://{tmp_path}/new/folder/é%20%3F.db")
            added(store, "Ada")
            folder = tmp_path / "new" / "folder"
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
            store.close()
        finally:
            os.umask(was)
        assert modes == {"é ?.db" + suffix: 0o600 for suffix in ("", "-wal", "-shm", ".lock")}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_a_file_that_others_could_read_is_closed_to_them(self, tmp_path: Path) -> None:
        file = tmp_path / "store.db"
        open_store(f"sqlite://{file}").close()
        file.chmod(0o644)
        open_store(f"sqlite://{file}").close()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_it_runs_with_the_settings_that_lose_nothing(self, tmp_path: Path) -> None:
        store = open_store(f"sqlite://{tmp_path}/store.db")
        with store.database.starting() as queries:
            told = {
                name: queries.execute_sql(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            }
            assert told == {"journal_mode": "wal", "synchronous": 2}  # 2: FULL
            assert queries.execute_sql("PRAGMA foreign_keys").fetchone()[0] == 1
            assert queries.execute_sql("PRAGMA busy_timeout").fetchone()[0] == 5000
            assert queries.execute_sql("PRAGMA journal_size_limit").fetchone()[0] == sqlite.JOURNAL_BYTES_MAX
        store.close()

    @pytest.mark.parametrize("content", [b"not a database, but long enough to look" * 100, b"x"])
    def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "notes.txt"
        file.write_bytes(content)
        with refused(str(file), "not a database"):
            open_store(f"sqlite://{file}")
        assert file.read_bytes() == content

    def test_the_database_of_another_program_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        file = tmp_path / "bookmarks.db"
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE bookmark (url TEXT)")
        connection.close()
        file.chmod(0o644)
        before = file.read_bytes()
        with refused(str(file), "some other program"):
            open_store(f"sqlite://{file}")
        assert file.read_bytes() == before
        assert stat.S_IMODE(file.stat().st_mode) == 0o644

    def test_what_is_no_file_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        before = os.stat("/dev/null").st_mode
        for place in (str(tmp_path), "/dev/null", "/dev/null/store.db"):
            with refused(place):
                open_store(f"sqlite://{place}")
        assert os.stat("/dev/null").st_mode == before

    def test_a_folder_that_cannot_be_written_is_refused(self, closed_folder: Path) -> None:
        folder = closed_folder
        folder.chmod(0o500)
        for place in (folder / "store.db", folder / "deeper" / "store.db"):
            with refused(str(place)):
                open_store(f"sqlite://{place}")
        folder.chmod(0o700)
        open_store(f"sqlite://{folder}/store.db").close()
        folder.chmod(0o500)
        with refused(str(folder), "its folder cannot be written"):
            open_store(f"sqlite://{folder}/store.db")
        folder.chmod(0o700)
        (folder / "store.db").chmod(0o400)
        with refused(str(folder / "store.db"), "cannot be written"):
            open_store(f"sqlite://{folder}/store.db")

    def test_a_database_that_was_replaced_or_removed_is_not_ready(self, tmp_path: Path) -> None:
        file = tmp_path / "store.db"
        store = open_store(f"sqlite://{file}")
        assert store.ready()
        file.rename(tmp_path / "aside.db")
        assert not store.ready()
        file.write_bytes((tmp_path / "aside.db").read_bytes())
        assert not store.ready()
        (tmp_path / "aside.db").rename(file)
        assert store.ready()
        store.close()

    @pytest.fixture
    def closed_folder(self) -> Iterator[Path]:
        """A folder that this process cannot write while it is closed; root could, so it is somebody else meanwhile."""
        root = os.geteuid() == 0
        with tempfile.TemporaryDirectory() as name:
            if root:
                os.chown(name, _NOBODY, -1)
                os.seteuid(_NOBODY)
            try:
                yield Path(name)
            finally:
                os.chmod(name, 0o700)
                if root:
                    os.seteuid(0)


class TestPostgresServers:
    @pytest.fixture(autouse=True)
    def driver(self) -> None:
        pytest.importorskip("psycopg")

    @pytest.mark.parametrize("rest", ["@[::1/name", "@host/name?no_such=1", "@host/%zz"])
    def test_a_broken_url_is_refused_without_a_word_of_its_password(self, rest: str) -> None:
        with refused("not a PostgreSQL URL", without=SECRET):
            Database(f"postgresql://user:{SECRET}{rest}")

    def test_a_server_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with refused("PostgreSQL does not let us in", str(tmp_path)):
            Database(f"postgresql://user:secret@/name?host={tmp_path}")

    def test_without_its_driver_the_way_to_install_it_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = builtins.__import__

        def without_psycopg(name: str, *args: Any, **options: Any) -> Any:
            if name.partition(".")[0] == "psycopg":
                raise ImportError(name)
            return real(name, *args, **options)

        monkeypatch.delitem(sys.modules, "tagwright_server.store.postgres", raising=False)
        monkeypatch.setattr(builtins, "__import__", without_psycopg)
        with refused("tagwright-server[postgres]"):
            Database("postgresql://host/name")


class TestPostgresDatabases(OnPostgres):
    def test_it_runs_with_the_settings_that_lose_nothing_and_wait_for_nothing_long(self, url: str) -> None:
        server = postgres.server()
        name = url.partition("?")[0].rpartition("/")[2]
        server.sql(f"ALTER DATABASE {name} SET synchronous_commit = 'off'")
        server.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        database = Database(url, busy_timeout_s=3)
        expected = {
            "synchronous_commit": "on",
            "transaction_isolation": "read committed",
            "statement_timeout": "3s",
            "lock_timeout": "3s",
            "TimeZone": "UTC",
            "client_encoding": "UTF8",
            "application_name": "tagwright-server",
        }
        try:
            with database.reading(), database.transaction():
                connection = database._here.connection
                told = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in expected}
        finally:
            database.close()
            server.sql(f"ALTER DATABASE {name} RESET ALL")
        assert told == expected

    def test_a_wrong_password_is_refused_and_not_told(self, url: str) -> None:
        with refused("password authentication failed", without=SECRET):
            Database(url.replace("postgres@", f"locked:{SECRET}@"))

    def test_a_password_is_in_no_repr(self, url: str) -> None:
        database = Database(url.replace("postgres@", "locked:a%20secret@"))
        assert database.ready() is False  # it may read nothing
        assert "a secret" not in f"{database!r} {database._engine!r} {database._engine.queries!r}"
        assert "a%20secret" not in f"{database!r}"
        database.close()

    def test_a_database_that_is_not_there_or_no_unicode_is_refused(self, url: str) -> None:
        with refused("no_such_database"):
            Database(postgres.server().url("no_such_database"))
        name = postgres.server().create(options="ENCODING 'LATIN1' LOCALE 'C'")
        with refused("LATIN1", "UTF8"):
            Database(postgres.server().url(name))
        postgres.server().drop(name)


class OpeningContract:
    def test_what_was_written_is_there_when_it_is_opened_again(self, url: str, store: Store) -> None:
        [ada] = added(store, "Ada")
        store.close()
        again = open_store(url)
        assert again.accounts.page(after=None, limit=9) == [ada]
        again.close()

    def test_two_stores_see_each_others_changes(self, url: str, store: Store) -> None:
        other = open_store(url)
        [ada] = added(store, "Ada")
        assert other.accounts.get(ada.id) == ada
        other.accounts.delete(ada.id)
        assert store.accounts.get(ada.id) is None
        other.close()


class TestOpeningOnSqlite(OnSqlite, OpeningContract):
    pass


class TestOpeningOnPostgres(OnPostgres, OpeningContract):
    pass
