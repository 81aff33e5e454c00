"""A power cut under SQLite: files of which the writes since their last sync are lost, all of them or some.

`PowerCut` is a VFS that does everything and keeps, for each of the moments it was told, what a disk could hold then.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import apsw

_names = count()


@dataclass
class _Disk:
    """What is known of one file: as it was at its last sync, and what was done to it since."""

    synced: bytes = b""
    since: list[Callable[[bytearray], None]] = field(default_factory=list)

    def now(self, chance: random.Random | None) -> bytes:
        """The file with some of what was done since; without `chance` with all of it."""
        content = bytearray(self.synced)
        for change in self.since:
            if chance is None or chance.random() < 0.5:
                change(content)
        return bytes(content)


@dataclass(frozen=True)
class Cut:
    """What the disk may hold after a cut, and how many transactions had been acknowledged by then."""

    files: dict[str, bytes]
    acknowledged: int

    def put_into(self, folder: Path) -> None:
        """Make the files that are left."""
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


class PowerCut(apsw.VFS):
    """Counts what is done to the disk, and keeps what would be left if the power were cut just before."""

    def __init__(self, moments: Collection[int], acknowledged: Sequence[object], *, seed: int) -> None:
        self.name = f"power-cut-{next(_names)}"
        super().__init__(self.name, "")
        self.cuts: list[Cut] = []
        self.done = 0
        self.disks: dict[str, _Disk] = {}
        self._moments = moments
        self._acknowledged = acknowledged
        self._chance = random.Random(seed)

    def connect(self, file: Path) -> Connection:
        """Open a file; what it holds now is on disk."""
        self.disks.setdefault(str(file), _Disk(file.read_bytes()))
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        return Connection(apsw.Connection(str(file), flags=flags, vfs=self.name))

    def step(self) -> None:
        """Called before anything is done to the disk."""
        if self.done in self._moments:
            chance = self._chance
            all_lost = len(self.cuts) % 2 == 0  # else some of what was not synced has come to the disk, in any order
            left = {Path(name).name: disk.synced if all_lost else disk.now(chance) for name, disk in self.disks.items()}
            self.cuts.append(Cut(left, len(self._acknowledged)))
        self.done += 1

    def xOpen(self, name: Any, flags: Any) -> _File:
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.step()
        super().xDelete(filename, syncdir)
        self.disks.pop(filename, None)


class _File(apsw.VFSFile):
    def __init__(self, vfs: PowerCut, filename: Any, flags: Any) -> None:
        super().__init__("", filename, flags)
        self._vfs = vfs
        self._disk = vfs.disks.setdefault(str(filename if isinstance(filename, str) else filename.filename()), _Disk())

    def xWrite(self, data: bytes, offset: int) -> None:
        self._vfs.step()
        super().xWrite(data, offset)
        written = bytes(data)

        def write(content: bytearray) -> None:
            content.extend(bytes(max(0, offset + len(written) - len(content))))
            content[offset : offset + len(written)] = written

        self._disk.since.append(write)

    def xTruncate(self, newsize: int) -> None:
        self._vfs.step()
        super().xTruncate(newsize)

        def truncate(content: bytearray) -> None:
            del content[newsize:]

        self._disk.since.append(truncate)

    def xSync(self, flags: int) -> None:
        self._vfs.step()
        super().xSync(flags)
        self._disk.synced = self._disk.now(None)
        self._disk.since.clear()


class Connection:
    """As much of `sqlite3.Connection` as the store uses, over apsw's."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._connection.set_busy_timeout(5000)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def cursor(self) -> Cursor:
        return Cursor(self._connection)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        return self.cursor().execute(sql, parameters)

    def close(self) -> None:
        self._connection.close()


class Cursor:
    """As much of `sqlite3.Cursor` as peewee uses."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self.description: tuple[Any, ...] | None = None
        self.lastrowid = 0
        self.rowcount = -1

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Cursor:
        cursor = self._connection.cursor()
        cursor.exec_trace = self._describe
        self._rows = list(cursor.execute(sql, tuple(parameters)))
        self.lastrowid = self._connection.last_insert_rowid()
        self.rowcount = self._connection.changes()
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Cursor:
        before = self._connection.total_changes()
        self._connection.cursor().executemany(sql, [tuple(row) for row in rows])
        self.rowcount = self._connection.total_changes() - before
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows, []
        return rows

    def close(self) -> None:
        self._rows = []

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> tuple[Any, ...]:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def _describe(self, cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
        self.description = tuple((name, None, None, None, None, None, None) for name, *_ in cursor.get_description())
        return True
