"""Bytes of photos, each under its SHA-256. A `put` that was entered is on disk; no row ever lacks its bytes.

A folder holds `ab/<sha256>` for the bytes and `incoming/<sha256>.<random>` for marks. A mark is made before the bytes
get their name, and removed when a row uses them; its maker holds a lock on it, which the kernel releases when the maker
dies. So bytes without a row always have a mark, however a process ends, and `sweeping.sweep` finds them by it.

Sweeping can take away bytes that an uploader just found. Both therefore decide inside a transaction, after
`images.hold_content`, which lets one of the two through at a time: the sweeper removes only what no row uses then; the
uploader looks then whether they are there (`exists`), and puts them again if not.

After a power cut the file system may have forgotten a mark but not the bytes; `tagwright-server check` finds those.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from tagwright_server.errors import StartupError
from tagwright_server.store.engine import full

_INCOMING = "incoming"
_LOCK = ".lock"
_CHUNK_BYTES = 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}")
_MARK = re.compile(r"([0-9a-f]{64})\.[0-9a-f]{16}(\.again)?")
_FOLDERS = tuple(f"{byte:02x}" for byte in range(256))


class BlobMissing(RuntimeError):
    """Bytes are not there. Their row may have been deleted since it was read; otherwise it is a fault of ours."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What says that bytes may have no row."""

    sha256: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes as they lie there: how many, and when they were written, in seconds since 1970."""

    sha256: bytes
    size_bytes: int
    written_s: float


class Blobs(Protocol):
    """Where the bytes of photos are kept."""

    def put(self, sha256: bytes, data: bytes) -> AbstractContextManager[None]:
        """Have the bytes on disk; commit the row that uses them inside the block. Raises StorageFull.

        The block ends with an error where no row came to use them; then sweeping finds out whether another one does.
        """
        ...

    def exists(self, sha256: bytes) -> bool:
        """Whether they are there."""
        ...

    def size(self, sha256: bytes) -> int | None:
        """Return how many bytes there are, None where there are none."""
        ...

    def open(self, sha256: bytes) -> BinaryIO:
        """Open them for reading; raise BlobMissing."""
        ...

    def read(self, sha256: bytes) -> bytes:
        """Return them; raise BlobMissing."""
        ...

    def remove(self, sha256: bytes) -> None:
        """Remove them, for good; where they are gone already that is fine. Call as sweeping does."""
        ...

    def unsettled(self) -> Iterator[Mark]:
        """Find the marks that no living uploader holds; each is ours until the next one is asked for."""
        ...

    def settle(self, mark: Mark) -> None:
        """Remove a mark that `unsettled` gave: a row uses the bytes, or they are gone."""
        ...

    def marked(self, sha256: bytes) -> bool:
        """Whether there is a mark for them, living or not."""
        ...

    def sweeping(self) -> AbstractContextManager[bool]:
        """Be the only one who removes bytes during the block; False where another is, or somebody copies them."""
        ...

    def unswept(self) -> AbstractContextManager[None]:
        """Let nobody remove bytes during the block; waits for a sweep that is under way."""
        ...

    def all(self) -> Iterator[Blob]:
        """Find all that are there, in the order of their digests."""
        ...


def sha256_of(file: BinaryIO) -> bytes:
    """Return the digest of what a file holds from here on, a part of it in memory at a time."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()


class FolderBlobs:
    """Bytes in a folder, on a file system with hard links and `flock`, for any number of threads and processes."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if missing, for us alone; raise StartupError."""
        self.folder = folder
        self._incoming = folder / _INCOMING
        try:
            self._make_folders()
        except OSError as err:
            raise StartupError(f"photos: {folder} cannot be written: {err.strerror}") from err

    def __repr__(self) -> str:
        return f"FolderBlobs({str(self.folder)!r})"

    @contextmanager
    def put(self, sha256: bytes, data: bytes) -> Iterator[None]:
        """Have the bytes on disk; commit the row that uses them inside the block. Raises StorageFull.

        Costs two fsyncs, one where the bytes were there. The block ends with an error where no row came to use them;
        then sweeping finds out whether another one does.
        """
        path = self._path(sha256)
        with _room():
            upload = _Upload(self._incoming, path)
        try:
            try:
                with _room():
                    upload.place(data)
            except BaseException:
                if not upload.named:  # else sweeping has to look at it
                    upload.unmark()
                raise
            yield
            upload.unmark()
        finally:
            upload.release()

    def exists(self, sha256: bytes) -> bool:
        """Whether they are there."""
        return self.size(sha256) is not None

    def size(self, sha256: bytes) -> int | None:
        """Return how many bytes there are, None where there are none."""
        return _size(self._path(sha256))

    def open(self, sha256: bytes) -> BinaryIO:
        """Open them for reading; raise BlobMissing."""
        try:
            return self._path(sha256).open("rb")
        except FileNotFoundError as err:
            raise BlobMissing(f"the bytes {sha256.hex()} are not there") from err

    def read(self, sha256: bytes) -> bytes:
        """Return them; raise BlobMissing."""
        with self.open(sha256) as file:
            return file.read()

    def remove(self, sha256: bytes) -> None:
        """Remove them, for good; where they are gone already that is fine. Call as sweeping does."""
        path = self._path(sha256)
        with suppress(FileNotFoundError):
            os.unlink(path)
        _sync_folder(path.parent)  # or a power cut brings them back after their row is gone

    def unsettled(self) -> Iterator[Mark]:
        """Find the marks that no living uploader holds; each is ours until the next one is asked for."""
        for name in sorted(os.listdir(self._incoming)):
            match = _MARK.fullmatch(name)
            if match is None:
                continue
            mark = Mark(bytes.fromhex(match[1]), self._incoming / name)
            try:
                descriptor = os.open(mark.path, os.O_RDWR)
            except FileNotFoundError:
                continue
            try:
                if _lock(descriptor):
                    yield mark
            finally:
                os.close(descriptor)

    def settle(self, mark: Mark) -> None:
        """Remove a mark that `unsettled` gave: a row uses the bytes, or they are gone."""
        with suppress(FileNotFoundError):
            os.unlink(mark.path)

    def marked(self, sha256: bytes) -> bool:
        """Whether there is a mark for them, living or not."""
        return any(name.startswith(sha256.hex()) for name in os.listdir(self._incoming))

    @contextmanager
    def sweeping(self) -> Iterator[bool]:
        """Be the only one who removes bytes during the block; False where another is, or somebody copies them."""
        descriptor = self._open_lock()
        try:
            yield _lock(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def unswept(self) -> Iterator[None]:
        """Let nobody remove bytes during the block; waits for a sweep that is under way."""
        descriptor = self._open_lock()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    def all(self) -> Iterator[Blob]:
        """Find all that are there, in the order of their digests."""
        for folder in _FOLDERS:
            for name in sorted(os.listdir(self.folder / folder)):
                if _NAME.fullmatch(name) and name.startswith(folder):
                    with suppress(FileNotFoundError):
                        status = (self.folder / folder / name).stat()
                        yield Blob(bytes.fromhex(name), status.st_size, status.st_mtime)

    def strays(self) -> Iterator[Path]:
        """Find what is in the folder and not ours."""
        ours = {_LOCK, _INCOMING, *_FOLDERS}
        yield from (self.folder / name for name in sorted(os.listdir(self.folder)) if name not in ours)
        for name in sorted(os.listdir(self._incoming)):
            if not _MARK.fullmatch(name):
                yield self._incoming / name
        for folder in _FOLDERS:
            for name in sorted(os.listdir(self.folder / folder)):
                if not _NAME.fullmatch(name) or not name.startswith(folder):
                    yield self.folder / folder / name

    def _path(self, sha256: bytes) -> Path:
        if len(sha256) != 32:
            raise ValueError("a SHA-256 has 32 bytes")
        name = sha256.hex()
        return self.folder / name[:2] / name

    def _open_lock(self) -> int:
        return os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)

    def _make_folders(self) -> None:
        missing = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        for folder in reversed(missing):
            with suppress(FileExistsError):  # another server is starting
                os.mkdir(folder, 0o700)
            _sync_folder(folder.parent)
        there = set(os.listdir(self.folder))
        for name in (_INCOMING, *_FOLDERS):
            if name not in there:
                with suppress(FileExistsError):
                    os.mkdir(self.folder / name, 0o700)
        _sync_folder(self.folder)  # also what another one made just now


class _Upload:
    def __init__(self, incoming: Path, path: Path) -> None:
        self.named = False  # whether the bytes got their name from us
        self._path = path
        # A sweeper that comes between the making and the locking takes it for a dead one's; then we make another.
        while True:
            self._mark = incoming / f"{path.name}.{secrets.token_hex(8)}"
            self._descriptor = os.open(self._mark, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            if _lock(self._descriptor) and os.fstat(self._descriptor).st_nlink:
                return
            self.release()

    def place(self, data: bytes) -> None:
        if _size(self._path) != len(data):
            self._write(data)
            self._name(len(data))
        # Also where the bytes were there: whoever named them may not have come to this, or was killed before it.
        _sync_folder(self._path.parent)

    def unmark(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._mark)

    def release(self) -> None:
        os.close(self._descriptor)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fsync(self._descriptor)

    def _name(self, size_bytes: int) -> None:
        try:
            os.link(self._mark, self._path)
        except FileExistsError:
            if _size(self._path) == size_bytes:  # another uploader was quicker
                return
            again = self._mark.with_name(f"{self._mark.name}.again")  # what is there is damaged
            os.link(self._mark, again)
            os.rename(again, self._path)
        self.named = True


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        if err.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise full() from err
        raise
