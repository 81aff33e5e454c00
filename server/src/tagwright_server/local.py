"""Commands for the machine that the server runs on: the first administrator is made here, never by a default password.

They work on the store itself, beside a server that runs or without one. Passwords come from the terminal or a file,
never from the command line, which everyone on the machine can read.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from tagwright_server.clock import SystemClock
from tagwright_server.data import Data, open_data
from tagwright_server.domain.access import Actor
from tagwright_server.domain.accounts import Accounts, check_name
from tagwright_server.domain.passwords import Passwords, check_new
from tagwright_server.errors import StartupError, TagwrightError
from tagwright_server.options import settings_of, settings_parser
from tagwright_server.settings import Settings
from tagwright_server.store.records import Role

_USAGE = """\
tagwright-server admin create NAME [--password-file FILE] [--SETTING VALUE ...]
       tagwright-server admin reset NAME [--password-file FILE] [--SETTING VALUE ...]"""
_LONGEST_FILE = 4096  # bytes; a password has at most 512 in UTF-8


def main(argv: Sequence[str]) -> int:
    """Run `tagwright-server admin ...` with what follows `admin`. Returns the exit code; raises StartupError."""
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    verb, name, file = (arguments.pop(key) for key in ("verb", "name", "password_file"))
    settings = settings_of(arguments)
    try:
        check_name(name)
        password = _password(name, file)
        check_new(password, username=name, field="password")
        with open_data(settings) as data:
            said = (
                _create(data, settings, name, password) if verb == "create" else _reset(data, settings, name, password)
            )
    except TagwrightError as err:
        raise StartupError(f"admin {verb}: {_said(err)}") from err
    print(said)
    return 0


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
    return f"{name} is an administrator, enabled, with the new password; its sessions have ended."


def _hashed(data: Data, settings: Settings, password: str) -> str:
    passwords = Passwords(data.pepper, cost=settings.bcrypt_cost)
    try:
        return passwords.hash(password)
    finally:
        passwords.close()


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
        description="Makes an administrator, or gives one a new password, in the store that the settings name.",
    )
    parser.add_argument("verb", choices=("create", "reset"), help="Make an account, or let one back in.")
    parser.add_argument("name", metavar="NAME", help="Its name.")
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        default=None,
        help="Take the password from the first line of FILE, or of standard input for -. Default: ask.",
    )
    return parser
