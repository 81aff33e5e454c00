"""What accounts keep, counted anew: the rows of `usage` are changed with every photo, and should never differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peewee import JOIN, fn

from tagwright_server.store.database import Database
from tagwright_server.store.models import AccountRow, ContentRow, ImageRow, UsageRow


@dataclass(frozen=True, slots=True)
class WrongUsage:
    """An account of which more or less is counted than it keeps."""

    owner_id: str
    owner: str
    photos: int
    size_bytes: int


def wrong_usage(database: Database) -> list[WrongUsage]:
    """Return the accounts whose count is wrong. One statement, so that uploads beside it make no difference."""
    with database.reading():
        return [
            WrongUsage(id, name, photos, size)
            for id, name, photos, size, *right in database.rows(_compared())
            if (photos, size) != tuple(map(int, right))
        ]


def correct_usage(database: Database, owner_id: str) -> int:
    """Count an account's photos anew and keep that; return 1 where it changed something."""
    with database.transaction():
        # Whoever adds a photo changes this row too, and waits for us or has been waited for.
        database.rows(database.locked(UsageRow.select(UsageRow.photos).where(UsageRow.account == owner_id)))
        rows = database.rows(_compared().where(AccountRow.id == owner_id))
        if not rows:
            return 0
        [(_, _, _, _, photos, size_bytes)] = rows
        values = {"account": owner_id, "photos": int(photos), "size_bytes": int(size_bytes)}
        query = UsageRow.insert(**values).on_conflict(
            conflict_target=[UsageRow.account], preserve=[UsageRow.photos, UsageRow.size_bytes]
        )
        return min(1, database.change(query))


def _compared() -> Any:
    counted = (
        ImageRow.select(
            ImageRow.account.alias("account"),
            fn.COUNT(ImageRow.number).alias("photos"),
            fn.SUM(ContentRow.size_bytes).alias("size_bytes"),
        )
        .join(ContentRow)
        .group_by(ImageRow.account)
        .alias("counted")
    )
    zero = 0
    return (
        AccountRow.select(
            AccountRow.id,
            AccountRow.username,
            fn.COALESCE(UsageRow.photos, zero),
            fn.COALESCE(UsageRow.size_bytes, zero),
            fn.COALESCE(counted.c.photos, zero),
            fn.COALESCE(counted.c.size_bytes, zero),
        )
        .join(UsageRow, JOIN.LEFT_OUTER, on=(UsageRow.account == AccountRow.id))
        .join_from(AccountRow, counted, JOIN.LEFT_OUTER, on=(counted.c.account == AccountRow.id))
    )
