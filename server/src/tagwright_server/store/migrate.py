"""Brings a database to the newest schema at every start; one that a newer Tagwright wrote is left alone.

Each file of migrations/ is one step: its models are frozen copies, it runs in one transaction together with the note
that it ran, and it is never changed once it was released. Killed in the middle, the next start goes on.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import peewee
from playhouse.migrations import Runner

from tagwright_server.clock import Clock, SystemClock
from tagwright_server.errors import ComeBack, StartupError
from tagwright_server.store.database import Database

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database, *, folder: Path = MIGRATIONS, clock: Clock | None = None) -> list[str]:
    """Apply what is missing and return its names; raise StartupError where that cannot be. One server at a time."""
    try:
        with database.starting() as queries:
            runner = _Runner(queries, folder, clock or SystemClock())
            newer = sorted(set(runner.applied()) - {migration.name for migration in runner.migrations()})
            if newer:
                raise StartupError(f"database: it was written by a newer Tagwright, which knows {', '.join(newer)}")
            pending = any(migration.applied is None for migration in runner.status())
            applied: list[str] = runner.up() if pending else []  # it would wait for writers even with nothing to do
            return applied
    except ComeBack as err:
        raise StartupError(f"database: it cannot be brought up to date: {err}") from err


class _Runner(Runner):  # type: ignore[misc]  # playhouse has no types
    """playhouse's own, with times in UTC: its own are the local ones."""

    def __init__(self, database: peewee.Database, folder: Path, clock: Clock) -> None:
        super().__init__(database, str(folder))

        def now() -> datetime:
            return clock.now().astimezone(timezone.utc).replace(tzinfo=None)

        class History(database.Model):  # type: ignore[name-defined, misc]  # made by peewee at run time
            name = peewee.CharField(unique=True)
            applied = peewee.DateTimeField(default=now)

            class Meta:
                legacy_table_names = False
                table_name = "schema_migration"

        self.History = History
