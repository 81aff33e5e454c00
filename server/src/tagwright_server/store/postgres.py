"""One PostgreSQL database. A server that went away costs a caller a moment, never a thread.

Transactions are READ COMMITTED: each statement sees what was committed before it. Where a verb must not be overtaken
between reading and writing, it locks rows or a name, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from tagwright_server.errors import StartupError
from tagwright_server.store.engine import Handed, Trouble, busy, full, original

# Beyond the server's own time limits: a server that is stopped, or cut off, keeps none of them.
_PATIENCE_BEYOND_S = 1.0
_PROBE_S = 1.0
_CONNECT_S_MIN = 2  # psycopg takes no less
_NO_WAIT_MS = 20  # the least that is sure to be longer than taking a lock that is free
_START_WAIT_S = 60
_START_LOCK = 0x7461677772696768  # "tagwrigh"
_ABANDONED_S = 60  # a transaction of a process that was stopped gives up its locks after this

_BUSY_STATES = {
    "55P03",  # lock timeout
    "57014",  # statement timeout
    "40P01",  # deadlock
    "40001",  # serialization
    "57P03",  # starting up or shutting down
}
_LOST_STATES = {"57P01", "57P02", "57P05"}  # shut down, crashed, idle for too long
_BUSY_CLASSES = {"53"}  # too many connections, out of memory; but for a full disk
_LOST_CLASSES = {"08"}

_SETTINGS = """
SELECT set_config('statement_timeout', %(wait)s, false), set_config('lock_timeout', %(wait)s, false),
       set_config('TimeZone', 'UTC', false), set_config('default_transaction_isolation', 'read committed', false),
       set_config('idle_in_transaction_session_timeout', %(abandoned)s, false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
                  ELSE current_setting('synchronous_commit') END, false)
"""


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for `patience_s` at most; one that did not answer is closed."""

    patience_s: float | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does, but not for ever."""
        try:
            return super().wait(gen, interval, self.patience_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as err:
            self.close()
            raise NoAnswer("the server did not answer in time") from err


class PostgresEngine:
    """A PostgreSQL server, by its URL. The password of the URL is in no text that leaves this class."""

    errors: tuple[type[Exception], ...] = (peewee.PeeweeException, psycopg.Error)
    row_locks = True

    def __init__(self, url: str, *, busy_timeout_s: float) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:  # without the cause: its text has parts of the URL
            raise StartupError("database: not a PostgreSQL URL: postgresql://USER:PASSWORD@HOST:PORT/NAME") from None
        connect_timeout = max(_CONNECT_S_MIN, round(busy_timeout_s))
        ours = {"application_name": "tagwright-server", "connect_timeout": connect_timeout}
        probing = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
        cut_off = {"tcp_user_timeout": round((busy_timeout_s + _PATIENCE_BEYOND_S) * 1000)}
        self._parameters: dict[str, Any] = {**ours, **probing, **cut_off, **given, "client_encoding": "UTF8"}
        self._busy_timeout_s = busy_timeout_s
        self.handed = Handed()
        self.queries: peewee.Database = _Queries(self.handed, "postgresql", prefer_psycopg3=True, autoconnect=False)

    def __repr__(self) -> str:
        place = {name: self._parameters[name] for name in ("host", "port", "dbname") if name in self._parameters}
        return f"PostgresEngine({place})"

    def start(self) -> None:
        """See that the server answers and keeps text as UTF-8."""
        try:
            connection = self.connect()
        except psycopg.Error as err:
            raise StartupError(f"database: PostgreSQL does not let us in: {self._safe(err)}") from None
        try:
            encoding = connection.info.parameter_status("server_encoding")
        finally:
            connection.close()
        if encoding != "UTF8":
            raise StartupError(f"database: its encoding is {encoding}; Tagwright needs one with encoding UTF8")

    def connect(self, *, quickly: bool = False) -> Connection:
        """Open a connection within the connect time-out, or two seconds."""
        parameters = self._parameters | ({"connect_timeout": _CONNECT_S_MIN} if quickly else {})
        connection = Connection.connect(**parameters, autocommit=True)
        try:
            connection.patience_s = _PROBE_S if quickly else self._busy_timeout_s + _PATIENCE_BEYOND_S
            wait = f"{round(self._busy_timeout_s * 1000)}ms"
            connection.execute(_SETTINGS, {"wait": wait, "abandoned": f"{_ABANDONED_S}s"})
            connection.patience_s = self._busy_timeout_s + _PATIENCE_BEYOND_S
        except BaseException:
            connection.close()
            raise
        return connection

    def idle(self, connection: Connection) -> bool:
        """Whether it is in no transaction and can be used again."""
        return connection.info.transaction_status == TransactionStatus.IDLE

    def begin(self, connection: Connection, *, wait: bool) -> None:
        """Begin; a lock that is taken is not waited for without `wait`."""
        connection.execute("BEGIN")
        if not wait:
            connection.execute(f"SET LOCAL lock_timeout = '{_NO_WAIT_MS}ms'")

    def end(self) -> None:
        """Transactions that write run beside each other here."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold an advisory lock in one transaction around everything: killed in the middle, nothing has happened."""
        connection = self.handed.connection
        patience_s, connection.patience_s = connection.patience_s, None
        try:
            with self.queries.atomic():
                self.queries.execute_sql("SET LOCAL statement_timeout = 0")
                self.queries.execute_sql(f"SET LOCAL lock_timeout = '{_START_WAIT_S}s'")
                self.queries.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_START_LOCK,))
                yield
        finally:
            connection.patience_s = patience_s

    def trouble(self, err: Exception) -> Trouble:
        """Go by SQLSTATE; an OperationalError without one is libpq's own: the connection is gone or was refused."""
        cause = original(err)
        if isinstance(cause, NoAnswer):
            return Trouble(busy())
        state = getattr(cause, "sqlstate", None)
        if state is None:
            lost = isinstance(cause, psycopg.OperationalError)
            return Trouble(busy() if lost else None, lost=lost)
        if state == "53100":
            return Trouble(full(), broken=False)
        if state in _BUSY_STATES or state[:2] in _BUSY_CLASSES:
            return Trouble(busy(), broken=False)
        if state in _LOST_STATES or state[:2] in _LOST_CLASSES:
            return Trouble(busy(), lost=True)
        return Trouble(None, broken=False)

    def probe(self, connection: Connection) -> None:
        """Read a row."""
        patience_s, connection.patience_s = connection.patience_s, _PROBE_S
        try:
            connection.execute("SELECT name FROM fact LIMIT 1").fetchall()
        finally:
            connection.patience_s = patience_s

    def _safe(self, err: Exception) -> str:
        # libpq names the host, the user and the database, and never the password; a line of it is enough.
        text = " ".join(str(err).split("\n")[0].split())
        password = self._parameters.get("password")
        return text.replace(password, "***") if password else text


class _Queries(peewee.PostgresqlDatabase):
    def __init__(self, handed: Handed, *args: Any, **options: Any) -> None:
        self._handed = handed
        super().__init__(*args, **options)

    def _connect(self) -> Any:
        return self._handed.connection

    def _close(self, conn: Any) -> None:
        """Connections belong to connections.py."""
