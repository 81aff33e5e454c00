"""The record of who did what. It takes whatever text comes, as an event must not fail on what it is about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tagwright_server.store.accounts import fold
from tagwright_server.store.database import Database
from tagwright_server.store.models import AuditRow
from tagwright_server.store.records import AuditEvent
from tagwright_server.store.text import made_storable, storable

_ID_MAX = (1 << 63) - 1

_COLUMNS = (
    AuditRow.time,
    AuditRow.actor,
    AuditRow.credential,
    AuditRow.peer,
    AuditRow.action,
    AuditRow.target,
    AuditRow.details,
    AuditRow.id,
)


class Audit:
    """The events of a database. Ids grow; on PostgreSQL two that are written at once may become visible out of turn."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, event: AuditEvent) -> AuditEvent:
        """Add an event and return it as stored: with its id, and U+FFFD for NUL and half surrogate pairs."""
        stored = replace(
            event,
            actor=made_storable(event.actor),
            credential=made_storable(event.credential),
            peer=made_storable(event.peer),
            action=made_storable(event.action),
            target=made_storable(event.target),
        )
        query = AuditRow.insert(
            time=stored.time,
            actor=stored.actor,
            actor_folded=fold(stored.actor),
            credential=stored.credential,
            peer=stored.peer,
            action=stored.action,
            target=stored.target,
            details=json.dumps(dict(stored.details), sort_keys=True),  # in ASCII, so that any text is kept
        )
        with self._database.transaction():
            return replace(stored, id=self._database.insert(query))

    def page(
        self,
        *,
        before: int | None,
        limit: int,
        actor: str = "",
        action: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[AuditEvent]:
        """Return up to `limit` events, the latest first, those with ids below `before`.

        `actor` is a name in any case; `action` a whole one, or how it begins if it ends in "."; `start` is the first
        moment and `end` the first one after.
        """
        if not storable(actor) or not storable(action):
            return []  # nothing like that is stored
        query = AuditRow.select(*_COLUMNS).order_by(AuditRow.id.desc()).limit(limit)
        conditions = [
            before is None or AuditRow.id < max(0, min(before, _ID_MAX)),
            not actor or AuditRow.actor_folded == fold(actor),
            not action or _is(action),
            start is None or AuditRow.time >= start,
            end is None or AuditRow.time < end,
        ]
        for condition in conditions:
            if condition is not True:
                query = query.where(condition)
        with self._database.reading():
            return [_event(row) for row in self._database.rows(query)]

    def prune(self, *, before: datetime) -> int:
        """Remove the events before a moment and return how many."""
        with self._database.transaction():
            return self._database.change(AuditRow.delete().where(AuditRow.time < before))


def _is(action: str) -> Any:
    if not action.endswith("."):
        return AuditRow.action == action
    behind = action[:-1] + "/"  # the character behind the dot: from "user." to before "user/" is all that begins so
    return (AuditRow.action >= action) & (AuditRow.action < behind)


def _event(row: Sequence[Any]) -> AuditEvent:
    return AuditEvent(row[0], row[1], row[2], row[3], row[4], row[5], json.loads(row[6]), row[7])
