"""The tables as the newest migration leaves them; for building queries only, bound to no database.

The migrations are the truth: a test compares the two. No model leaves this room.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import peewee

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)

if TYPE_CHECKING:
    _Field = peewee.Field[Any]
else:
    _Field = peewee.Field


class TimeField(_Field):
    """A moment, as microseconds since 1970 in UTC: exact, in order, and the same on every database."""

    field_type = "BIGINT"

    def db_value(self, value: datetime | None) -> int | None:
        """Return what is stored; raise ValueError where no zone is said."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone is not a moment")
        return (value - _EPOCH) // _MICROSECOND

    def python_value(self, value: int | None) -> datetime | None:
        """Return the moment in UTC."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class _Row(peewee.Model):
    class Meta:
        legacy_table_names = False


class AccountRow(_Row):
    """An account. `folded` is what makes names equal; ordered by code point."""

    id = peewee.TextField(primary_key=True)
    username = peewee.TextField()
    folded = peewee.TextField(unique=True)
    role = peewee.TextField()
    disabled = peewee.BooleanField()
    password_hash = peewee.TextField()
    created = TimeField()
    updated = TimeField()
    last_login = TimeField(null=True)

    class Meta:
        table_name = "account"


class SessionRow(_Row):
    """A session, until it ends."""

    id = peewee.TextField(primary_key=True)
    account = peewee.ForeignKeyField(AccountRow, on_delete="CASCADE")
    token_hash = peewee.BlobField(unique=True)
    created = TimeField()
    used = TimeField()
    expires = TimeField(index=True)

    class Meta:
        table_name = "session"


class ApiKeyRow(_Row):
    """A key; `scopes` are its scopes' values in order, between spaces."""

    id = peewee.TextField(primary_key=True)
    account = peewee.ForeignKeyField(AccountRow, on_delete="CASCADE", index=False)  # the index below begins with it
    name = peewee.TextField()
    prefix = peewee.TextField()
    token_hash = peewee.BlobField(unique=True)
    scopes = peewee.TextField()
    created = TimeField()
    expires = TimeField(null=True)
    used = TimeField(null=True)
    revoked = TimeField(null=True)

    class Meta:
        table_name = "api_key"
        indexes = ((("account", "created", "id"), False),)


class AuditRow(_Row):
    """An event; `details` is a JSON object, in ASCII. Ids are never used twice."""

    id = peewee.BigAutoField()
    time = TimeField(index=True)
    actor = peewee.TextField()
    actor_folded = peewee.TextField()
    credential = peewee.TextField()
    peer = peewee.TextField()
    action = peewee.TextField()
    target = peewee.TextField()
    details = peewee.TextField()

    class Meta:
        table_name = "audit_event"
        indexes = ((("actor_folded", "id"), False), (("action", "id"), False))


class ReplyRow(_Row):
    """The first answer to a request."""

    id = peewee.BlobField(primary_key=True)
    content = peewee.BlobField()
    sealed = peewee.BlobField()
    created = TimeField(index=True)

    class Meta:
        table_name = "reply"


class FailuresRow(_Row):
    """How full a bucket of failed logins was."""

    bucket = peewee.TextField(primary_key=True)
    level = peewee.DoubleField()
    at = TimeField(index=True)

    class Meta:
        table_name = "failed_login"


class FactRow(_Row):
    """Something that is set once and true for good."""

    name = peewee.TextField(primary_key=True)
    value = peewee.TextField()

    class Meta:
        table_name = "fact"


TABLES: tuple[type[peewee.Model], ...] = (AccountRow, SessionRow, ApiKeyRow, AuditRow, ReplyRow, FailuresRow, FactRow)
