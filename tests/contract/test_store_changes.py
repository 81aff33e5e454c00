"""What the feed of changes promises: every change that an index sees is told, whichever transaction ends first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from image_rows import CONFIRMED, MODEL, REJECTED, SHARED, a_content, a_tag, an_image, kept
from stores import HOUR, NOW, PATIENCE_S, Aside, OnPostgres, OnSqlite, added

from tagwright_server.store import changes
from tagwright_server.store.changes import KEPT_FOR, Mark, MarkTooOld
from tagwright_server.store.models import ChangeRow
from tagwright_server.store.records import Account
from tagwright_server.store.store import Store, open_store


class Turned:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.time = NOW

    def monotonic_s(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return self.time


def rows_of(store: Store) -> int:
    """How many rows the feed has."""
    with store.database.reading():
        return len(store.database.rows(ChangeRow.select(ChangeRow.number)))


class ChangesContract:
    @pytest.fixture
    def ada(self, store: Store) -> Account:
        [ada] = added(store, "Ada")
        return ada

    def test_every_change_that_an_index_sees_is_told(self, store: Store, ada: Account) -> None:
        first, second = (kept(store, ada, a_tag("sea"), a_tag(name)) for name in ("dog", "cat"))
        bob, carl = added(store, "Bob", "Carl")
        bobs = kept(store, bob, content=first.content)
        mine, his = first.number, bobs.number
        mark = store.changes.mark()

        def told(change: Callable[[], object]) -> list[int]:
            nonlocal mark
            change()
            numbers, mark = store.changes.since(mark)
            assert store.changes.since(mark)[0] == []
            return numbers

        assert told(lambda: store.images.update(first.id, visibility=SHARED, updated=NOW)) == [mine]
        assert told(lambda: store.images.update(first.id, author="Eve", updated=NOW)) == [mine]
        assert told(lambda: store.tags.write(mine, [a_tag("sun", CONFIRMED)], [])) == [mine]
        assert told(lambda: store.tags.write(mine, [a_tag("sun", REJECTED)], [])) == [mine]
        assert told(lambda: store.tags.write(mine, [], ["sun"])) == [mine]
        assert told(lambda: store.images.put_embedding(first.content.sha256, MODEL, b"12")) == [mine, his]
        assert told(lambda: store.tags.rename("sea", "ocean")) == [mine, second.number]
        assert told(lambda: store.tags.merge(["dog", "cat"], "ocean")) == [mine, second.number]
        [third] = told(lambda: kept(store, ada))
        assert third > his
        assert told(lambda: store.images.delete(first.id)) == [mine]
        assert told(lambda: store.images.delete_of(ada.id, limit=1)) in ([second.number], [third])
        carls = kept(store, carl).number
        assert told(lambda: store.accounts.delete(bob.id)) == [his, carls]
        assert told(lambda: store.accounts.delete(carl.id)) == [carls]

    def test_what_no_index_sees_is_not_told(self, store: Store, ada: Account) -> None:
        image = kept(store, ada, a_tag("sea"))
        mark = store.changes.mark()
        store.images.update(image.id, model_version="other@1", updated=NOW)
        store.tags.write(image.number, [], [])
        store.tags.set_rules("sea", ["ocean"], ["water"])
        store.accounts.update(ada.id, disabled=True, updated=NOW)
        assert store.changes.since(mark)[0] == []

    def test_a_transaction_tells_of_a_photo_once(self, store: Store, ada: Account) -> None:
        image = kept(store, ada)
        before = rows_of(store)
        with store.transaction():
            for name in ("sea", "sun", "dog"):
                store.tags.write(image.number, [a_tag(name)], [])
            store.images.update(image.id, author="Eve", updated=NOW)
        assert rows_of(store) == before + 1

    def test_what_was_undone_is_not_told(self, store: Store, ada: Account) -> None:
        image = kept(store, ada)
        mark = store.changes.mark()
        with suppress(ZeroDivisionError), store.transaction():
            store.tags.write(image.number, [a_tag("sea")], [])
            raise ZeroDivisionError
        store.accounts.update(ada.id, disabled=True, updated=NOW)  # the next one of that thread
        assert store.changes.since(mark)[0] == []

    def test_a_mark_can_be_kept_as_text_and_used_by_another_process(self, store: Store, ada: Account, url: str) -> None:
        mark = Mark.from_text(store.changes.mark().to_text())
        number = kept(store, ada).number
        other = open_store(url)
        other.changes.check(mark)
        assert other.changes.since(mark)[0] == [number]
        other.close()

    @pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"home": "sqlite", "number": "x"}'])
    def test_a_text_that_is_no_mark_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="no mark"):
            Mark.from_text(text)

    def test_changes_are_forgotten_after_a_week_and_older_marks_are_refused(self, url: str) -> None:
        clock = Turned()
        store = open_store(url, clock=clock)
        [ada] = added(store, "Ada")
        old = store.changes.mark()
        first = kept(store, ada)
        clock.time += KEPT_FOR / 2
        middle = store.changes.mark()
        second = kept(store, ada)
        store.changes.check(old)
        assert store.changes.prune() == 0
        clock.time += KEPT_FOR / 2 + HOUR
        assert store.changes.prune() > 0
        with pytest.raises(MarkTooOld):
            store.changes.check(old)
        with pytest.raises(MarkTooOld):
            store.changes.since(old)
        assert store.changes.since(middle)[0] == [second.number]
        assert first.number < second.number
        store.close()

    def test_who_is_up_to_date_stays_so_however_long_nothing_happens(self, url: str) -> None:
        clock = Turned()
        store = open_store(url, clock=clock)
        [ada] = added(store, "Ada")
        for _ in range(3):
            kept(store, ada)
            clock.time += 2 * HOUR
        mark = store.changes.mark()
        for _ in range(3):
            clock.time += KEPT_FOR + HOUR
            store.changes.prune()
        store.changes.check(mark)
        assert store.changes.since(mark)[0] == []
        fourth = kept(store, ada)
        assert store.changes.since(mark)[0] == [fourth.number]
        store.close()

    def test_many_changes_are_forgotten_in_several_transactions(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(changes, "_AT_ONCE", 4)
        clock = Turned()
        store = open_store(url, clock=clock)
        [ada] = added(store, "Ada")
        for _ in range(11):
            kept(store, ada)
        before = rows_of(store)
        clock.time += KEPT_FOR + HOUR
        mark = store.changes.mark()
        assert store.changes.prune() >= 10
        assert rows_of(store) < before
        assert store.changes.since(mark)[0] == []
        assert store.changes.prune() == 0
        store.close()

    def test_a_mark_of_another_database_is_refused(self, store: Store, ada: Account, tmp_path: Path) -> None:
        kept(store, ada)
        mark = store.changes.mark()
        other = open_store(f"sqlite://{tmp_path}/other.sqlite3")
        [bob] = added(other, "Bob")
        kept(other, bob)
        kept(other, bob)
        with pytest.raises(MarkTooOld):
            other.changes.check(mark)
        with pytest.raises(MarkTooOld):
            store.changes.check(other.changes.mark())
        other.close()

    def test_who_has_too_much_to_look_at_reads_everything_anew(
        self, store: Store, ada: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mark = store.changes.mark()
        for _ in range(4):
            kept(store, ada)
        monkeypatch.setattr(changes, "MOST", 3)
        with pytest.raises(MarkTooOld):
            store.changes.since(mark)

    def test_everybody_can_be_told_to_read_everything_anew(self, store: Store, ada: Account) -> None:
        before = store.changes.mark()
        store.changes.start_anew()
        after = store.changes.mark()
        image = kept(store, ada)
        with pytest.raises(MarkTooOld):
            store.changes.since(before)
        assert store.changes.since(after)[0] == [image.number]

    def test_a_mark_is_good_while_the_clock_stands_or_goes_back(self, url: str) -> None:
        clock = Turned()
        store = open_store(url, clock=clock)
        [ada] = added(store, "Ada")
        mark = store.changes.mark()
        clock.time -= timedelta(days=30)
        image = kept(store, ada)
        store.changes.check(mark)
        assert store.changes.since(mark)[0] == [image.number]
        store.close()


class TestChangesOnSqlite(OnSqlite, ChangesContract):
    pass


class TestChangesOnPostgres(OnPostgres, ChangesContract):
    def test_nothing_is_missed_where_transactions_end_in_another_order_than_they_began(
        self, store: Store, ada: Account
    ) -> None:
        [bob] = added(store, "Bob")
        slow, quick = kept(store, ada), kept(store, bob)
        mark = store.changes.mark()
        written, go_on = threading.Event(), threading.Event()

        def wait(_: set[int]) -> None:
            written.set()
            go_on.wait(PATIENCE_S)

        def slowly() -> None:
            with store.transaction():
                store.tags.write(slow.number, [a_tag("sea")], [])
                store.database.gather(wait, [0])  # behind the feed's rows: all is written, and not committed yet

        aside = Aside(slowly)
        assert written.wait(PATIENCE_S)
        store.tags.write(quick.number, [a_tag("dog")], [])
        numbers, after_quick = store.changes.since(mark)
        assert numbers == [quick.number]  # at once: who is quick does not wait for who is slow
        again, unchanged = store.changes.since(after_quick)
        assert again == []
        while_slow = store.changes.mark()
        go_on.set()
        aside.result()
        for earlier in (after_quick, unchanged, while_slow):
            store.changes.check(earlier)
            assert store.changes.since(earlier)[0] == [slow.number]
        assert store.changes.since(mark)[0] == [slow.number, quick.number]

    def test_a_photo_that_is_being_added_while_its_bytes_are_looked_at_anew_is_told_either_way(
        self, store: Store, ada: Account
    ) -> None:
        [bob] = added(store, "Bob")
        content = a_content()
        kept(store, ada, content=content)
        mark = store.changes.mark()
        written, go_on = threading.Event(), threading.Event()

        def add() -> int:
            with store.transaction():
                image = store.images.add(an_image(bob, content=content))
                written.set()
                go_on.wait(PATIENCE_S)
            assert image is not None
            return image.number

        aside = Aside(add)
        assert written.wait(PATIENCE_S)
        store.images.put_embedding(content.sha256, MODEL, b"12")
        go_on.set()
        number = aside.result()
        told, after = store.changes.since(mark)
        assert number in told
        assert store.changes.since(after)[0] == []

    def test_rows_of_a_dump_of_another_server_are_not_told_again_and_again(self, store: Store, ada: Account) -> None:
        image = kept(store, ada)
        mark = store.changes.mark()
        with store.transaction():
            store.database.change(
                ChangeRow.insert(kind=0, subject=image.number, writer=(1 << 62), time=0)
            )  # by a transaction that is far in the future here
        assert store.changes.since(mark)[0] == []
        new = kept(store, ada)
        assert store.changes.since(mark)[0] == [new.number]

    def test_a_mark_of_another_server_is_refused(self, store: Store, ada: Account) -> None:
        kept(store, ada)
        mark = store.changes.mark()
        store.changes.check(mark)
        with pytest.raises(MarkTooOld):
            store.changes.check(Mark("another", mark.position, mark.number, mark.time, mark.taken_us))
