"""The pepper: a secret that hashes of passwords need and the database does not hold.

Several servers on one database share it. Lost, no password fits any more; so a database that was made with another one
is not served.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from tagwright_server.errors import StartupError
from tagwright_server.store.facts import Facts

_BYTES = 32
_FACT = "pepper"


def read_pepper(path: Path, facts: Facts) -> bytes:
    """Return the pepper of `path`, which is made where the database has not been used with any.

    Raises StartupError where the file is missing, damaged, readable by others or not the database's.
    """
    try:
        if facts.get(_FACT) is None and not path.exists():
            _make(path)
        status = path.stat()
        text = path.read_text("ascii")
        pepper = bytes.fromhex(text)
    except FileNotFoundError as err:
        raise StartupError(
            f"there is no file {path}; without the pepper that was there no password of this database can be checked"
        ) from err
    except (OSError, ValueError) as err:
        raise StartupError(
            f"{path} cannot be read as a pepper: {getattr(err, 'strerror', None) or 'it is damaged'}"
        ) from err
    if status.st_mode & 0o077:
        raise StartupError(f"{path} can be read by others; chmod 600 {path}")
    if len(pepper) < _BYTES:
        raise StartupError(f"{path} cannot be read as a pepper: it is damaged")
    mark = hmac.digest(pepper, b"tagwright pepper", hashlib.sha256).hex()
    if not hmac.compare_digest(facts.set_once(_FACT, mark), mark):
        raise StartupError(f"{path} is not the pepper that this database was used with")
    return pepper


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):  # another server was quicker: its pepper it is
        os.link(draft, path)
    draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
