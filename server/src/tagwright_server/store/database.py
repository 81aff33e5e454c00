"""One database, whichever kind its URL names: transactions, reads, and what goes wrong with either in our own words.

What `transaction()` left without an error is on disk. What it left with one was not done at all, in none of the verbs
that were called inside it. The URL's password is in no repr, log line or error.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import peewee

from tagwright_server.errors import Busy, StartupError
from tagwright_server.store.chunks import CHUNK, chunks
from tagwright_server.store.connections import Connections
from tagwright_server.store.engine import Engine, unsure
from tagwright_server.store.sqlite import SqliteEngine, file_of

_log = logging.getLogger(__name__)

Row = tuple[Any, ...]
_Result = TypeVar("_Result")
_AS_THE_DRIVER_GIVES_IT = (peewee.IntegerField, peewee.TextField, peewee.FloatField)
_LENGTHS = (1, 5, 20, 50, 100, CHUNK)  # of lists that a SELECT is compiled for


class Database:
    """A SQLite file or a PostgreSQL database, for any number of threads; `open_store` migrates it."""

    def __init__(self, url: str, *, busy_timeout_s: float = 5.0, connections_max: int = 96) -> None:
        """Open `sqlite:///ABSOLUTE/PATH` or `postgresql://USER:PASSWORD@HOST:PORT/NAME`; raise StartupError."""
        # peewee would log every parameter at DEBUG, hashes of passwords and tokens among them.
        logging.getLogger("peewee").setLevel(logging.INFO)
        self._engine = _engine(url, busy_timeout_s)
        self._engine.start()
        self._connections = Connections(self._engine, most=connections_max)
        self._here = _Here()
        self._readable = True  # when last looked at; told in the log once, as calls tell nobody why they are refused

    def __repr__(self) -> str:
        return f"Database({self._engine!r})"

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The driver's errors; those that have words of ours never get this far."""
        return self._engine.errors

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside transaction()."""
        return self._here.writing

    @contextmanager
    def transaction(self, *, wait: bool = True) -> Iterator[None]:
        """Everything inside happens, for ever, or nothing of it does.

        Inside another transaction() of the same thread it is a part of that one; an error that leaves it undoes the
        whole, even where somebody catches it on the way. Without `wait` it raises Busy at once where others write.
        """
        here = self._here
        if here.writing:
            try:
                yield
            except BaseException:
                here.undone = True
                raise
            return
        with self.reading():
            self._begin(wait)
            here.writing, here.undone, here.gathered = True, False, {}
            try:
                yield
                if here.undone:
                    raise RuntimeError("a transaction goes on although a part of it failed; all of it was undone")
                for do, items in here.gathered.items():
                    do(items)
            except BaseException:
                self._roll_back()
                raise
            else:
                self._commit()
            finally:
                here.writing = False
                self._engine.end()

    @contextmanager
    def reading(self, *, quickly: bool = False) -> Iterator[None]:
        """Hold a connection for reads. Each query sees what is committed when it starts; none waits for writers."""
        here = self._here
        if here.connection is not None:
            yield
            return
        self._take(quickly=quickly)
        try:
            yield
        finally:
            self._give_back()

    def rows(self, query: Any) -> list[Row]:
        """Return the rows of a SELECT."""
        return self._run(lambda queries: list(query.tuples().execute(queries)))

    def row(self, query: Any) -> Row | None:
        """Return the first row of a SELECT."""
        rows = self.rows(query.limit(1))
        return rows[0] if rows else None

    def change(self, query: Any) -> int:
        """Run an INSERT, UPDATE or DELETE and return how many rows it changed; call inside transaction()."""
        self.need_transaction()
        counting = query.as_rowcount() if isinstance(query, peewee.Insert) else query
        return self._run(lambda queries: int(counting.execute(queries)))

    def insert(self, query: Any) -> int:
        """Run an INSERT and return the id that the database gave; call inside transaction()."""
        self.need_transaction()
        return self._run(lambda queries: int(query.execute(queries)))

    def change_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run an INSERT, UPDATE or DELETE for each row of values, and return how many rows were changed.

        It is written out, with ? for each value: where every photo passes, building costs more than running. Call
        inside transaction().
        """
        self.need_transaction()
        if not rows:
            return 0

        def change(queries: peewee.Database) -> int:
            cursor = queries.cursor()
            cursor.executemany(sql.replace("?", queries.param), rows)
            return int(cursor.rowcount)

        return self._run(change)

    def gather(self, do: Callable[[set[Any]], None], items: Iterable[Any]) -> None:
        """Have `do` called with all items that were gathered for it, just before this transaction commits.

        Call inside transaction(); where that is undone, `do` is not called.
        """
        self.need_transaction()
        self._here.gathered.setdefault(do, set()).update(items)

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a SELECT that is written out, with ? for each value, as the driver gives them."""

        def select(queries: peewee.Database) -> list[Row]:
            return list(queries.execute_sql(sql.replace("?", queries.param), tuple(parameters)).fetchall())

        return self._run(select)

    def prepared(self, query: Any) -> Callable[..., list[Row]]:
        """Compile a SELECT once, for where every call or photo passes: building costs more than running.

        What is returned takes its parameters, as the driver does.
        """
        sql, _ = self._engine.queries.get_sql_context().sql(query).query()
        converters = [
            (at, column.python_value)
            for at, column in enumerate(query.selected_columns)
            if not isinstance(column, _AS_THE_DRIVER_GIVES_IT)
        ]

        def run(*parameters: object) -> list[Row]:
            rows: list[Row] = self._run(lambda queries: queries.execute_sql(sql, parameters).fetchall())
            return [_converted(row, converters) for row in rows] if converters else rows

        return run

    def prepared_for_many(self, query: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], list[Row]]:
        """Do the same with a SELECT of the rows for some values, which are all that it takes: `query` makes it of them.

        It is compiled for a few lengths; a list in between has its last value several times.
        """
        compiled: dict[int, Callable[..., list[Row]]] = {}

        def run(values: Sequence[Any]) -> list[Row]:
            found: list[Row] = []
            for some in chunks(values):
                length = next(each for each in _LENGTHS if each >= len(some))
                if length not in compiled:
                    compiled[length] = self.prepared(query(some[:1] * length))
                found += compiled[length](*some, *some[-1:] * (length - len(some)))
            return found

        return run

    def lookup(self, query: Any) -> Callable[..., Row | None]:
        """Do the same with a SELECT of one row."""
        run = self.prepared(query)

        def look_up(*parameters: object) -> Row | None:
            rows = run(*parameters)
            return rows[0] if rows else None

        return look_up

    @property
    def writes_in_parallel(self) -> bool:
        """Whether transactions that write run beside each other, and so may end in another order than they began."""
        return self._engine.row_locks

    @property
    def locks_rows(self) -> bool:
        """Whether `locked` has something to do just now."""
        return self._engine.row_locks and self.in_transaction

    def locked(self, query: Any) -> Any:
        """Make a SELECT lock its rows until the transaction ends, where one is under way and writers run in parallel.

        On SQLite there is nothing to lock: a transaction is alone from its beginning.
        """
        return query.for_update() if self.locks_rows else query

    def lock(self, name: bytes) -> None:
        """Let no other transaction past this name until this one ends; call inside transaction()."""
        self.need_transaction()
        if self._engine.row_locks:
            key = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True)
            self._run(lambda queries: queries.execute_sql("SELECT pg_advisory_xact_lock(%s)", (key,)).fetchone())

    def need_transaction(self) -> None:
        """Raise unless inside transaction(): a mistake of ours."""
        if not self.in_transaction:
            raise RuntimeError("this is to be called inside transaction()")

    def ready(self) -> bool:
        """Whether it can be read just now; never raises, and takes a few seconds at the very most."""
        try:
            with self.reading(quickly=True):
                self._run(lambda _: self._engine.probe(self._here.connection))
        except Exception as err:  # whatever it is, it is not ready
            if self._readable:
                cause = err.__cause__ or err
                _log.warning("the database cannot be read: %s: %s", type(cause).__name__, str(cause).partition("\n")[0])
            self._readable = False
            return False
        if not self._readable:
            _log.info("the database can be read again")
        self._readable = True
        return True

    def close(self) -> None:
        """Close every connection; those in use when their callers are done."""
        self._connections.close()

    @contextmanager
    def starting(self) -> Iterator[peewee.Database]:
        """Give migrations the database itself, to one starting server at a time."""
        with self.reading():
            try:
                with self._engine.alone():
                    yield self._engine.queries
            except self._engine.errors as err:
                self._fail(err)

    def _run(self, do: Callable[[peewee.Database], _Result]) -> _Result:
        here = self._here
        if here.connection is None:
            raise RuntimeError("this is to be called inside reading() or transaction()")
        try:
            return do(self._engine.queries)
        except self._engine.errors as err:
            if here.writing or not self._engine.trouble(err).lost:
                self._fail(err)
        # A read on a connection that had been closed: nothing is lost by asking again, on another one.
        self._swap()
        try:
            return do(self._engine.queries)
        except self._engine.errors as err:
            self._fail(err)

    def _begin(self, wait: bool) -> None:
        try:
            self._engine.begin(self._here.connection, wait=wait)
            return
        except self._engine.errors as err:
            if not self._engine.trouble(err).lost:
                self._fail(err)
        self._swap()  # nothing has begun
        try:
            self._engine.begin(self._here.connection, wait=wait)
        except self._engine.errors as err:
            self._fail(err)

    def _commit(self) -> None:
        try:
            self._here.connection.execute("COMMIT")
        except self._engine.errors as err:
            self._roll_back()
            trouble = self._engine.trouble(err)
            if trouble.broken and isinstance(trouble.error, Busy):
                raise unsure() from err
            self._fail(err)

    def _roll_back(self) -> None:
        try:
            if not self._engine.idle(self._here.connection):
                self._here.connection.execute("ROLLBACK")
        except self._engine.errors:
            self._here.broken = True

    def _fail(self, err: Exception) -> NoReturn:
        trouble = self._engine.trouble(err)
        self._here.undone = True
        if trouble.broken:
            self._here.broken = True
            self._connections.discard_idle()
        if trouble.error is None:
            raise err
        raise trouble.error from err

    def _take(self, *, quickly: bool = False) -> None:
        here = self._here
        try:
            connection = self._connections.take(quickly=quickly)
        except self._engine.errors as err:
            self._fail(err)
        here.connection, here.broken = connection, False
        self._engine.handed.connection = connection
        self._engine.queries.connect()

    def _give_back(self) -> None:
        here = self._here
        connection, here.connection = here.connection, None
        if connection is None:  # it broke, and there is no other
            return
        self._engine.handed.connection = None
        self._engine.queries.close()
        if here.broken or not self._engine.idle(connection):
            self._connections.discard(connection)
        else:
            self._connections.give(connection)

    def _swap(self) -> None:
        here = self._here
        self._connections.discard_idle()
        here.broken = True
        self._give_back()
        self._take(quickly=True)


def _converted(row: Row, converters: Sequence[tuple[int, Callable[[Any], Any]]]) -> Row:
    values = list(row)
    for at, convert in converters:
        values[at] = convert(values[at])
    return tuple(values)


class _Here(threading.local):
    """Where a thread stands."""

    connection: Any = None
    broken = False
    writing = False
    undone = False
    gathered: dict[Callable[[set[Any]], None], set[Any]]  # set anew by each transaction


def _engine(url: str, busy_timeout_s: float) -> Engine:
    kind = url.partition(":")[0]
    if kind == "sqlite" and kind != url:
        return SqliteEngine(file_of(url), busy_timeout_s=busy_timeout_s)
    if kind in {"postgresql", "postgres"} and "://" in url:
        try:
            from tagwright_server.store.postgres import PostgresEngine
        except ImportError as err:
            raise StartupError("database: PostgreSQL needs: pip install tagwright-server[postgres]") from err
        return PostgresEngine(url, busy_timeout_s=busy_timeout_s)
    raise StartupError("database: takes sqlite:///ABSOLUTE/PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME")
