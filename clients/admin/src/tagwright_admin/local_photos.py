"""The photos that an upload means: files, folders with all that is below them, and zips, each with its folder.

Promises: sorted, one at a time, without opening a photo; nothing hidden, and no link that leads out of a folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tagwright_admin.folders import PHOTO_LIMIT_BYTES, Archive, Folder, disk_folder

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
ZIP = ".zip"
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalPhoto:
    """One photo. `path` is what people see, and how the journal and the file of failures know it again.

    `read` is set where it lies in a zip; `archive` and `member` then say where.
    """

    path: str
    file_name: str
    size_bytes: int
    mtime_ns: int
    folder: Folder = field(repr=False)
    read: Callable[[], bytes] | None = None
    archive: str = ""
    member: str = ""

    @property
    def content(self) -> str | Callable[[], bytes]:
        """What the client reads the photo from."""
        return self.read or self.path

    def sha256(self) -> str:
        """Return the digest of its bytes, in hexadecimal. Raises OSError."""
        if self.read is not None:
            return hashlib.sha256(self.read()).hexdigest()
        digest = hashlib.sha256()
        with open(self.path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A path, or a photo, that cannot be read, and why. In a zip: which, and its name there."""

    path: str
    text: str
    archive: str = ""
    member: str = ""


@dataclass(slots=True)
class Skipped:
    """What was passed over on the way; `empty` are the folders and zips without a photo."""

    links: int = 0
    empty: list[str] = field(default_factory=list)


def find(paths: Sequence[str], skipped: Skipped) -> Iterator[LocalPhoto | Unreadable]:
    """Go through the photos of a command line: what is named is taken whatever it is called."""
    for path in paths:
        if os.path.isdir(path):
            yield from _below(path, skipped)
        elif path.lower().endswith(ZIP):
            yield from in_zip(path, skipped)
        else:
            yield one(path)


def one(path: str) -> LocalPhoto | Unreadable:
    """Return the photo at a path."""
    try:
        seen = os.stat(path)
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        return Unreadable(os.path.abspath(path), f"cannot read it: {getattr(err, 'strerror', None) or err}")
    if not stat.S_ISREG(seen.st_mode):
        return Unreadable(os.path.abspath(path), "it is no plain file")
    whole = os.path.abspath(path)
    return LocalPhoto(
        path=whole,
        file_name=os.path.basename(whole),
        size_bytes=seen.st_size,
        mtime_ns=seen.st_mtime_ns,
        folder=disk_folder(os.path.dirname(whole)),
    )


def in_zip(path: str, skipped: Skipped) -> Iterator[LocalPhoto | Unreadable]:
    """Go through the photos of a zip, by name."""
    whole = os.path.abspath(path)
    try:
        archive = Archive(whole)
    except OSError as err:
        yield Unreadable(whole, f"cannot read it: {err.strerror or err}")
        return
    found = False
    for info in archive.members():
        if _is_photo(info.filename) and (_leads_out(info.filename) or not _hidden(info.filename)):
            found = True
            yield member_of(archive, info.filename)
    if not found:
        skipped.empty.append(whole)


def member_of(archive: Archive, member: str) -> LocalPhoto | Unreadable:
    """Return the photo of that name in an open zip."""
    size_bytes = archive.size_bytes(member)
    path = f"{archive.path}/{member}"
    if size_bytes is None:
        return Unreadable(path, "there is no such file in the zip", archive.path, member)
    if _leads_out(member):  # nothing would be written there, but whoever packs such a zip is not to be trusted
        return Unreadable(path, "its name leads out of the zip", archive.path, member)
    return in_archive(archive, member, size_bytes=size_bytes)


def in_archive(archive: Archive, member: str, *, size_bytes: int) -> LocalPhoto:
    """Return a photo of an open zip."""
    below, _, name = member.rpartition("/")
    return LocalPhoto(
        path=f"{archive.path}/{member}",
        file_name=name,
        size_bytes=size_bytes,
        mtime_ns=archive.mtime_ns,
        folder=archive.folder(below),
        read=lambda: archive.read(member, limit_bytes=PHOTO_LIMIT_BYTES),
        archive=archive.path,
        member=member,
    )


def missing(paths: Sequence[str]) -> list[str]:
    """Return those of a command line's paths where there is nothing, not even a link."""
    return [path for path in paths if "\0" in path or not os.path.lexists(path)]


def root(paths: Sequence[str]) -> str:
    """Return the folder that all of the paths are below."""
    folders = [os.path.abspath(path) for path in paths]
    folders = [path if os.path.isdir(path) else os.path.dirname(path) for path in folders]
    try:
        return os.path.commonpath(folders)
    except ValueError:  # there are none, or they are on several drives
        return os.getcwd()


def _below(folder: str, skipped: Skipped) -> Iterator[LocalPhoto | Unreadable]:
    unreadable: list[Unreadable] = []

    def note(err: OSError) -> None:
        unreadable.append(Unreadable(str(err.filename), f"cannot look into this folder: {err.strerror}"))

    home = os.path.realpath(folder)
    found = False
    for below, folders, names in os.walk(os.path.abspath(folder), onerror=note):
        links = [name for name in folders if os.path.islink(os.path.join(below, name))]
        skipped.links += len(links)  # not gone into: it would leave the folder, or go round in it
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(below, name)
            if name.startswith(".") or not _is_photo(name):
                continue
            if os.path.islink(path) and not _inside(home, path):
                skipped.links += 1
                continue
            found = True
            yield one(path)
    yield from unreadable
    if not found and not unreadable:
        skipped.empty.append(os.path.abspath(folder))


def _inside(home: str, path: str) -> bool:
    real = os.path.realpath(path)
    return real.startswith(os.path.join(home, ""))


def _is_photo(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _hidden(member: str) -> bool:
    # __MACOSX holds what a Mac's file system knows about each photo, under the photo's name.
    parts = [part for part in member.split("/") if part != "."]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _leads_out(member: str) -> bool:
    parts = re.split(r"[/\\]", member)  # on Windows both separate, and C: is absolute
    return ".." in parts or not parts[0] or re.match("[A-Za-z]:", member) is not None
