"""Asks people on their terminal, on standard error so that standard output holds results only; reads password files.

A password is never echoed, never in an error, and never taken from the command line or the environment.
"""

from __future__ import annotations

import getpass
import sys

from tagwright_admin.connection import USAGE, Refused

STDIN = "-"
_LIMIT_BYTES = 64 * 1024  # far above any password: whatever is larger is another file


def on_terminal() -> bool:
    """Return whether there is anybody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(label: str, *, otherwise: str) -> str:
    """Ask for a line. Where there is no terminal: refuse, saying what to do `otherwise`."""
    need_terminal(otherwise)
    print(f"{label}: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise Refused("no answer, so nothing was done")
    return line.strip()


def ask_password(label: str = "Password", *, otherwise: str = "give the password by --password-file") -> str:
    """Ask for a password, without showing it."""
    need_terminal(otherwise)
    try:
        return getpass.getpass(f"{label}: ", stream=sys.stderr)
    except EOFError:
        raise Refused("no answer, so nothing was done") from None


def ask_new_password() -> str:
    """Ask for a new password twice."""
    password = ask_password("New password")
    if password != ask_password("New password again"):
        raise Refused("the two differ, so nothing was done")
    return password


def need_terminal(otherwise: str) -> None:
    """Refuse where there is nobody to ask, saying what to do `otherwise`."""
    if not on_terminal():
        raise Refused(f"there is no terminal to ask on; {otherwise}", exit_code=USAGE)


def confirmed(question: str, *, otherwise: str) -> bool:
    """Ask a question whose answer is yes or no; anything but y and yes is no."""
    return ask(f"{question} [y/N]", otherwise=otherwise).lower() in ("y", "yes")


def read_passwords(path: str, *, count: int = 1) -> list[str]:
    """Return the `count` lines of a password file, `-` for standard input. Raises Refused."""
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(_LIMIT_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(_LIMIT_BYTES + 1)
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        raise Refused(f"cannot read {path}: {getattr(err, 'strerror', None) or err}", exit_code=USAGE) from err
    shown = "standard input" if path == STDIN else path
    if len(data) > _LIMIT_BYTES:
        raise Refused(f"{shown} is too large for a password", exit_code=USAGE)
    try:
        # Not splitlines(): it would also split at characters that a password may well have.
        lines = data.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:  # its text would show the bytes
        raise Refused(f"{shown} is no UTF-8 text", exit_code=USAGE) from None
    passwords = [line.removesuffix("\r") for line in lines]
    if len(passwords) != count or not all(passwords):
        expected = "one line, the password" if count == 1 else "two lines, the current password and the new one"
        raise Refused(f"{shown} must hold {expected}", exit_code=USAGE)
    return passwords
