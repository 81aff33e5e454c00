"""Every table of one database into another, empty one: of the same kind or not, as it was at one moment.

The keys and the counters behind them come along, so that no number is given a second time afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee

from tagwright_server.errors import StartupError
from tagwright_server.store.database import Database, Row
from tagwright_server.store.models import COPIED, ChangeRow
from tagwright_server.store.sqlite import SqliteEngine

_AT_A_TIME = 2000  # rows in memory
Table = type[peewee.Model]


class Snapshot:
    """The tables of a database as they were at one moment, however long reading them takes."""

    def __init__(self, connection: Any, *, sqlite: bool) -> None:
        self._connection = connection
        self._sqlite = sqlite

    def rows(self, table: Table) -> Iterator[list[Row]]:
        """Return a table's rows, some at a time, in the order of their keys."""
        columns, key = _columns(table), _key(table)
        mark = "?" if self._sqlite else "%s"
        after = f"WHERE ({_listed(key)}) > ({', '.join([mark] * len(key))})"
        select = f"SELECT {_listed(columns)} FROM {_quoted(_name(table))}"
        rest = f"ORDER BY {_listed(key)} LIMIT {_AT_A_TIME}"
        places = [columns.index(column) for column in key]
        rows = self._connection.execute(f"{select} {rest}").fetchall()
        while rows:
            yield rows
            last = [rows[-1][place] for place in places]
            rows = self._connection.execute(f"{select} {after} {rest}", last).fetchall()

    def counter(self, table: Table) -> int:
        """Return the greatest number that its key was given by now, 0 where it has none of its own."""
        if not isinstance(table._meta.primary_key, peewee.AutoField):
            return 0
        if self._sqlite:
            query = "SELECT seq FROM sqlite_sequence WHERE name = ?"
            row = self._connection.execute(query, [_name(table)]).fetchone()
            return row[0] if row else self._greatest(table)
        sequence = self._connection.execute(*_sequence(table)).fetchone()[0]
        last, called = self._connection.execute(f"SELECT last_value, is_called FROM {sequence}").fetchone()
        return int(last) if called else 0

    def _greatest(self, table: Table) -> int:
        [column] = _key(table)
        query = f"SELECT coalesce(max({_quoted(column)}), 0) FROM {_quoted(_name(table))}"
        return int(self._connection.execute(query).fetchone()[0])


@contextmanager
def snapshot(database: Database) -> Iterator[Snapshot]:
    """Have all tables of a database as they are now, while others go on writing."""
    engine = database._engine
    sqlite = isinstance(engine, SqliteEngine)
    connection = engine.connect()
    try:
        if sqlite:
            connection.execute("BEGIN")
        else:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            _take_time(connection)
        connection.execute("SELECT name FROM fact LIMIT 1").fetchall()  # the moment is that of the first read
        yield Snapshot(connection, sqlite=sqlite)
    finally:
        connection.close()


def fill(database: Database, source: Snapshot) -> dict[str, int]:
    """Fill an empty database, in one transaction; return how many rows each table got.

    Raises StartupError where it is not empty.
    """
    engine = database._engine
    sqlite = isinstance(engine, SqliteEngine)
    connection = engine.connect()
    counts: dict[str, int] = {}
    try:
        connection.execute("BEGIN IMMEDIATE" if sqlite else "BEGIN")
        if sqlite:
            connection.execute("PRAGMA defer_foreign_keys=ON")  # a row may refer to a later one of its own table
        else:
            _take_time(connection)
        need_empty(connection)
        for table in COPIED:
            write = _insert if sqlite else _copy
            counts[_name(table)] = write(connection, table, source)
            if counter := source.counter(table):
                _set_counter(connection, table, counter, sqlite=sqlite)
        # None of this is in the feed of changes; without its rows every index has to read everything anew.
        connection.execute(f"DELETE FROM {_quoted(_name(ChangeRow))}")
        connection.execute("COMMIT")
    finally:
        connection.close()
    return counts


def check_empty(database: Database) -> None:
    """Raise StartupError where a database holds anything."""
    connection = database._engine.connect()
    try:
        need_empty(connection)
    finally:
        connection.close()


def need_empty(connection: Any) -> None:
    """Raise StartupError where the database of a connection holds anything."""
    for table in COPIED:
        if connection.execute(f"SELECT 1 FROM {_quoted(_name(table))} LIMIT 1").fetchall():
            raise StartupError("database: it is in use already; restore into an empty one")


def _insert(connection: Any, table: Table, source: Snapshot) -> int:
    columns = _columns(table)
    sql = f"INSERT INTO {_quoted(_name(table))} ({_listed(columns)}) VALUES ({', '.join('?' * len(columns))})"
    count = 0
    for rows in source.rows(table):
        connection.executemany(sql, rows)
        count += len(rows)
    return count


def _copy(connection: Any, table: Table, source: Snapshot) -> int:
    # One statement for a table: a row that refers to a later one of its own table is checked at the end of it.
    count = 0
    sql = f"COPY {_quoted(_name(table))} ({_listed(_columns(table))}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(sql) as copy:
        for rows in source.rows(table):
            for row in rows:
                copy.write_row(row)
            count += len(rows)
    return count


def _set_counter(connection: Any, table: Table, counter: int, *, sqlite: bool) -> None:
    if not sqlite:
        query, names = _sequence(table)
        connection.execute(f"SELECT setval(({query}), %s)", [*names, counter])
        return
    query = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
    if "AUTOINCREMENT" in connection.execute(query, [_name(table)]).fetchone()[0]:
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", [_name(table)])
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [_name(table), counter])


def _take_time(connection: Any) -> None:
    # The limits of a server's calls are too short for whole tables.
    connection.patience_s = None
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(f"SET LOCAL {limit} = 0")


def _sequence(table: Table) -> tuple[str, list[str]]:
    [column] = _key(table)
    return "SELECT pg_get_serial_sequence(%s, %s)", [_quoted(_name(table)), column]


def _name(table: Table) -> str:
    return str(table._meta.table_name)


def _columns(table: Table) -> list[str]:
    return [field.column_name for field in table._meta.sorted_fields]


def _key(table: Table) -> list[str]:
    return [field.column_name for field in table._meta.get_primary_keys()]


def _quoted(name: str) -> str:
    return f'"{name}"'


def _listed(names: list[str]) -> str:
    return ", ".join(_quoted(name) for name in names)
