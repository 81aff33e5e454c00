"""Where photos lie side by side with what is said about them: a folder of the disk, or one inside a zip.

Promises never to follow a link to a sidecar, never to hang on what is no plain file, never to read more of a file than
SIDECAR_LIMIT_BYTES or PHOTO_LIMIT_BYTES, whatever its size is said to be. What cannot be read raises OSError.
"""

from __future__ import annotations

import errno
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import IO, Protocol

SIDECAR_LIMIT_BYTES = 4 * 1024 * 1024
PHOTO_LIMIT_BYTES = 64 * 1024 * 1024  # the server takes 20 MiB; a zip's member may turn out to be anything


class Folder(Protocol):
    """What sidecars are looked up in."""

    def find(self, name: str) -> str | None:
        """Return the name as it is written there, whatever its case; with `/` for a folder below."""

    def read(self, name: str) -> bytes:
        """Return what is in a file that was found."""


class DiskFolder:
    """A folder of the disk; its names are read once."""

    def __init__(self, path: str) -> None:
        self._path = path

    def find(self, name: str) -> str | None:
        """Return the name as it is written there; None also for folders that cannot be looked into."""
        below, _, last = name.rpartition("/")
        if below:
            found = disk_folder(os.path.join(self._path, below)).find(last)
            return f"{below}/{found}" if found is not None else None
        return self._names.get(name.lower())

    def read(self, name: str) -> bytes:
        """Return what is in the file."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(os.path.join(self._path, name), flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is no plain file")
            return _limited(file, SIDECAR_LIMIT_BYTES)

    @cached_property
    def _names(self) -> Mapping[str, str]:
        try:
            return {name.lower(): name for name in sorted(os.listdir(self._path), reverse=True)}
        except OSError:
            return {}


@lru_cache(maxsize=8)  # photos come folder by folder; a folder of a million names is not kept for long
def disk_folder(path: str) -> DiskFolder:
    """Return the folder at a path, as it was when it was first asked for."""
    return DiskFolder(path)


class Archive:
    """A zip. Its file stays open as long as anything refers to it; safe to read from several threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as err:
            raise OSError(errno.EINVAL, f"it is no zip that can be read: {err}") from err
        self.mtime_ns = os.stat(path).st_mtime_ns
        self._members = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        self._names = {name.lower(): name for name in sorted(self._members, reverse=True)}

    def members(self) -> Iterator[zipfile.ZipInfo]:
        """Go through the files in it, by name."""
        return iter(sorted(self._members.values(), key=lambda info: info.filename))

    def find(self, name: str) -> str | None:
        """Return the whole name as it is written there."""
        return self._names.get(name.lower())

    def size_bytes(self, name: str) -> int | None:
        """Return how large a member says it is; None where there is none of that name."""
        info = self._members.get(name)
        return info.file_size if info is not None else None

    def read(self, name: str, *, limit_bytes: int = SIDECAR_LIMIT_BYTES) -> bytes:
        """Return what is in a member."""
        try:
            with self._zip.open(self._members[name]) as file:
                return _limited(file, limit_bytes)
        # RuntimeError: it is encrypted. The others: it is broken, or packed in a way that Python does not know.
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, ValueError) as err:
            raise OSError(errno.EIO, f"cannot unpack it: {err}") from err

    def folder(self, below: str) -> ZipFolder:
        """Return a folder inside it, "" for its root."""
        return ZipFolder(self, below)


class ZipFolder:
    """A folder inside a zip."""

    def __init__(self, archive: Archive, below: str) -> None:
        self._archive = archive
        self._prefix = f"{below}/" if below else ""

    def find(self, name: str) -> str | None:
        """Return the name as it is written there."""
        found = self._archive.find(self._prefix + name)
        return found[len(self._prefix) :] if found is not None else None

    def read(self, name: str) -> bytes:
        """Return what is in the file."""
        return self._archive.read(self._prefix + name)


def _limited(file: IO[bytes], limit_bytes: int) -> bytes:
    data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {limit_bytes // 1024**2} MiB")
    return data
