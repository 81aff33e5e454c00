"""The feed of changes, which indexes over photos follow."""

from __future__ import annotations

import peewee
from playhouse.migrate import SchemaMigrator
from playhouse.sqlite_ext import AutoIncrementField


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    """Make the table of the feed. Times are microseconds since 1970 in UTC."""
    always_greater = AutoIncrementField if isinstance(db, peewee.SqliteDatabase) else peewee.BigAutoField

    class Change(peewee.Model):
        number = always_greater()
        kind = peewee.SmallIntegerField()
        subject = peewee.BigIntegerField()
        writer = peewee.BigIntegerField(index=True)
        time = peewee.BigIntegerField()

        class Meta:
            database = db
            legacy_table_names = False

    db.create_tables([Change], safe=False)
