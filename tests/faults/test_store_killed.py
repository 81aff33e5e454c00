"""The server is killed: in the middle of a migration, and while it writes."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from data import store_0001
from stores import PATIENCE_S, OnPostgres, OnSqlite, an_account

from tagwright_server.store.database import Database
from tagwright_server.store.migrate import MIGRATIONS, migrate
from tagwright_server.store.store import Store, open_store

MORE = """
import os, sys
import peewee

def up(migrator, db):
    migrator.migrate(migrator.add_column("account", "shoe_size", peewee.IntegerField(null=True)))
    class Shoe(peewee.Model):
        name = peewee.TextField()
        class Meta:
            database = db
            legacy_table_names = False
    db.create_tables([Shoe], safe=False)
    Shoe.create(name="one")
    if os.environ.get("STOP_HERE"):
        print("in the middle", flush=True)
        sys.stdin.read()
    Shoe.create(name="two")
"""
# Behind the last line of a migration that was not noted yet.
STOP = """
    import os, sys
    if os.environ.get("STOP_HERE"):
        print("in the middle", flush=True)
        sys.stdin.read()
"""
START = """
import sys
from pathlib import Path
from tagwright_server.store.database import Database
from tagwright_server.store.migrate import migrate
migrate(Database(sys.argv[1]), folder=Path(sys.argv[2]))
"""
WRITE = """
import sys
from datetime import datetime, timezone
from uuid import uuid4
from tagwright_server.store.records import Account, AuditEvent, Role
from tagwright_server.store.store import open_store
store = open_store(sys.argv[1])
now = datetime.now(timezone.utc)
for i in range(1_000_000):
    name = f"{sys.argv[2]} {i}"
    with store.transaction():
        store.accounts.add(Account(uuid4().hex, name, Role.USER, False, now, now), password_hash="")
        store.audit.add(AuditEvent(now, name, "", "", "user.create", name))
    print(name, flush=True)
"""
ROUNDS = 4
NAMES = [path.stem for path in sorted(MIGRATIONS.glob("0*.py"))]


class KilledContract:
    def test_a_migration_that_was_killed_in_the_middle_is_done_at_the_next_start(
        self, fresh_url: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "9999_shoes.py").write_text(MORE)
        for _ in range(2):
            kill_in_the_middle(fresh_url, folder)
        database = Database(fresh_url)
        assert migrate(database, folder=folder)[-1] == "9999_shoes"
        with database.starting() as queries:
            rows = queries.execute_sql("SELECT name FROM shoe ORDER BY name").fetchall()
            applied = queries.execute_sql("SELECT name FROM schema_migration ORDER BY name").fetchall()
        assert [name for [name] in rows] == ["one", "two"]
        assert [name for [name] in applied] == [*NAMES, "9999_shoes"]
        store = Store(database)
        store_0001.fill(store)
        store_0001.check(store)
        store.close()

    def test_the_newest_migration_that_was_killed_in_the_middle_is_done_at_the_next_start(
        self, fresh_url: str, tmp_path: Path
    ) -> None:
        *older, newest = sorted(MIGRATIONS.glob("0*.py"))
        folder = tmp_path / "migrations"
        folder.mkdir()
        for path in older:
            shutil.copy(path, folder)
        database = Database(fresh_url)
        migrate(database, folder=folder)
        store_0001.fill(Store(database))
        database.close()
        (folder / newest.name).write_text(newest.read_text() + STOP)
        for _ in range(2):
            kill_in_the_middle(fresh_url, folder)
        database = Database(fresh_url)
        assert migrate(database) == [newest.stem]
        store = Store(database)
        store_0001.check(store)
        assert store.images.last_number() == 0
        store.close()

    def test_what_was_acknowledged_before_a_kill_is_there_and_nothing_in_halves(self, url: str) -> None:
        chance = random.Random(3)
        acknowledged: list[str] = []
        for turn in range(ROUNDS):
            with subprocess.Popen(
                [sys.executable, "-c", WRITE, url, str(turn)], stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                for _ in range(chance.randrange(20, 200)):
                    acknowledged.append(process.stdout.readline().rstrip("\n"))
                process.kill()
                acknowledged += process.stdout.read().split("\n")[:-1]
        store = open_store(url)
        stored = {account.username for account in store.accounts.page(after=None, limit=100_000)}
        assert set(acknowledged) <= stored
        assert len(stored) <= len(acknowledged) + ROUNDS
        assert {event.target for event in store.audit.page(before=None, limit=100_000)} == stored
        store.accounts.add(an_account("Ada"), password_hash="")
        store.close()


class TestKilledOnSqlite(OnSqlite, KilledContract):
    pass


class TestKilledOnPostgres(OnPostgres, KilledContract):
    pass


def kill_in_the_middle(url: str, folder: Path) -> None:
    command = [sys.executable, "-c", START, url, str(folder)]
    environment = {"STOP_HERE": "1", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        reached = process.stdout.readline()
        process.kill()
        _, complaint = process.communicate(timeout=PATIENCE_S)
    if reached != "in the middle\n":
        pytest.fail(f"it never came to the middle: {complaint}")
