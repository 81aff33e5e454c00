"""Photos, what is kept of them, their tags with aliases and parents, what each account keeps, and operations."""

from __future__ import annotations

import peewee
from playhouse.migrate import SchemaMigrator
from playhouse.sqlite_ext import AutoIncrementField


def up(migrator: SchemaMigrator, db: peewee.Database) -> None:
    """Make the tables of photos. Times are microseconds since 1970 in UTC."""
    sqlite = isinstance(db, peewee.SqliteDatabase)
    by_code_point = "BINARY" if sqlite else '"C"'
    always_greater = AutoIncrementField if sqlite else peewee.BigAutoField

    class Base(peewee.Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Account(Base):  # of 0001; what refers to it needs no more than its key
        id = peewee.TextField(primary_key=True)

    class Model(Base):
        number = peewee.BigAutoField()
        name = peewee.TextField(unique=True)

    class Content(Base):
        number = always_greater()
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
            indexes = tuple(((f"band_{i}", "perceptual_hash"), False) for i in range(4))

    class Embedding(Base):
        content = peewee.ForeignKeyField(Content, on_delete="CASCADE", index=False)
        model = peewee.ForeignKeyField(Model, index=False)
        vector = peewee.BlobField()

        class Meta:
            primary_key = peewee.CompositeKey("content", "model")

    class Image(Base):
        number = always_greater()
        id = peewee.TextField(unique=True)
        account = peewee.ForeignKeyField(Account, on_delete="CASCADE", index=False)
        source_sha256 = peewee.BlobField()
        content = peewee.ForeignKeyField(Content)
        visibility = peewee.TextField()
        created = peewee.BigIntegerField(index=True)
        updated = peewee.BigIntegerField()
        captured = peewee.BigIntegerField(null=True)
        model = peewee.ForeignKeyField(Model, index=False)
        author = peewee.TextField()
        file_name = peewee.TextField()

        class Meta:
            indexes = (
                (("source_sha256", "account"), True),
                (("account", "number"), False),
                (("visibility", "number"), False),
                (("model", "number"), False),
            )

    class Tag(Base):
        number = peewee.BigAutoField()
        name = peewee.TextField(unique=True, collation=by_code_point)
        alias_of = peewee.ForeignKeyField("self", null=True, column_name="alias_of")

    class TagParent(Base):
        tag = peewee.ForeignKeyField(Tag, index=False)
        parent = peewee.ForeignKeyField(Tag)

        class Meta:
            primary_key = peewee.CompositeKey("tag", "parent")

    class ImageTag(Base):
        image = peewee.ForeignKeyField(Image, on_delete="CASCADE", index=False)
        tag = peewee.ForeignKeyField(Tag, index=False)
        state = peewee.SmallIntegerField()
        source = peewee.SmallIntegerField()
        score = peewee.DoubleField(null=True)
        model = peewee.ForeignKeyField(Model, null=True, index=False)
        position = peewee.SmallIntegerField(null=True)

        class Meta:
            primary_key = peewee.CompositeKey("image", "tag")
            indexes = ((("tag", "state", "image"), False),)
            without_rowid = sqlite  # one tree of rows in the order of photos, instead of rows and an index of them

    class Usage(Base):
        account = peewee.ForeignKeyField(Account, on_delete="CASCADE", primary_key=True)
        photos = peewee.BigIntegerField()
        size_bytes = peewee.BigIntegerField()

    class Operation(Base):
        id = peewee.TextField(primary_key=True)
        state = peewee.TextField()
        account_id = peewee.TextField()
        username = peewee.TextField()
        created = peewee.BigIntegerField()
        updated = peewee.BigIntegerField()
        ended = peewee.BigIntegerField(null=True)
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
        holder = peewee.TextField()
        lease_until = peewee.BigIntegerField(null=True)

        class Meta:
            indexes = ((("created", "id"), False), (("state", "created", "id"), False))

    tables = [Model, Content, Embedding, Image, Tag, TagParent, ImageTag, Usage, Operation]
    db.create_tables(tables, safe=False)
