"""One SQLite file: nothing acknowledged is lost to a kill or a power cut, and no other user can read it."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import peewee

from tagwright_server.errors import StartupError
from tagwright_server.store.engine import Handed, Trouble, busy, full, original

# In WAL, NORMAL loses acknowledged writes when the power is cut; FULL loses none, and a kill cannot tell them apart.
SYNCHRONOUS = "FULL"
JOURNAL_BYTES_MAX = 32 * 1024 * 1024  # a journal that grew beyond this is cut back at the next checkpoint
START_WAIT_S = 60.0  # for another server that is migrating
_ROOM_BYTES_MIN = 1024 * 1024  # with less free, an I/O error is a full disk: extending -shm says "disk I/O error"
_PROBE_WAIT_MS = 200
_HEADER_BYTES = 100  # of every database (sqlite.org/fileformat2.html, section 1.3)


def file_of(url: str) -> Path:
    """Return the file of `sqlite:///ABSOLUTE/PATH` or `sqlite:PATH`, percent-decoded; raise StartupError."""
    rest = url.removeprefix("sqlite:")
    if rest.startswith("//"):
        host, slash, rest = rest.removeprefix("//").partition("/")
        if host or not slash:
            raise StartupError("database: an SQLite file has no host: write sqlite:///ABSOLUTE/PATH")
        rest = "/" + rest.lstrip("/")
    if "?" in rest or "#" in rest:
        raise StartupError("database: an SQLite URL takes no options; write ? as %3F and # as %23")
    path = os.fsdecode(unquote_to_bytes(rest))
    if not path or "\0" in path or path.startswith(":"):
        raise StartupError("database: an SQLite URL needs the path of a file: sqlite:///ABSOLUTE/PATH")
    return Path(os.path.abspath(path))


class SqliteEngine:
    """SQLite in WAL. One transaction writes at a time; reads wait for nobody."""

    errors: tuple[type[Exception], ...] = (peewee.PeeweeException, sqlite3.Error)
    row_locks = False

    def __init__(self, file: Path, *, busy_timeout_s: float) -> None:
        self.handed = Handed()
        self.queries: peewee.Database = _Queries(self.handed, str(file), lock_type="IMMEDIATE", autoconnect=False)
        self._file = file
        self._busy_timeout_s = busy_timeout_s
        # SQLite polls for its lock, up to 100 ms late; threads of this process wait here and are woken at once.
        self._writing = threading.Lock()
        self._inode = (0, 0)

    def __repr__(self) -> str:
        return f"SqliteEngine({str(self._file)!r})"

    def start(self) -> None:
        """Make the file and its folder if missing, for us alone, and see that it is a database that can be written."""
        try:
            self._make_file()
        except OSError as err:
            raise StartupError(f"database: {self._file} cannot be written: {err.strerror}") from err
        with _locked(self._lock_file):
            self._check()
            self._close_to_others()
        status = self._file.stat()
        self._inode = (status.st_dev, status.st_ino)

    def connect(self, *, quickly: bool = False) -> sqlite3.Connection:
        """Open a connection; never makes a file, nor waits for anybody."""
        connection = sqlite3.connect(
            self._file.as_uri() + "?mode=rw",
            uri=True,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,  # one thread at a time has it
        )
        try:
            connection.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES_MAX}")
        except BaseException:
            connection.close()
            raise
        return connection

    def idle(self, connection: sqlite3.Connection) -> bool:
        """Whether it is in no transaction."""
        return not connection.in_transaction

    def begin(self, connection: sqlite3.Connection, *, wait: bool) -> None:
        """Take the write lock at once, as a transaction that began with a read could not have it later."""
        until = time.monotonic() + self._busy_timeout_s
        if not (self._writing.acquire(timeout=self._busy_timeout_s) if wait else self._writing.acquire(blocking=False)):
            raise busy()
        try:
            left_s = max(0.0, until - time.monotonic()) if wait else 0.0
            _wait_at_most(connection, left_s)
            try:
                connection.execute("BEGIN IMMEDIATE")
            finally:
                _wait_at_most(connection, self._busy_timeout_s)
        except BaseException:
            self._writing.release()
            raise

    def end(self) -> None:
        """Let the next thread write."""
        self._writing.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a lock file: the kernel releases it if we are killed, and it leaves every migration its transaction."""
        with _locked(self._lock_file):
            yield

    def trouble(self, err: Exception) -> Trouble:
        """Go by SQLite's own texts: its codes are on the errors from Python 3.11 on only."""
        cause = original(err)
        text = str(cause)
        if isinstance(err, peewee.IntegrityError) or isinstance(cause, sqlite3.IntegrityError):
            return Trouble(None, broken=False)
        if "is locked" in text or text == "locking protocol":
            return Trouble(busy(), broken=False)
        if "is full" in text:
            return Trouble(full(), broken=False)
        if text in {"disk I/O error", "unable to open database file"} and self._no_room():
            return Trouble(full())
        return Trouble(None)

    def probe(self, connection: sqlite3.Connection) -> None:
        """Read a row of the file that is at our path; a file that was replaced or removed would lose what we write."""
        status = self._file.stat()
        if (status.st_dev, status.st_ino) != self._inode:
            raise FileNotFoundError("the database was replaced")
        connection.execute(f"PRAGMA busy_timeout={_PROBE_WAIT_MS}")
        try:
            connection.execute("SELECT name FROM fact LIMIT 1").fetchall()
        finally:
            _wait_at_most(connection, self._busy_timeout_s)

    @property
    def _lock_file(self) -> Path:
        return self._file.with_name(self._file.name + ".lock")

    def _make_file(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._file.exists() and not self._file.is_file():
            raise OSError(0, "it is not a file")
        by_effective_user = os.access in os.supports_effective_ids
        if not os.access(self._file.parent, os.W_OK | os.X_OK, effective_ids=by_effective_user):
            raise OSError(0, "its folder cannot be written")  # where -wal and -shm have to be
        if self._file.exists() and 0 < self._file.stat().st_size < _HEADER_BYTES:  # SQLite would take it as empty
            raise OSError(0, "it is not a database")
        for file in (self._file, self._lock_file):
            if file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=by_effective_user):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            # One that is there is not opened: to close it again would drop all locks that this process has on it.
            with suppress(FileExistsError):
                os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _check(self) -> None:
        try:
            connection = self.connect()
            try:
                tables = {name for [name] in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                if tables and "schema_migration" not in tables:
                    raise StartupError(f"database: {self._file} is an SQLite database of some other program")
                [[mode]] = connection.execute("PRAGMA journal_mode=WAL").fetchall()
            finally:
                connection.close()
        except sqlite3.Error as err:
            raise StartupError(f"database: {self._file}: {self.trouble(err).error or err}") from err
        if mode != "wal":
            raise StartupError(f"database: {self._file}: no write-ahead log is possible there; use a local disk")

    def _close_to_others(self) -> None:
        for suffix in ("", "-wal", "-shm", ".lock"):  # SQLite gives new ones the mode of the file
            file = self._file.with_name(self._file.name + suffix)
            try:
                if file.exists() and file.stat().st_mode & 0o077:
                    file.chmod(0o600)
            except OSError as err:
                raise StartupError(f"database: others can read {file}, and it is not ours to change") from err

    def _no_room(self) -> bool:
        try:
            room = os.statvfs(self._file.parent)
        except OSError:
            return False
        return room.f_bavail * room.f_frsize < _ROOM_BYTES_MIN


class _Queries(peewee.SqliteDatabase):
    def __init__(self, handed: Handed, *args: Any, **options: Any) -> None:
        self._handed = handed
        super().__init__(*args, **options)

    def _connect(self) -> Any:
        return self._handed.connection

    def _close(self, conn: Any) -> None:
        """Connections belong to connections.py."""


def _wait_at_most(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    # A lock that is waited for cannot be given up after a time, so it is tried again and again.
    until = time.monotonic() + START_WAIT_S
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as err:
                if time.monotonic() > until:
                    raise StartupError("database: another server has been starting on it for too long") from err
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
