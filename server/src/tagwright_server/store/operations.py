"""Work on many photos in the background. A worker holds an operation for a time, and goes on where another one ended.

What an operation does to photos and how far it has got are one transaction: each photo is done once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tagwright_server.errors import Busy, NotFound
from tagwright_server.store.database import Database
from tagwright_server.store.engine import BUSY_RETRY_S
from tagwright_server.store.image_records import (
    ImageFailure,
    ImageFilter,
    Operation,
    OperationState,
    TagChange,
)
from tagwright_server.store.models import OperationRow, TimeField
from tagwright_server.store.text import made_storable, need_storable, storable

FAILURES_MAX = 100  # kept of each operation, the first ones
_CLAIMS = b"operations"
_UNFINISHED = (OperationState.PENDING.value, OperationState.RUNNING.value)
_TIME = TimeField()

_COLUMNS = (
    OperationRow.id,
    OperationRow.state,
    OperationRow.account_id,
    OperationRow.username,
    OperationRow.created,
    OperationRow.updated,
    OperationRow.image_filter,
    OperationRow.filter_text,
    OperationRow.model_version,
    OperationRow.validate_only,
    OperationRow.total,
    OperationRow.last,
    OperationRow.cursor,
    OperationRow.done,
    OperationRow.failed,
    OperationRow.ended,
    OperationRow.cancelling,
    OperationRow.error_reason,
    OperationRow.error_text,
    OperationRow.changes,
    OperationRow.failures,
)


class LeaseLost(Busy):
    """Another worker goes on with the operation, or it has ended: what was done in this transaction is undone."""

    def __init__(self) -> None:
        super().__init__("Another worker goes on with this operation.", retry_after_s=BUSY_RETRY_S)


class Operations:
    """The operations of a database. They stay when they have ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, operation: Operation) -> None:
        """Add an operation, held by nobody; raise ArgumentInvalid for a NUL in the model's name."""
        query = OperationRow.insert(
            id=operation.id,
            state=operation.state.value,
            account_id=operation.account_id,
            username=operation.username,
            created=operation.created,
            updated=operation.updated,
            ended=operation.ended,
            image_filter=_filter_json(operation.filter),
            filter_text=operation.filter_text,
            model_version=need_storable(operation.model_version, field="model"),
            validate_only=operation.validate_only,
            total=operation.total,
            last=operation.last,
            cursor=operation.cursor,
            done=operation.done,
            failed=operation.failed,
            cancelling=operation.cancelling,
            error_reason=operation.error_reason,
            error_text=made_storable(operation.error_text),
            changes=_changes_json(operation.changes),
            failures=_failures_json(operation.failures),
            holder="",
            lease_until=None,
        )
        with self._database.transaction():
            self._database.change(query)

    def get(self, id: str) -> Operation | None:
        """Return the operation with that id. Inside transaction() it is locked until the end."""
        query = OperationRow.select(*_COLUMNS).where(OperationRow.id == id)
        with self._database.reading():
            row = self._database.row(self._database.locked(query)) if storable(id) else None
        return _operation(row) if row else None

    def page(self, *, before: tuple[datetime, str] | None, limit: int) -> list[Operation]:
        """Return up to `limit` operations, the latest first, those before one's (created, id)."""
        query = OperationRow.select(*_COLUMNS).order_by(OperationRow.created.desc(), OperationRow.id.desc())
        if before is not None:
            created, id = before
            older = OperationRow.created < created
            query = query.where(older | ((OperationRow.created == created) & (OperationRow.id < id)))
        with self._database.reading():
            return [_operation(row) for row in self._database.rows(query.limit(limit))]

    def count_unfinished(self) -> int:
        """Return how many have not ended. Inside transaction() nobody else gets past here until that ends."""
        query = OperationRow.select(OperationRow.id).where(OperationRow.state.in_(_UNFINISHED))
        with self._database.reading():
            if self._database.in_transaction:
                self._database.lock(_CLAIMS)
            return len(self._database.rows(query))  # a few, as they are limited

    def claim(self, holder: str, *, at: datetime, lease_until: datetime) -> Operation | None:
        """Hold the oldest unfinished operation that nobody holds, and return it, running; None where there is none.

        A holder whose lease has run out at `at` is nobody.
        """
        free = (OperationRow.holder == "") | (OperationRow.lease_until <= at)
        query = OperationRow.select(OperationRow.id).where(OperationRow.state.in_(_UNFINISHED), free)
        query = query.order_by(OperationRow.created, OperationRow.id)
        with self._database.reading():
            if self._database.row(query) is None:
                return None  # which is nearly always so, and nobody had to wait
        running = OperationRow.update(
            state=OperationState.RUNNING.value, holder=holder, lease_until=lease_until, updated=at
        )
        with self._database.transaction():
            self._database.lock(_CLAIMS)
            row = self._database.row(self._database.locked(query))
            if row is None:
                return None
            self._database.change(running.where(OperationRow.id == row[0]))
            return self._need(row[0])

    def advance(
        self,
        id: str,
        holder: str,
        *,
        cursor: int,
        done: int,
        failed: int,
        changes: Mapping[str, TagChange],
        failures: Sequence[ImageFailure],
        at: datetime,
        lease_until: datetime,
    ) -> Operation:
        """Note how far it has got, hold it longer, and return it; raise LeaseLost.

        `cursor` is where it is; `done`, `failed`, `changes` and `failures` are what came to those of before. Of
        `failures` the first hundred are kept.
        """
        with self._database.transaction():
            operation = self._held(id, holder)
            changed = OperationRow.update(
                cursor=cursor,
                done=operation.done + done,
                failed=operation.failed + failed,
                changes=_changes_json(_sum(operation.changes, changes)),
                failures=_failures_json((*operation.failures, *failures)[:FAILURES_MAX]),
                updated=at,
                lease_until=lease_until,
            )
            self._database.change(changed.where(OperationRow.id == id))
            return self._need(id)

    def finish(
        self,
        id: str,
        state: OperationState,
        *,
        at: datetime,
        error_reason: str = "",
        error_text: str = "",
        holder: str | None = None,
    ) -> Operation:
        """End an operation and return it; one that has ended stays as it is. Raise NotFound.

        With `holder` it raises LeaseLost where that one does not hold it.
        """
        if not state.ended:
            raise ValueError("an operation does not end that way")
        with self._database.transaction():
            operation = self._need(id) if holder is None else self._held(id, holder)
            return operation if operation.state.ended else self._end(id, state, at, error_reason, error_text)

    def cancel(self, id: str, *, at: datetime) -> Operation:
        """Cancel an operation and return it: at once if nobody has begun, else its holder is told. Raise NotFound."""
        with self._database.transaction():
            operation = self._need(id)
            if operation.state is OperationState.PENDING:
                return self._end(id, OperationState.CANCELLED, at, "", "")
            if operation.state is OperationState.RUNNING and not operation.cancelling:
                self._database.change(OperationRow.update(cancelling=True, updated=at).where(OperationRow.id == id))
                return self._need(id)
            return operation

    def release(self, holder: str) -> None:
        """Hold nothing any more; others go on with it."""
        query = OperationRow.update(holder="", lease_until=None)
        with self._database.transaction():
            self._database.change(query.where(OperationRow.holder == holder, OperationRow.state.in_(_UNFINISHED)))

    def _need(self, id: str) -> Operation:
        operation = self.get(id)
        if operation is None:
            raise NotFound("There is no such operation.")
        return operation

    def _held(self, id: str, holder: str) -> Operation:
        operation = self._need(id)
        row = self._database.row(OperationRow.select(OperationRow.holder).where(OperationRow.id == id))
        if operation.state.ended or not row or row[0] != holder:
            raise LeaseLost
        return operation

    def _end(self, id: str, state: OperationState, at: datetime, reason: str, text: str) -> Operation:
        ended = OperationRow.update(
            state=state.value,
            ended=at,
            updated=at,
            error_reason=made_storable(reason),
            error_text=made_storable(text),
            holder="",
            lease_until=None,
        )
        self._database.change(ended.where(OperationRow.id == id))
        return self._need(id)


def _operation(row: Sequence[Any]) -> Operation:
    return Operation(
        id=row[0],
        state=OperationState(row[1]),
        account_id=row[2],
        username=row[3],
        created=row[4],
        updated=row[5],
        filter=_filter(row[6]),
        filter_text=bytes(row[7]),
        model_version=row[8],
        validate_only=row[9],
        total=row[10],
        last=row[11],
        cursor=row[12],
        done=row[13],
        failed=row[14],
        ended=row[15],
        cancelling=row[16],
        error_reason=row[17],
        error_text=row[18],
        changes={tag: TagChange(*counts) for tag, counts in json.loads(row[19]).items()},
        failures=tuple(ImageFailure(*failure) for failure in json.loads(row[20])),
    )


def _sum(before: Mapping[str, TagChange], more: Mapping[str, TagChange]) -> dict[str, TagChange]:
    total = dict(before)
    for tag, change in more.items():
        had = total.get(tag, TagChange())
        total[tag] = TagChange(had.added + change.added, had.removed + change.removed, had.moved + change.moved)
    return total


def _changes_json(changes: Mapping[str, TagChange]) -> str:
    return json.dumps({tag: [change.added, change.removed, change.moved] for tag, change in changes.items()})


def _failures_json(failures: Sequence[ImageFailure]) -> str:
    return json.dumps([[failure.image_id, failure.reason, failure.text] for failure in failures])


def _filter_json(filter: ImageFilter) -> str:
    sources = filter.source_sha256s
    return json.dumps(
        {
            "ids": filter.ids,
            "source_sha256s": None if sources is None else [sha256.hex() for sha256 in sources],
            "owner_id": filter.owner_id,
            "created_from": _TIME.db_value(filter.created_from),
            "created_before": _TIME.db_value(filter.created_before),
            "model_version": filter.model_version,
            "except_model_version": filter.except_model_version,
            "untagged": filter.untagged,
            "tag": filter.tag,
            "visible_to": filter.visible_to,
        }
    )


def _filter(text: str) -> ImageFilter:
    read = json.loads(text)
    ids, sources = read["ids"], read["source_sha256s"]
    return ImageFilter(
        ids=None if ids is None else tuple(ids),
        source_sha256s=None if sources is None else tuple(map(bytes.fromhex, sources)),
        owner_id=read["owner_id"],
        created_from=_TIME.python_value(read["created_from"]),
        created_before=_TIME.python_value(read["created_before"]),
        model_version=read["model_version"],
        except_model_version=read["except_model_version"],
        untagged=read["untagged"],
        tag=read["tag"],
        visible_to=read["visible_to"],
    )
