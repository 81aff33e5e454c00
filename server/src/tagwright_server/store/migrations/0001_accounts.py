"""Accounts, sessions, keys, the audit log, first answers, failed logins, facts."""

from __future__ import annotations

import peewee
from playhouse.migrate import SchemaMigrator
from playhouse.sqlite_ext import AutoIncrementField


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    """Make the first tables. Times are microseconds since 1970 in UTC."""
    sqlite = isinstance(db, peewee.SqliteDatabase)
    # By code point on both; a PostgreSQL database may otherwise order by some language, which changes with its library.
    by_code_point = "BINARY" if sqlite else '"C"'
    # SQLite gives the greatest id again once its row was deleted, unless it is told not to.
    always_greater = AutoIncrementField if sqlite else peewee.BigAutoField

    class Base(peewee.Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Account(Base):
        id = peewee.TextField(primary_key=True)
        username = peewee.TextField()
        folded = peewee.TextField(unique=True, collation=by_code_point)
        role = peewee.TextField()
        disabled = peewee.BooleanField()
        password_hash = peewee.TextField()
        created = peewee.BigIntegerField()
        updated = peewee.BigIntegerField()
        last_login = peewee.BigIntegerField(null=True)

    class Session(Base):
        id = peewee.TextField(primary_key=True)
        account = peewee.ForeignKeyField(Account, on_delete="CASCADE")
        token_hash = peewee.BlobField(unique=True)
        created = peewee.BigIntegerField()
        used = peewee.BigIntegerField()
        expires = peewee.BigIntegerField(index=True)

    class ApiKey(Base):
        id = peewee.TextField(primary_key=True)
        account = peewee.ForeignKeyField(Account, on_delete="CASCADE", index=False)
        name = peewee.TextField()
        prefix = peewee.TextField()
        token_hash = peewee.BlobField(unique=True)
        scopes = peewee.TextField()
        created = peewee.BigIntegerField()
        expires = peewee.BigIntegerField(null=True)
        used = peewee.BigIntegerField(null=True)
        revoked = peewee.BigIntegerField(null=True)

        class Meta:
            indexes = ((("account", "created", "id"), False),)

    class AuditEvent(Base):
        id = always_greater()
        time = peewee.BigIntegerField(index=True)
        actor = peewee.TextField()
        actor_folded = peewee.TextField()
        credential = peewee.TextField()
        peer = peewee.TextField()
        action = peewee.TextField(collation=by_code_point)
        target = peewee.TextField()
        details = peewee.TextField()

        class Meta:
            indexes = ((("actor_folded", "id"), False), (("action", "id"), False))

    class Reply(Base):
        id = peewee.BlobField(primary_key=True)
        content = peewee.BlobField()
        sealed = peewee.BlobField()
        created = peewee.BigIntegerField(index=True)

    class FailedLogin(Base):
        bucket = peewee.TextField(primary_key=True)
        level = peewee.DoubleField()
        at = peewee.BigIntegerField(index=True)

    class Fact(Base):
        name = peewee.TextField(primary_key=True)
        value = peewee.TextField()

    db.create_tables([Account, Session, ApiKey, AuditEvent, Reply, FailedLogin, Fact], safe=False)
