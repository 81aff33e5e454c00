"""The feed of changes: which photos an index has to look at again, written by the transaction that changed them.

Who reads it keeps a mark, and gets what was committed behind it: every change once or more, never one too few, in
whatever order transactions began and ended. What it gets are numbers of photos, nothing about them: it looks at the
photos themselves, and so it does no harm to be told of one again. Changes are forgotten after a while (`prune`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta

from tagwright_server.clock import Clock
from tagwright_server.store.chunks import chunks
from tagwright_server.store.database import Database
from tagwright_server.store.models import ChangeRow, ImageRow, TimeField

KEPT_FOR = timedelta(days=7)
MOST = 500_000  # changes at once; whoever has so much to look at reads everything anew
_PHOTO, _CONTENT = 0, 1  # what a row's subject is
_CUT = 2  # a row that says: changes up to its time are forgotten
_ANEW = 3  # one that says: read everything anew
_LONGEST_TRANSACTION = timedelta(hours=1)  # very generously: PostgreSQL ends one that does nothing for a minute
_AT_ONCE = 10_000  # rows that one transaction forgets
_ZERO = "0"
_OWN_TRANSACTION = "pg_current_xact_id()::text::bigint"
_ADD = "INSERT INTO change (kind, subject, writer, time) VALUES (?, ?, {writer}, ?)"
# Everything in one statement, so that the snapshot it returns is the one that it read with. A row whose transaction is
# not visible in the mark's snapshot was committed since. Rows restored from elsewhere may seem to be from the future.
_SINCE_ON_POSTGRES = """
SELECT now.snapshot::text, change.kind, change.subject
FROM (SELECT pg_current_snapshot() AS snapshot) AS now LEFT JOIN change
ON change.writer >= pg_snapshot_xmin(?::pg_snapshot)::text::bigint
AND change.writer < pg_snapshot_xmax(now.snapshot)::text::bigint
AND NOT pg_visible_in_snapshot(change.writer::text::xid8, ?::pg_snapshot)
LIMIT ?
"""
_SINCE_ON_SQLITE = "SELECT number, kind, subject FROM change WHERE number > ? ORDER BY number LIMIT ?"
_HOME = "SELECT system_identifier::text FROM pg_control_system()"
_NEWEST = "SELECT number, time FROM change ORDER BY number DESC LIMIT 1"


class MarkTooOld(Exception):
    """The feed does not go back to that mark, or is another database's, or says so: read everything anew."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in the feed. `number` and `time` are the newest change's then, `taken_us` the clock's.

    `position` is that number on SQLite, where transactions end in the order of their changes. On PostgreSQL it is a
    snapshot: which transactions had ended. `home` tells databases apart.
    """

    home: str
    position: str
    number: int
    time: int
    taken_us: int

    def to_text(self) -> str:
        """Return it as text, to be kept."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Mark:
        """Return what `to_text` made into a text; raise ValueError."""
        try:
            values = json.loads(text)
            numbers = (int(values[name]) for name in ("number", "time", "taken_us"))
            return cls(str(values["home"]), str(values["position"]), *numbers)
        except (ValueError, TypeError, KeyError) as err:
            raise ValueError("this is no mark") from err


class Changes:
    """The feed of a database."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._parallel = database.writes_in_parallel
        self._add = _ADD.format(writer=_OWN_TRANSACTION if self._parallel else _ZERO)

    def photos(self, numbers: Iterable[int]) -> None:
        """Note that photos changed; call inside transaction(), which writes it once for each when it commits."""
        self._database.gather(self._write, ((_PHOTO, number) for number in numbers))

    def content(self, number: int) -> None:
        """Note the same of all photos with a content, also of those that are being added meanwhile."""
        self._database.gather(self._write, [(_CONTENT, number)])

    def mark(self) -> Mark:
        """Return the mark of now: all that was committed before is behind it."""
        with self._database.reading():
            if not self._database.select(_NEWEST):
                self._begin()
            position = self._position()
            [[number, time]] = self._database.select(_NEWEST)  # behind the position: nothing may be between them
            home = self._home()
        return Mark(home, position, number, time, self._now_us())

    def since(self, mark: Mark) -> tuple[list[int], Mark]:
        """Return the numbers of the photos that changed since a mark, in order, and the mark to ask with next.

        Raises MarkTooOld, also where more than MOST changes would have to be told.
        """
        taken_us = self._now_us()
        with self._database.reading():
            if taken_us - mark.taken_us > _us(_LONGEST_TRANSACTION):
                self.check(mark)
            position, rows = self._rows(mark)
            if len(rows) > MOST or any(kind == _ANEW for kind, _ in rows):
                raise MarkTooOld
            numbers = {subject for kind, subject in rows if kind == _PHOTO}
            contents = sorted({subject for kind, subject in rows if kind == _CONTENT})
            for some in chunks(contents):  # read behind the changes: who adds a photo later tells of it, too
                query = ImageRow.select(ImageRow.number).where(ImageRow.content.in_(some))
                numbers |= {row[0] for row in self._database.rows(query)}
            number, time = mark.number, mark.time
            if rows:
                [[number, time]] = self._database.select(_NEWEST)
        return sorted(numbers), Mark(mark.home, position, number, time, taken_us)

    def check(self, mark: Mark) -> None:
        """Raise MarkTooOld unless `since` can tell everything behind a mark, which may be of some other database."""
        known = ChangeRow.select(ChangeRow.number).where(ChangeRow.number == mark.number)
        cuts = ChangeRow.select(ChangeRow.number).where(ChangeRow.kind == _CUT)
        began = mark.taken_us - _us(_LONGEST_TRANSACTION)  # what was committed behind the mark was written after that
        with self._database.reading():
            if mark.home != self._home() or not self._database.row(known.where(ChangeRow.time == mark.time)):
                raise MarkTooOld
            if self._database.row(cuts.where(ChangeRow.time > began)):
                raise MarkTooOld

    def start_anew(self) -> None:
        """Have everybody who has a mark by now read everything anew."""
        with self._database.transaction():
            self._write_rows([(_ANEW, 0)], self._now_us())

    def prune(self) -> int:
        """Forget the changes of more than KEPT_FOR ago, and return how many.

        The newest of those stays: marks that were taken between it and the next one name it.
        """
        told = ChangeRow.select(ChangeRow.number).where(ChangeRow.kind != _CUT)
        recent = told.where(ChangeRow.time >= self._now_us() - _us(KEPT_FOR)).order_by(ChangeRow.number)
        with self._database.reading():
            first = self._database.row(recent)
            old = told if first is None else told.where(ChangeRow.number < first[0])
            last = self._database.row(old.order_by(ChangeRow.number.desc()))
        total = 0
        while last:
            forgotten = self._forget(last[0])
            total += forgotten
            if forgotten < _AT_ONCE:
                break
        return total

    def _forget(self, before: int) -> int:
        columns = ChangeRow.select(ChangeRow.number, ChangeRow.time).where(ChangeRow.number < before)
        with self._database.transaction():
            rows = self._database.rows(columns.order_by(ChangeRow.number).limit(_AT_ONCE))
            if rows:
                self._database.change(ChangeRow.delete().where(ChangeRow.number <= rows[-1][0]))
                self._write_rows([(_CUT, 0)], max(time for _, time in rows))
        return len(rows)

    def _write(self, subjects: set[tuple[int, int]]) -> None:
        self._write_rows(sorted(subjects), self._now_us())

    def _write_rows(self, subjects: Iterable[tuple[int, int]], time_us: int) -> None:
        self._database.change_many(self._add, [(kind, subject, time_us) for kind, subject in subjects])

    def _begin(self) -> None:
        """Write the first row of a feed: every mark names one, and it tells this feed from all others."""
        with self._database.transaction():
            if not self._database.select(_NEWEST):
                self._write_rows([(_CUT, 0)], self._now_us() - 2 * _us(_LONGEST_TRANSACTION))

    def _rows(self, mark: Mark) -> tuple[str, list[tuple[int, int]]]:
        if not self._parallel:
            rows = self._database.select(_SINCE_ON_SQLITE, [int(mark.position), MOST + 1])
            return str(rows[-1][0]) if rows else mark.position, [(kind, subject) for _, kind, subject in rows]
        rows = self._database.select(_SINCE_ON_POSTGRES, [mark.position, mark.position, MOST + 1])
        return rows[0][0], [(kind, subject) for _, kind, subject in rows if kind is not None]

    def _position(self) -> str:
        if self._parallel:
            return str(self._database.select("SELECT pg_current_snapshot()::text")[0][0])
        return str(self._database.select(_NEWEST)[0][0])

    def _home(self) -> str:
        return str(self._database.select(_HOME)[0][0]) if self._parallel else "sqlite"

    def _now_us(self) -> int:
        stored = TimeField().db_value(self._clock.now())
        assert stored is not None
        return stored


def _us(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
