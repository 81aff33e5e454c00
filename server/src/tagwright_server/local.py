"""Commands for the machine that the server runs on: the first administrator is made here, never by a default password.

They work on the store itself, beside a server that runs or without one. Passwords come from the terminal or a file,
never from the command line, which everyone on the machine can read.
"""

from __future__ import annotations

import argparse
import fcntl
import getpass
import os
import secrets
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tagwright_server.clock import SystemClock
from tagwright_server.data import Data, folder, open_data
from tagwright_server.domain.access import Actor
from tagwright_server.domain.accounts import Accounts, check_name
from tagwright_server.domain.passwords import Passwords, check_new
from tagwright_server.domain.throttle import bucket_of_name
from tagwright_server.errors import StartupError, TagwrightError
from tagwright_server.options import settings_of, settings_parser
from tagwright_server.settings import Settings
from tagwright_server.store.records import Role

FIRST = "admin"  # the name of an account that nobody had to think of
_FIRST_PASSWORD = "admin-password"  # its file in the data folder
_USAGE = """\
tagwright-server admin create NAME [--password-file FILE] [--SETTING VALUE ...]
       tagwright-server admin reset NAME [--password-file FILE] [--SETTING VALUE ...]
       tagwright-server admin first [--SETTING VALUE ...]"""
_FIRST_PASSWORD_BYTES = 18
_LONGEST_FILE = 4096  # bytes; a password has at most 512 in UTF-8


def main(argv: Sequence[str]) -> int:
    """Run `tagwright-server admin ...` with what follows `admin`. Returns the exit code; raises StartupError."""
    arguments = vars(_parser().parse_args(argv))
    verb, name, file = (arguments.pop(key) for key in ("verb", "name", "password_file"))
    settings = settings_of(arguments)
    try:
        if verb == "first":
            if name is not None or file is not None:
                raise StartupError("admin first takes neither a name nor a password: it makes them up")
            said = _first(settings)
        elif name is None:
            raise StartupError(f"admin {verb}: the name is missing")
        else:
            check_name(name)
            password = _password(name, file)
            check_new(password, username=name, field="password")
            with open_data(settings) as data:
                said = (_create if verb == "create" else _reset)(data, settings, name, password)
    except TagwrightError as err:
        raise StartupError(f"admin {verb}: {_said(err)}") from err
    if said:
        print(said)
    return 0


def _first(settings: Settings) -> str:
    file = folder(settings) / _FIRST_PASSWORD
    with open_data(settings) as data, _alone(file.parent):
        if not data.store.accounts.any():
            password = secrets.token_urlsafe(_FIRST_PASSWORD_BYTES)
            file.unlink(missing_ok=True)  # of a store that is gone
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(password + "\n")  # before the account: a password that is lost lets nobody in
            _create(data, settings, FIRST, password)
        made = data.store.accounts.find(FIRST)
    if not file.exists() or made is None or made.updated != made.created:  # the password was changed since, perhaps
        return ""
    return f"Sign in as the first administrator: tagwright login {FIRST} --password-file {shlex.quote(str(file))}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others who do the same waiting: of two at once one would write a password that the other did not use."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _create(data: Data, settings: Settings, name: str, password: str) -> str:
    accounts = Accounts(data.store, clock=SystemClock())
    if data.store.accounts.find(name) is not None:
        raise StartupError(f"there is an account {name} already; tagwright-server admin reset gives it a new password")
    accounts.create(name, password_hash=_hashed(data, settings, password), role=Role.ADMIN, by=_here())
    return f"Made the administrator {name}."


def _reset(data: Data, settings: Settings, name: str, password: str) -> str:
    accounts = Accounts(data.store, clock=SystemClock())
    accounts.get(name)
    accounts.update(name, password_hash=_hashed(data, settings, password), role=Role.ADMIN, disabled=False, by=_here())
    data.store.failures.forget(bucket_of_name(name, data.pepper))  # or a guesser's failures would keep them waiting
    return f"{name} is an administrator, enabled, with the new password; its sessions have ended."


def _hashed(data: Data, settings: Settings, password: str) -> str:
    return Passwords(data.pepper, cost=settings.bcrypt_cost).hash(password)


def _here() -> Actor:
    return Actor("", "local", "")


def _password(name: str, file: str | None) -> str:
    if file is not None:
        return _first_line(file)
    if not sys.stdin.isatty():
        raise StartupError("there is no terminal to ask for the password; give --password-file FILE, or - for stdin")
    password = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Once more: ") != password:
        raise StartupError("the two passwords differ")
    return password


def _first_line(file: str) -> str:
    try:
        raw = sys.stdin.buffer.read(_LONGEST_FILE) if file == "-" else _read(Path(file))
        line = raw.split(b"\n", 1)[0].removesuffix(b"\r").decode("utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise StartupError(f"--password-file: {getattr(err, 'strerror', None) or 'is not UTF-8'}") from err
    if not line:
        raise StartupError("--password-file: its first line is empty")
    return line


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LONGEST_FILE)


def _said(err: TagwrightError) -> str:
    field = err.metadata.get("field")
    return f"the {'name' if field == 'username' else field} {err}" if field else str(err)


def _parser() -> argparse.ArgumentParser:
    parser = settings_parser(
        "tagwright-server admin",
        usage=_USAGE,
        description="Makes administrators, or lets one back in, in the store that the settings name.",
    )
    parser.add_argument(
        "verb",
        choices=("create", "reset", "first"),
        help="create: make an administrator. reset: give an account a new password, enable it and make it one. "
        f"first: where there is no account at all, make {FIRST} with a password that is written to "
        f"{_FIRST_PASSWORD} in the data folder.",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", default=None, help="Its name.")
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        default=None,
        help="Take the password from the first line of FILE, or of standard input for -. Default: ask.",
    )
    return parser
