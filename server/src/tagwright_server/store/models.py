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


class ModelRow(_Row):
    """The name of a model, `name@version`, so that rows that name one are small."""

    number = peewee.BigAutoField()
    name = peewee.TextField(unique=True)

    class Meta:
        table_name = "model"


class ContentRow(_Row):
    """The bytes of photos. `perceptual_hash` is signed here; the bands are its quarters, the lowest first."""

    number = peewee.BigAutoField()
    sha256 = peewee.BlobField(unique=True)
    size_bytes = peewee.BigIntegerField()
    format = peewee.TextField()
    width = peewee.IntegerField()
    height = peewee.IntegerField()
    perceptual_hash = peewee.BigIntegerField(index=True)
    band_0 = peewee.IntegerField()
    band_1 = peewee.IntegerField()
    band_2 = peewee.IntegerField()
    band_3 = peewee.IntegerField()

    class Meta:
        table_name = "content"
        indexes = tuple(((f"band_{i}", "perceptual_hash"), False) for i in range(4))


class EmbeddingRow(_Row):
    """What a model made of a content: float16, little-endian."""

    content = peewee.ForeignKeyField(ContentRow, on_delete="CASCADE", index=False)
    model = peewee.ForeignKeyField(ModelRow, index=False)
    vector = peewee.BlobField()

    class Meta:
        table_name = "embedding"
        primary_key = peewee.CompositeKey("content", "model")


class ImageRow(_Row):
    """A photo. Numbers are never used twice."""

    number = peewee.BigAutoField()
    id = peewee.TextField(unique=True)
    account = peewee.ForeignKeyField(AccountRow, on_delete="CASCADE", index=False)
    source_sha256 = peewee.BlobField()
    content = peewee.ForeignKeyField(ContentRow)
    visibility = peewee.TextField()
    created = TimeField(index=True)
    updated = TimeField()
    captured = TimeField(null=True)
    model = peewee.ForeignKeyField(ModelRow, index=False)
    author = peewee.TextField()
    file_name = peewee.TextField()

    class Meta:
        table_name = "image"
        indexes = (
            (("source_sha256", "account"), True),
            (("account", "number"), False),
            (("visibility", "number"), False),
            (("model", "number"), False),
        )


class TagRow(_Row):
    """A name of a tag, ordered by code point. An alias has neither photos nor parents nor aliases of its own."""

    number = peewee.BigAutoField()
    name = peewee.TextField(unique=True)
    alias_of = peewee.ForeignKeyField("self", null=True, column_name="alias_of")

    class Meta:
        table_name = "tag"


class TagParentRow(_Row):
    """A tag that holds wherever another one does."""

    tag = peewee.ForeignKeyField(TagRow, index=False)
    parent = peewee.ForeignKeyField(TagRow)

    class Meta:
        table_name = "tag_parent"
        primary_key = peewee.CompositeKey("tag", "parent")


class ImageTagRow(_Row):
    """A tag of a photo; `state` and `source` by the numbers of tags.py. There are very many of these rows."""

    image = peewee.ForeignKeyField(ImageRow, on_delete="CASCADE", index=False)
    tag = peewee.ForeignKeyField(TagRow, index=False)
    state = peewee.SmallIntegerField()
    source = peewee.SmallIntegerField()
    score = peewee.DoubleField(null=True)
    model = peewee.ForeignKeyField(ModelRow, null=True, index=False)
    position = peewee.SmallIntegerField(null=True)

    class Meta:
        table_name = "image_tag"
        primary_key = peewee.CompositeKey("image", "tag")
        indexes = ((("tag", "state", "image"), False),)


class UsageRow(_Row):
    """What an account keeps; changed together with its photos."""

    account = peewee.ForeignKeyField(AccountRow, on_delete="CASCADE", primary_key=True)
    photos = peewee.BigIntegerField()
    size_bytes = peewee.BigIntegerField()

    class Meta:
        table_name = "usage"


class OperationRow(_Row):
    """An operation; it outlives its account. `image_filter`, `changes` and `failures` are JSON, in ASCII."""

    id = peewee.TextField(primary_key=True)
    state = peewee.TextField()
    account_id = peewee.TextField()
    username = peewee.TextField()
    created = TimeField()
    updated = TimeField()
    ended = TimeField(null=True)
    image_filter = peewee.TextField()
    filter_text = peewee.BlobField()
    model_version = peewee.TextField()
    validate_only = peewee.BooleanField()
    total = peewee.BigIntegerField()
    last = peewee.BigIntegerField()
    cursor = peewee.BigIntegerField()
    done = peewee.BigIntegerField()
    failed = peewee.BigIntegerField()
    cancelling = peewee.BooleanField()
    error_reason = peewee.TextField()
    error_text = peewee.TextField()
    changes = peewee.TextField()
    failures = peewee.TextField()
    holder = peewee.TextField()  # who works on it; "" is nobody
    lease_until = TimeField(null=True)

    class Meta:
        table_name = "operation"
        indexes = ((("created", "id"), False), (("state", "created", "id"), False))


class ChangeRow(_Row):
    """A change that indexes have to see; `kind` and `subject` by changes.py. Numbers are never used twice.

    `writer` is the id of the transaction where several write at once (PostgreSQL), else 0. This feed belongs to one
    database: it is in no backup.
    """

    number = peewee.BigAutoField()
    kind = peewee.SmallIntegerField()
    subject = peewee.BigIntegerField()
    writer = peewee.BigIntegerField(index=True)
    time = peewee.BigIntegerField()  # microseconds since 1970 in UTC

    class Meta:
        table_name = "change"


_ACCOUNTS = (AccountRow, SessionRow, ApiKeyRow, AuditRow, ReplyRow, FailuresRow, FactRow)
_PHOTOS = (ModelRow, ContentRow, EmbeddingRow, ImageRow, TagRow, TagParentRow, ImageTagRow, UsageRow, OperationRow)
COPIED: tuple[type[peewee.Model], ...] = _ACCOUNTS + _PHOTOS  # each behind those that it refers to
TABLES: tuple[type[peewee.Model], ...] = (*COPIED, ChangeRow)
