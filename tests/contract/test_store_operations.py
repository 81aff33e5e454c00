"""What the store promises of operations, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from stores import HOUR, NOW, OnPostgres, OnSqlite, at_once

from tagwright_server.errors import ArgumentInvalid, Busy, NotFound
from tagwright_server.store.image_records import ImageFailure, ImageFilter, Operation, OperationState, TagChange
from tagwright_server.store.operations import FAILURES_MAX, LeaseLost
from tagwright_server.store.store import Store

LEASE = timedelta(minutes=1)
FILTER = ImageFilter(
    ids=("a", "b\0\ud800"),
    source_sha256s=(b"\0" * 32,),
    owner_id="1",
    created_from=NOW,
    created_before=NOW + HOUR,
    model_version="a@1",
    except_model_version="b@1",
    untagged=True,
    tag="sea 🦜",
    visible_to="2",
)


def an_operation(**changes: Any) -> Operation:
    """An operation that is not stored."""
    operation = Operation(
        id=uuid4().hex,
        state=OperationState.PENDING,
        account_id="1",
        username="Ada",
        created=NOW,
        updated=NOW,
        filter=ImageFilter(),
        filter_text=b"",
        model_version="a@1",
        validate_only=False,
        total=10,
        last=99,
    )
    return replace(operation, **changes)


def stored(store: Store, **changes: Any) -> Operation:
    """Store an operation."""
    operation = an_operation(**changes)
    store.operations.add(operation)
    return operation


def advanced(store: Store, id: str, holder: str, at: datetime = NOW, **more: Any) -> Operation:
    """Advance an operation by one photo."""
    given: dict[str, Any] = {"cursor": 5, "done": 1, "failed": 0, "changes": {}, "failures": (), **more}
    return store.operations.advance(id, holder, at=at, lease_until=at + LEASE, **given)


class OperationsContract:
    def test_an_operation_comes_back_as_it_was_stored(self, store: Store) -> None:
        plain = stored(store)
        full = stored(
            store,
            state=OperationState.FAILED,
            filter=FILTER,
            filter_text=bytes(range(256)),
            validate_only=True,
            cursor=1 << 40,
            done=3,
            failed=2,
            ended=NOW,
            cancelling=True,
            error_reason="BUSY",
            error_text="it did not go on: 🦜",
            changes={"sea": TagChange(1, 2, 3), "\ud800": TagChange()},
            failures=(ImageFailure("a", "INTERNAL", "\0"),),
        )
        assert store.operations.get(plain.id) == plain
        assert store.operations.get(full.id) == full
        assert store.operations.get("other") is store.operations.get("\0") is None
        none = stored(store, filter=ImageFilter(ids=(), source_sha256s=()))
        assert store.operations.get(none.id) == none
        with pytest.raises(ArgumentInvalid):
            store.operations.add(an_operation(model_version="\0"))

    def test_pages_go_from_the_latest_to_the_first(self, store: Store) -> None:
        operations = [stored(store, id=str(i), created=NOW + i // 2 * HOUR) for i in range(5)]
        first = store.operations.page(before=None, limit=3)
        rest = store.operations.page(before=(first[-1].created, first[-1].id), limit=3)
        assert [*first, *rest] == operations[::-1]

    def test_the_oldest_that_nobody_holds_is_claimed(self, store: Store) -> None:
        newer, older = stored(store, created=NOW + HOUR), stored(store)
        stored(store, state=OperationState.SUCCEEDED)
        claimed = store.operations.claim("a", at=NOW, lease_until=NOW + LEASE)
        assert claimed == replace(older, state=OperationState.RUNNING)
        second = store.operations.claim("b", at=NOW, lease_until=NOW + LEASE)
        assert second is not None
        assert second.id == newer.id
        assert store.operations.claim("c", at=NOW, lease_until=NOW + LEASE) is None
        assert store.operations.count_unfinished() == 2

    def test_a_holder_that_ended_loses_what_it_held(self, store: Store) -> None:
        operation = stored(store)
        assert store.operations.claim("a", at=NOW, lease_until=NOW + LEASE)
        advanced(store, operation.id, "a")
        assert store.operations.claim("b", at=NOW + LEASE / 2, lease_until=NOW + 2 * LEASE) is None
        again = store.operations.claim("b", at=NOW + LEASE, lease_until=NOW + 2 * LEASE)
        assert again is not None
        assert (again.cursor, again.done) == (5, 1)

        def do_something() -> None:
            with store.transaction():
                stored(store, id="undone")
                advanced(store, operation.id, "a")

        with pytest.raises(LeaseLost):
            do_something()
        assert store.operations.get("undone") is None
        assert issubclass(LeaseLost, Busy)
        with pytest.raises(LeaseLost):
            store.operations.finish(operation.id, OperationState.SUCCEEDED, at=NOW, holder="a")
        store.operations.release("a")
        assert store.operations.claim("c", at=NOW + LEASE, lease_until=NOW + 2 * LEASE) is None
        store.operations.release("b")
        assert store.operations.claim("c", at=NOW + LEASE, lease_until=NOW + 2 * LEASE) is not None

    def test_what_is_done_adds_up(self, store: Store) -> None:
        operation = stored(store)
        store.operations.claim("a", at=NOW, lease_until=NOW + LEASE)
        failures = [ImageFailure(str(i), "INTERNAL", "") for i in range(FAILURES_MAX)]
        advanced(store, operation.id, "a", changes={"sea": TagChange(1, 0, 2)}, failures=failures[:1], failed=1)
        changes = {"sea": TagChange(1, 1, 0), "sky": TagChange(0, 0, 1)}
        now = advanced(store, operation.id, "a", NOW + HOUR, cursor=9, changes=changes, failures=failures, failed=7)
        assert (now.cursor, now.done, now.failed, now.updated) == (9, 2, 8, NOW + HOUR)
        assert now.changes == {"sea": TagChange(2, 1, 2), "sky": TagChange(0, 0, 1)}
        assert now.failures == (failures[0], *failures[:-1])
        assert store.operations.get(operation.id) == now

    def test_an_operation_ends_once(self, store: Store) -> None:
        operation = stored(store)
        store.operations.claim("a", at=NOW, lease_until=NOW + LEASE)
        failed = OperationState.FAILED
        ended = store.operations.finish(operation.id, failed, at=NOW + HOUR, error_reason="BUSY", error_text="a\0")
        assert (ended.state, ended.ended, ended.error_text) == (failed, NOW + HOUR, "a\ufffd")
        assert store.operations.finish(operation.id, OperationState.SUCCEEDED, at=NOW) == ended
        assert store.operations.cancel(operation.id, at=NOW) == ended
        assert store.operations.count_unfinished() == 0
        with pytest.raises(LeaseLost):
            advanced(store, operation.id, "a")
        with pytest.raises(ValueError, match="does not end"):
            store.operations.finish(operation.id, OperationState.RUNNING, at=NOW)
        for verb in (store.operations.cancel, lambda id, at: store.operations.finish(id, failed, at=at)):
            with pytest.raises(NotFound):
                verb("other", at=NOW)

    def test_cancelling_ends_what_has_not_begun_and_tells_who_is_at_it(self, store: Store) -> None:
        running, pending = stored(store), stored(store, created=NOW + HOUR)
        store.operations.claim("a", at=NOW, lease_until=NOW + LEASE)
        assert store.operations.cancel(pending.id, at=NOW).state is OperationState.CANCELLED
        told = store.operations.cancel(running.id, at=NOW)
        assert (told.state, told.cancelling) == (OperationState.RUNNING, True)
        assert store.operations.cancel(running.id, at=NOW + HOUR) == told
        assert advanced(store, running.id, "a").cancelling
        ended = store.operations.finish(running.id, OperationState.CANCELLED, at=NOW, holder="a")
        assert ended.state is OperationState.CANCELLED

    def test_several_workers_at_once_claim_each_operation_once(self, store: Store) -> None:
        ids = {stored(store).id for _ in range(5)}

        def claim(holder: str) -> Operation | None:
            return store.operations.claim(holder, at=NOW, lease_until=NOW + LEASE)

        claimed = at_once(*[lambda i=i: claim(str(i)) for i in range(8)])
        assert not [each for each in claimed if isinstance(each, Exception)]
        got = [each.id for each in claimed if isinstance(each, Operation)]
        assert sorted(got) == sorted(ids)

    def test_places_are_counted_one_caller_at_a_time(self, store: Store) -> None:
        def add() -> bool:
            with store.transaction():
                if store.operations.count_unfinished() >= 3:
                    return False
                stored(store)
                return True

        assert sorted(at_once(*[add] * 6), key=bool) == [False] * 3 + [True] * 3


class TestOperationsOnSqlite(OnSqlite, OperationsContract):
    pass


class TestOperationsOnPostgres(OnPostgres, OperationsContract):
    pass
