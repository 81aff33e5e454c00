"""What the store promises of its schema: made once, never from the future, the same as the models, old data kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import peewee
import postgres
import pytest
from data import store_0001, store_0002, store_0003
from playhouse.schema_diff import diff_models
from stores import NOW, OnPostgres, OnSqlite, at_once, database_of

from tagwright_server.errors import StartupError
from tagwright_server.store.database import Database
from tagwright_server.store.migrate import MIGRATIONS, migrate
from tagwright_server.store.models import TABLES
from tagwright_server.store.store import Store, open_store

DATA = Path(__file__).parents[1] / "data"
VERSIONS = {"0001": store_0001, "0002": store_0002, "0003": store_0003}
OURS = ["0001_accounts", "0002_photos", "0003_changes"]
MORE = """
import peewee
def up(migrator, db):
    migrator.migrate(migrator.add_column("account", "shoe_size", peewee.IntegerField(null=True)))
"""


class Turned:
    """A clock that stands still."""

    def monotonic_s(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return NOW


class MigrationsContract:
    def test_an_empty_database_gets_its_tables_once(self, fresh_url: str) -> None:
        database = Database(fresh_url)
        assert migrate(database, clock=Turned()) == [path.stem for path in sorted(MIGRATIONS.glob("0*.py"))] == OURS
        assert migrate(database, clock=Turned()) == []
        assert history(database) == [(name, NOW.replace(tzinfo=None)) for name in OURS]
        database.close()

    def test_its_history_is_in_utc_wherever_the_server_is(self, fresh_url: str) -> None:
        class Elsewhere(Turned):
            def now(self) -> datetime:
                return NOW.astimezone(timezone(timedelta(hours=-7)))

        database = Database(fresh_url)
        migrate(database, clock=Elsewhere())
        assert {applied for _, applied in history(database)} == {NOW.replace(tzinfo=None)}
        database.close()

    def test_servers_that_start_at_once_make_the_tables_once(self, fresh_url: str) -> None:
        stores: list[Any] = list(at_once(*[lambda: open_store(fresh_url)] * 6))
        assert [type(store) for store in stores] == [Store] * 6
        assert [name for name, _ in history(stores[0].database)] == OURS
        for store in stores:
            assert store.ready()
            store.close()

    def test_the_migrations_make_what_the_models_say(self, store: Store) -> None:
        with store.database.starting() as queries, queries.bind_ctx(TABLES):
            assert str(diff_models(queries, TABLES)) == ""
            migrated = description(queries)
            queries.drop_tables(TABLES)
            queries.create_tables(TABLES)
            assert migrated == description(queries)

    def test_a_later_migration_is_applied_to_a_database_in_use(self, url: str, tmp_path: Path) -> None:
        folder = with_migration(tmp_path, "0004_more", MORE)
        store = open_store(url)
        store_0003.fill(store)
        assert migrate(store.database, folder=folder) == ["0004_more"]
        store_0003.check(store)
        store.close()

    def test_a_newer_database_is_left_alone(self, url: str, tmp_path: Path) -> None:
        folder = with_migration(tmp_path, "0004_more", MORE)
        store = open_store(url)
        migrate(store.database, folder=folder)
        before = history(store.database)
        store.close()
        with pytest.raises(StartupError, match=r"was written by a newer Tagwright.*0004_more"):
            open_store(url)
        database = Database(url)
        assert history(database) == before
        database.close()

    def test_a_migration_that_fails_leaves_nothing_behind(self, url: str, tmp_path: Path) -> None:
        broken = MORE + "    db.execute_sql('SELECT no_such FROM account')\n"
        folder = with_migration(tmp_path, "0004_more", broken)
        store = open_store(url)
        with pytest.raises(peewee.DatabaseError):
            migrate(store.database, folder=folder)
        assert [name for name, _ in history(store.database)] == OURS
        store_0001.fill(store)
        assert migrate(store.database, folder=with_migration(tmp_path, "0004_more", MORE)) == ["0004_more"]
        store.close()


class TestMigrationsOnSqlite(OnSqlite, MigrationsContract):
    pass


class TestMigrationsOnPostgres(OnPostgres, MigrationsContract):
    @pytest.fixture
    def url(self, fresh_url: str) -> str:  # these tests change the schema
        return fresh_url

    def test_what_is_ordered_is_ordered_by_code_point_whatever_the_database_orders_by(self, store: Store) -> None:
        columns = "SELECT table_name, column_name FROM information_schema.columns WHERE collation_name = 'C'"
        with store.database.starting() as queries:
            ordered = set(queries.execute_sql(f"{columns} AND table_schema = 'public'").fetchall())
        assert ordered == {("account", "folded"), ("audit_event", "action"), ("tag", "name")}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_sqlite_file_of_each_version_opens_in_this_one(version: str, tmp_path: Path) -> None:
    file = shutil.copy(DATA / f"store-{version}.sqlite3", tmp_path)
    store = open_store(f"sqlite://{file}")
    VERSIONS[version].check(store)
    store.close()


@postgres.needs_postgres
@pytest.mark.parametrize("version", VERSIONS)
def test_a_postgresql_dump_of_each_version_opens_in_this_one(version: str, restored: str) -> None:
    postgres.server().sql((DATA / f"store-{version}.sql").read_text(), database=database_of(restored))
    store = open_store(restored)
    VERSIONS[version].check(store)
    store.close()


@pytest.fixture
def restored() -> Iterator[str]:
    server = postgres.server()
    name = server.create()
    yield server.url(name)
    server.drop(name)


def with_migration(folder: Path, name: str, source: str) -> Path:
    """Our migrations and one more."""
    migrations = folder / "migrations"
    shutil.rmtree(migrations, ignore_errors=True)
    shutil.copytree(MIGRATIONS, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    (migrations / f"{name}.py").write_text(source)
    return migrations


def history(database: Database) -> list[tuple[str, datetime]]:
    """The names and times of the migrations that were applied."""
    with database.starting() as queries:
        rows = queries.execute_sql("SELECT name, applied FROM schema_migration ORDER BY name").fetchall()
    return [(name, datetime.fromisoformat(str(applied))) for name, applied in rows]


def description(queries: peewee.Database) -> dict[str, Any]:
    """Columns, keys and indexes of every table, as the database tells them."""
    told: dict[str, Any] = {}
    for name in (table._meta.table_name for table in TABLES):
        columns = [(c.name, c.data_type.upper(), c.null, c.primary_key) for c in queries.get_columns(name)]
        keys = [(k.column, k.dest_table, k.dest_column, k.on_delete) for k in queries.get_foreign_keys(name)]
        # Without that of the primary key: image_tag has none in SQLite, where its rows are in that order themselves.
        primary = list(queries.get_primary_keys(name))
        indexes = sorted((tuple(i.columns), i.unique) for i in queries.get_indexes(name) if i.columns != primary)
        told[name] = (columns, keys, primary, indexes)
    return told
