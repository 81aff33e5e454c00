"""First answers to requests that name themselves, so that the same request gets the same answer and does nothing."""

from __future__ import annotations

from datetime import datetime

from tagwright_server.store.database import Database
from tagwright_server.store.models import ReplyRow
from tagwright_server.store.records import Reply


class Replies:
    """The answers of a database: claim(), find(), do the work, add(), all inside one transaction()."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, id: bytes) -> None:
        """Let no other transaction claim this id until this one ends; call inside transaction()."""
        self._database.lock(b"reply " + id)

    def find(self, id: bytes) -> Reply | None:
        """Return the answer to the request with that id."""
        query = ReplyRow.select(ReplyRow.id, ReplyRow.content, ReplyRow.sealed, ReplyRow.created)
        with self._database.reading():
            row = self._database.row(query.where(ReplyRow.id == id))
        return Reply(bytes(row[0]), bytes(row[1]), bytes(row[2]), row[3]) if row else None

    def add(self, reply: Reply) -> None:
        """Keep an answer. A second one with the same id was not claimed: a mistake of ours, and nothing is kept."""
        query = ReplyRow.insert(id=reply.id, content=reply.content, sealed=reply.sealed, created=reply.created)
        with self._database.transaction():
            self._database.change(query)

    def prune(self, *, before: datetime) -> int:
        """Remove the answers from before a moment and return how many."""
        with self._database.transaction():
            return self._database.change(ReplyRow.delete().where(ReplyRow.created < before))
