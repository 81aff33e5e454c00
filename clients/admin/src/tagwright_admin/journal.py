"""What uploads of a folder have learnt: digests, so that a later run need not hash again, and the ids of photos.

A journal is a help, never the truth: every photo is offered to the server again. So it is only ever appended to, each
line by one write; a torn or strange line is passed over; and a journal that cannot be used is one warning, no failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tagwright_admin.local_photos import LocalPhoto

if sys.platform != "win32":
    import fcntl

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one file: as it was seen, its digest, and its id once the server had stored it."""

    size_bytes: int
    mtime_ns: int
    sha256: str
    image_id: str = ""


class Journal:
    """An open journal, locked against other uploads; or with no file at all, which remembers nothing."""

    def __init__(self, number: int | None = None, *, warn: Warn) -> None:
        self._number = number
        self._warn = warn
        self._entries = _read(number) if number is not None else {}

    def sha256(self, photo: LocalPhoto) -> str | None:
        """Return the digest of a photo's bytes, if the file looks as it did when they were hashed."""
        entry = self._entries.get(photo.path)
        if entry is None or (entry.size_bytes, entry.mtime_ns) != (photo.size_bytes, photo.mtime_ns):
            return None
        return entry.sha256

    def note(self, photo: LocalPhoto, *, sha256: str, image_id: str = "") -> None:
        """Remember a photo. Does nothing where that is known already, or where the journal cannot be written."""
        entry = Entry(photo.size_bytes, photo.mtime_ns, sha256, image_id)
        if self._number is None or self._entries.get(photo.path) == entry:
            return
        line = {
            "path": photo.path,
            "size_bytes": entry.size_bytes,
            "mtime_ns": entry.mtime_ns,
            "sha256": sha256,
            "image_id": image_id,
        }
        data = json.dumps(line).encode() + b"\n"
        try:
            if os.write(self._number, data) != len(data):
                raise OSError("the disk is full")
        except OSError as err:
            self._warn(f"the journal is given up, which costs time only: {err.strerror or err}")
            self.close()
            return
        self._entries[photo.path] = entry

    def close(self) -> None:
        """Let go of the file, and with it of the lock."""
        if self._number is not None:
            with suppress(OSError):
                os.close(self._number)
            self._number = None


@contextmanager
def opened(path: Path | None, *, warn: Warn) -> Iterator[Journal]:
    """Give the journal at a path; without a path, or if it cannot be used, one that remembers nothing."""
    journal = Journal(_open(path, warn=warn) if path is not None else None, warn=warn)
    try:
        yield journal
    finally:
        journal.close()


def place(url: str, root: str) -> Path:
    """Return where the journal of uploads from a folder to a server is."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # as the XDG specification wants it: relative ones are ignored
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    name = hashlib.sha256(f"{url}\n{root}".encode(errors="surrogateescape")).hexdigest()[:32]
    return Path(base) / "tagwright" / "uploads" / f"{name}.jsonl"


def _open(path: Path, *, warn: Warn) -> int | None:
    number: int | None = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(path, _FLAGS, 0o600)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(f"{path} is no plain file")
        if sys.platform != "win32":
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size_bytes = os.fstat(number).st_size
        if size_bytes and _last_byte(number, size_bytes) != b"\n":
            os.write(number, b"\n")  # a torn line stays one bad line
    except BlockingIOError:
        warn("another upload of this folder is under way and has the journal; this one goes without")
    except OSError as err:
        warn(f"there is no journal, which costs time only: {err.strerror or err}")
    else:
        return number
    if number is not None:
        os.close(number)
    return None


def _last_byte(number: int, size_bytes: int) -> bytes:
    os.lseek(number, size_bytes - 1, os.SEEK_SET)
    return os.read(number, 1)


def _read(number: int) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    with open(os.dup(number), "rb") as file:
        file.seek(0)
        for line in file:
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                value = json.loads(line)
                entries[str(value["path"])] = Entry(
                    size_bytes=int(value["size_bytes"]),
                    mtime_ns=int(value["mtime_ns"]),
                    sha256=_digest(value["sha256"]),
                    image_id=str(value.get("image_id", "")),
                )
    return entries


def _digest(value: str) -> str:
    if len(bytes.fromhex(value)) != hashlib.sha256().digest_size:
        raise ValueError("no digest")
    return value
