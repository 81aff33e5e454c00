"""A backup is a folder: `manifest.json`, the database as one SQLite file, `photos/`, and the pepper.

It is what the server held at the moment it was begun, whatever is written meanwhile. The manifest is written last, in
one go; until then the folder's earlier backup, if it held one, can still be restored. The same folder taken again costs
only what is new. It does not matter of which kind the database is: a backup of one kind can be restored into another.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from tagwright_server.errors import StartupError
from tagwright_server.store.blobs import BlobMissing, Blobs, FolderBlobs, sha256_of
from tagwright_server.store.copying import check_empty, fill, snapshot
from tagwright_server.store.image_records import Content
from tagwright_server.store.pepper import read_pepper
from tagwright_server.store.store import Store, open_store

_FORMAT = 1
_MANIFEST = "manifest.json"
_PHOTOS = "photos"
_PEPPER = "pepper"
_PARTIAL = "partial"
_AT_A_TIME = 500
Progress = Callable[[int, int], None]  # photos that are done, and all of them


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `lacking` are the photos' bytes that the server itself did not have, by their SHA-256."""

    format: int
    made: str
    version: str
    database: str
    database_sha256: str
    rows: dict[str, int]
    lacking: list[str]


def back_up(
    store: Store, blobs: Blobs, pepper_file: Path, folder: Path, *, at: datetime, version: str, progress: Progress
) -> Manifest:
    """Back everything up into a folder, beside a server that runs; raise StartupError where that cannot be."""
    try:
        if folder.is_dir() and not _is_ours(folder):
            raise StartupError(f"backup: {folder} holds other files; name a folder that is new, or holds a backup")
        copies = FolderBlobs(folder / _PHOTOS)
        with copies.sweeping() as alone:
            if not alone:
                raise StartupError(f"backup: another one into {folder} is under way")
            return _back_up(store, blobs, copies, pepper_file, folder, at=at, version=version, progress=progress)
    except OSError as err:
        raise StartupError(f"backup: {err.filename or folder}: {err.strerror}") from err


def _is_ours(folder: Path) -> bool:
    """Whether a folder is empty or holds a backup, also one that was broken off: that has its photos' folder."""
    return (folder / _MANIFEST).exists() or (folder / _PHOTOS).is_dir() or not any(folder.iterdir())


def restore(folder: Path, url: str, blobs: Blobs, pepper_file: Path, scratch: Path, *, progress: Progress) -> Manifest:
    """Restore a backup into an empty database and a place for photos; raise StartupError where that cannot be.

    The rows come last, in one transaction: what was broken off before can be done again. `scratch` is a folder that
    is made for the time being.
    """
    manifest = read_manifest(folder)
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(mode=0o700, parents=True)
        target = open_store(url)
        try:
            check_empty(target.database)
            _copy_checked(folder / manifest.database, scratch / "database", manifest.database_sha256)
            source = open_store(_url(scratch / "database"))  # of an older Tagwright: brought up to date here
            try:
                _restore_photos(source, FolderBlobs(folder / _PHOTOS), blobs, manifest, progress)
                _restore_pepper(folder / _PEPPER, pepper_file, source)
                with snapshot(source.database) as content:
                    fill(target.database, content)
            finally:
                source.close()
        finally:
            target.close()
    except OSError as err:
        raise StartupError(f"restore: {err.filename or folder}: {err.strerror}") from err
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return what a folder holds; raise StartupError where it is no whole backup that we can read."""
    try:
        manifest = Manifest(**json.loads((folder / _MANIFEST).read_text("utf-8")))
    except FileNotFoundError as err:
        raise StartupError(f"restore: {folder} holds no backup that was finished: no {_MANIFEST}") from err
    except (OSError, ValueError, TypeError) as err:
        raise StartupError(
            f"restore: {folder / _MANIFEST} cannot be read; it is damaged, or of a newer version"
        ) from err
    if manifest.format != _FORMAT or Path(manifest.database).name != manifest.database:
        raise StartupError(f"restore: {folder} has a form that this version does not know")
    return manifest


def _back_up(
    store: Store,
    blobs: Blobs,
    copies: FolderBlobs,
    pepper_file: Path,
    folder: Path,
    *,
    at: datetime,
    version: str,
    progress: Progress,
) -> Manifest:
    for mark in copies.unsettled():  # of one that was broken off
        copies.settle(mark)
    partial = folder / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    draft = partial / "database"
    with blobs.unswept():  # before the snapshot: what it names stays until it is copied
        copy = open_store(_url(draft))
        try:
            with snapshot(store.database) as content:
                rows = fill(copy.database, content)
            rows["content"] -= _drop_unused(copy)
            copied, lacking = _copy_photos(copy, blobs, copies, total=rows["content"], progress=progress)
        finally:
            copy.close()
    _make_single(draft)
    digest = _sha256(draft)
    name = f"database-{digest[:16]}.sqlite3"
    _move(draft, folder / name)
    _write(partial / _PEPPER, pepper_file.read_bytes())
    _move(partial / _PEPPER, folder / _PEPPER)
    manifest = Manifest(
        format=_FORMAT,
        made=at.isoformat(timespec="seconds"),
        version=version,
        database=name,
        database_sha256=digest,
        rows=rows,
        lacking=[sha256.hex() for sha256 in lacking],
    )
    _write(partial / _MANIFEST, (json.dumps(asdict(manifest), indent=2) + "\n").encode())
    _move(partial / _MANIFEST, folder / _MANIFEST)
    shutil.rmtree(partial)
    for older in folder.glob("database-*.sqlite3"):
        if older.name != name:
            older.unlink()
    for blob in copies.all():
        if blob.sha256 not in copied:  # of photos that were deleted since an earlier backup
            copies.remove(blob.sha256)
    return manifest


def _drop_unused(copy: Store) -> int:
    # Photos that were deleted: their bytes wait to be swept, or are gone.
    dropped = 0
    with copy.transaction():
        while some := copy.images.unused_contents(limit=_AT_A_TIME):
            dropped += sum(copy.images.drop_content(sha256) for sha256 in some)
    return dropped


def _copy_photos(
    copy: Store, blobs: Blobs, copies: Blobs, *, total: int, progress: Progress
) -> tuple[set[bytes], list[bytes]]:
    copied: set[bytes] = set()
    lacking: list[bytes] = []
    for content in _contents(copy):
        progress(len(copied) + len(lacking), total)
        if copies.size(content.sha256) != content.size_bytes:
            data = _read(blobs, content)
            if data is None:
                lacking.append(content.sha256)
                continue
            with copies.put(content.sha256, data):
                pass
        copied.add(content.sha256)
    progress(total, total)
    return copied, lacking


def _restore_photos(source: Store, copies: Blobs, blobs: Blobs, manifest: Manifest, progress: Progress) -> None:
    total, done = manifest.rows["content"], 0
    for content in _contents(source):
        progress(done, total)
        done += 1
        if _read(blobs, content) is not None:  # of a restore that was broken off
            continue
        data = _read(copies, content)
        if data is None:
            if content.sha256.hex() in manifest.lacking:
                continue
            raise StartupError(f"restore: the photo {content.sha256.hex()} is missing or damaged in the backup")
        if blobs.size(content.sha256) == content.size_bytes:
            blobs.remove(content.sha256)  # damaged: nothing uses it yet
        with blobs.put(content.sha256, data):
            pass
    progress(total, total)


def _restore_pepper(copy: Path, pepper_file: Path, source: Store) -> None:
    if not pepper_file.exists():
        if not copy.exists():
            raise StartupError(f"restore: the backup is without its pepper; put it where it was kept to {pepper_file}")
        pepper_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = pepper_file.with_name(f"{pepper_file.name}.restoring")
        _write(draft, copy.read_bytes())
        _move(draft, pepper_file)
    read_pepper(pepper_file, source.facts)  # that it is the right one


def _contents(store: Store) -> Iterator[Content]:
    after: bytes | None = None
    while some := store.images.contents(after=after, limit=_AT_A_TIME):
        yield from some
        after = some[-1].sha256


def _read(blobs: Blobs, content: Content) -> bytes | None:
    try:
        data = blobs.read(content.sha256)
    except BlobMissing:
        return None
    return data if hashlib.sha256(data).digest() == content.sha256 else None


def _copy_checked(file: Path, copy: Path, sha256: str) -> None:
    shutil.copyfile(file, copy)
    copy.chmod(0o600)
    if _sha256(copy) != sha256:
        raise StartupError(f"restore: {file} is damaged: its SHA-256 is not the one in {_MANIFEST}")


def _make_single(file: Path) -> None:
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
    finally:
        connection.close()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return sha256_of(stream).hex()


def _write(file: Path, content: bytes) -> None:
    with suppress(FileNotFoundError):
        file.unlink()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _move(file: Path, to: Path) -> None:
    file.replace(to)
    descriptor = os.open(to.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _url(file: Path) -> str:
    return f"sqlite://{quote(str(file.absolute()))}"
