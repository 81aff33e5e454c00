"""Where the command line keeps what it signed in with: one file for this user alone, an entry per server.

Promises never to use a file that others could read or have put there, never to follow a link in its place, and never
to lose an entry to another `tagwright login` at the same moment. No token shows in a repr or an error.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

FOLDER_VARIABLE = "TAGWRIGHT_CONFIG_DIR"

_NAME = "credentials.json"
_VERSION = 1
_LIMIT_BYTES = 1024 * 1024  # thousands of servers; whatever is larger is no file of ours
_TEXTS = ("expire_time", "ca_file", "client_certificate_file", "client_key_file")


class CredentialsUnusable(Exception):
    """The file cannot be used as it is; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept for one server: the session, whose it is, and how to connect. `expire_time` is ISO 8601."""

    token: str = field(repr=False)
    username: str
    expire_time: str | None = None
    ca_file: str | None = None
    client_certificate_file: str | None = None
    client_key_file: str | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """All entries by their server's URL in full, and which server was signed in to last."""

    servers: Mapping[str, Entry] = field(default_factory=dict)
    latest: str | None = None


def path() -> Path:
    """Return where the file is, whether or not it exists."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        return Path(folder) / _NAME
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):  # as the XDG specification wants it: relative ones are ignored
        base = os.path.join(os.path.expanduser("~"), ".config")
    return Path(base) / "tagwright" / _NAME


def load() -> Credentials:
    """Return what is kept; no file means nothing. Raises CredentialsUnusable."""
    file = path()
    try:
        _check_folder(file.parent)
        data = _read(file)
    except FileNotFoundError:
        return Credentials()
    except OSError as err:
        raise CredentialsUnusable(f"cannot read {file}: {err.strerror}") from err
    try:
        return _parsed(data)
    except ValueError:  # its text would show what is in the file
        raise CredentialsUnusable(f"{file} is broken; delete it and sign in again: tagwright login") from None


def keep(url: str, entry: Entry) -> None:
    """Keep the entry of a server, in place of an older one, as the latest. Raises CredentialsUnusable."""
    with _changing() as (kept, write):
        write(Credentials(servers={**kept.servers, url: entry}, latest=url))


def forget(url: str, *, token: str) -> None:
    """Remove the entry of a server, unless somebody signed in anew meanwhile. Raises CredentialsUnusable."""
    with _changing() as (kept, write):
        servers = {other: entry for other, entry in kept.servers.items() if other != url or entry.token != token}
        if len(servers) < len(kept.servers):
            write(Credentials(servers=servers, latest=kept.latest if kept.latest != url else None))


def time_text(moment: datetime | None) -> str | None:
    """Return a moment as the file has it."""
    return moment.isoformat() if moment is not None else None


@contextmanager
def _changing() -> Iterator[tuple[Credentials, Any]]:
    """Give what is kept and the function that replaces it, while no other process changes it."""
    file = path()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(file.parent, os.O_RDONLY) if sys.platform != "win32" else None
        try:
            if sys.platform != "win32" and folder is not None:
                fcntl.flock(folder, fcntl.LOCK_EX)
            yield load(), lambda credentials: _replace(file, credentials)
        finally:
            if folder is not None:
                os.close(folder)
    except OSError as err:
        raise CredentialsUnusable(f"cannot write {file}: {err.strerror}") from err


def _replace(file: Path, credentials: Credentials) -> None:
    servers = {url: asdict(entry) for url, entry in credentials.servers.items()}
    text = json.dumps({"version": _VERSION, "latest": credentials.latest, "servers": servers}, indent=2)
    number, temporary = tempfile.mkstemp(prefix=".credentials-", dir=file.parent)  # for this user alone: 0600
    try:
        with os.fdopen(number, "w") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)  # replaces a link rather than what it leads to
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _check_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    seen = os.stat(folder)
    if seen.st_uid not in (os.geteuid(), 0):
        raise CredentialsUnusable(f"{folder} belongs to another user, who could replace what is in it")
    if seen.st_mode & 0o022 and not seen.st_mode & stat.S_ISVTX:
        raise CredentialsUnusable(f"others could replace what is in {folder}; put that right: chmod 700 {folder}")


def _read(file: Path) -> bytes:
    # NONBLOCK: a pipe of that name must not hang us.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if file.is_symlink():
        raise CredentialsUnusable(f"{file} is a link, and links are not followed; put the file itself there")
    number = os.open(file, flags)
    with os.fdopen(number, "rb") as stream:
        seen = os.fstat(number)
        if not stat.S_ISREG(seen.st_mode) or seen.st_size > _LIMIT_BYTES:
            raise CredentialsUnusable(f"{file} is no file of credentials")
        if sys.platform != "win32":
            if seen.st_uid != os.geteuid():
                raise CredentialsUnusable(f"{file} belongs to another user")
            if seen.st_mode & 0o077:
                raise CredentialsUnusable(
                    f"others can read {file}, so it is not used; put that right: chmod 600 {file}"
                )
        return stream.read()


def _parsed(data: bytes) -> Credentials:
    kept = json.loads(data)
    if not isinstance(kept, dict) or kept.get("version") != _VERSION:
        raise ValueError("no version of ours")
    latest, servers = kept.get("latest"), kept.get("servers")
    if not isinstance(servers, dict) or not (latest is None or isinstance(latest, str)):
        raise ValueError("wrong types")
    return Credentials(servers={url: _entry(value) for url, value in servers.items()}, latest=latest)


def _entry(value: Any) -> Entry:
    if not isinstance(value, dict):
        raise ValueError("wrong types")
    token, username = value.get("token"), value.get("username")
    texts = {name: value.get(name) for name in _TEXTS}
    insecure = value.get("insecure", False)
    if not (isinstance(token, str) and token and isinstance(username, str) and isinstance(insecure, bool)):
        raise ValueError("wrong types")
    if not all(text is None or isinstance(text, str) for text in texts.values()):
        raise ValueError("wrong types")
    return Entry(token=token, username=username, insecure=insecure, **texts)
