"""Photos in a zip file that anybody may have made: what is in it, and the bytes of one entry, never more than may be.

Nothing is ever unpacked to a disk, so a name in a zip file is only something to be shown.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from tagwright_web.settings import PHOTO_BYTES_MAX

ENTRIES_MAX = 100_000
_LIST_BYTES_MAX = 64 * 1024 * 1024  # what stands at a zip file's end; zipfile reads it at once
_LIST_ENTRY = b"PK\x01\x02"  # how each entry of it begins
_RATIO_MAX = 100  # photos are packed already; a picture of one colour alone shrinks like that, and it is small
_RATIO_FROM_BYTES = 1024 * 1024
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks the others without a limit
_ENCRYPTED = 0x1
_PHOTOS = (".jpeg", ".jpg", ".png", ".webp")
_ARCHIVES = (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip")
_LONGEST_NAME, _LONGEST_SHOWN = 255, 400


class ArchiveRefused(Exception):
    """The file as a whole is not taken; the text says why."""


class EntryRefused(Exception):
    """One photo of it is not taken; the text says why."""


@dataclass(frozen=True, slots=True)
class Contents:
    """How many entries of which kind there are; folders do not count."""

    photos: int = 0
    archives: int = 0
    hidden: int = 0
    other: int = 0


class PhotoArchive:
    """The photos of a zip file, by number, in the order in which it lists them. Raises ArchiveRefused."""

    def __init__(self, file: BinaryIO) -> None:
        self._lock = threading.Lock()
        self._zip = _opened(file)
        self._photos, self.contents = _sorted_out(self._zip.infolist())
        self.names = tuple(each.filename for each in self._photos)
        size = file.seek(0, 2)
        if sum(each.compress_size for each in self._zip.infolist()) > size:
            raise ArchiveRefused("What this zip file lists is more than is in it. It is damaged, or made to do harm.")

    def read(self, number: int) -> bytes:
        """Return the bytes of a photo; raises EntryRefused. Threads may call this."""
        entry = self._photos[number]
        if entry.flag_bits & _ENCRYPTED:
            raise EntryRefused("It is encrypted. Make the zip file without a password.")
        if entry.compress_type not in _PACKINGS:
            raise EntryRefused("It is packed in an uncommon way. Make the zip file anew, as an ordinary one.")
        if entry.file_size > PHOTO_BYTES_MAX:
            raise EntryRefused(_TOO_LARGE)
        if entry.file_size > max(_RATIO_FROM_BYTES, _RATIO_MAX * entry.compress_size):
            raise EntryRefused(f"It would unpack to more than {_RATIO_MAX} times its size, as no photo does.")
        try:
            with self._lock, self._zip.open(entry) as file:
                data = file.read(PHOTO_BYTES_MAX + 1)  # never more than the list says, either
        except Exception as err:  # zipfile lets out whatever the bytes lead it to
            raise EntryRefused(_DAMAGED) from err
        if len(data) != entry.file_size:
            raise EntryRefused(_DAMAGED)
        return data


def shown(name: str) -> str:
    """Return a name out of a zip file for people: nothing in it moves the text around it."""
    visible = "".join(char if char.isprintable() else "�" for char in name[: _LONGEST_SHOWN + 1])
    return visible if len(visible) <= _LONGEST_SHOWN else f"{visible[:_LONGEST_SHOWN]}…"


def file_name(name: str) -> str:
    """Return the name that a photo is kept with: its own, without the folders, however they are written."""
    return shown(name.replace("\\", "/").rpartition("/")[2][-_LONGEST_NAME:])


_DAMAGED = "It is damaged in the zip file: its bytes are not those that were packed."
_TOO_LARGE = f"It is larger than the {PHOTO_BYTES_MAX // 1024**2} MiB that a photo may have."


def _opened(file: BinaryIO) -> zipfile.ZipFile:
    file.seek(0)
    begins_like_one = file.read(2) == b"PK"
    try:
        opened = zipfile.ZipFile(_Watched(file))
    except ArchiveRefused:
        raise
    except Exception as err:  # zipfile lets out whatever the bytes lead it to
        if begins_like_one:
            raise ArchiveRefused(
                "This zip file is incomplete or damaged: the list at its end cannot be read. Make it anew, or send it "
                "again. Nothing of it was stored."
            ) from err
        raise ArchiveRefused("This is not a zip file. Nothing of it was stored.") from err
    if len(opened.infolist()) > ENTRIES_MAX:
        raise ArchiveRefused(_TOO_MANY)
    return opened


_TOO_MANY = f"More than {ENTRIES_MAX:,} files are in this zip file. Make several of it. Nothing of it was stored."


class _Watched:
    """The file as zipfile reads it: a list of entries that would fill the memory is refused before it does."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if size > _LIST_BYTES_MAX:
            raise ArchiveRefused(_TOO_MANY)
        data = self._file.read(size)
        if len(data) > ENTRIES_MAX * len(_LIST_ENTRY) and data.count(_LIST_ENTRY) > ENTRIES_MAX:
            raise ArchiveRefused(_TOO_MANY)
        return data


def _sorted_out(entries: list[zipfile.ZipInfo]) -> tuple[tuple[zipfile.ZipInfo, ...], Contents]:
    photos: list[zipfile.ZipInfo] = []
    archives = hidden = other = 0
    for entry in entries:
        if entry.is_dir():
            continue
        name = entry.filename.lower()
        if any(_is_hidden(part) for part in _parts(entry.filename)):
            hidden += 1
        elif name.endswith(_PHOTOS):
            photos.append(entry)
        elif name.endswith(_ARCHIVES):
            archives += 1
        else:
            other += 1
    return tuple(photos), Contents(len(photos), archives, hidden, other)


def _parts(name: str) -> Iterator[str]:
    return iter(name.replace("\\", "/").split("/"))


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))
