"""Locks on rows that are weaker than Database.locked."""

from __future__ import annotations

from typing import Any

from tagwright_server.store.database import Database


def kept(database: Database, query: Any) -> Any:
    """Make a SELECT keep its rows from being deleted or locked by `Database.locked`, though not from others like it.

    Inside transaction(), until it ends, and where writers run in parallel; elsewhere there is nothing to do.
    """
    locked = database.locked(query)
    return query if locked is query else query.for_update("FOR KEY SHARE")
