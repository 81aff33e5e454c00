"""The disk of the photos is full: nothing is there in halves, what is stored can be read, room lets it go on."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from disks import MIB, fill, small_disk
from keeping import digest, keep, see_whole
from stores import added

from tagwright_server.errors import StorageFull
from tagwright_server.store import blobs as module
from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.store import open_store
from tagwright_server.store.sweeping import sweep

__all__ = ["small_disk"]
PHOTO = b"a photo " * 4096


def put(blobs: FolderBlobs, data: bytes = PHOTO) -> None:
    """Put bytes, as if a row used them."""
    with blobs.put(digest(data), data):
        pass


def files(blobs: FolderBlobs) -> list[Path]:
    """Every file in the folder."""
    return [path for path in blobs.folder.rglob("*") if path.is_file()]


class Full:
    """Stands in for the module `os`: one call fails as on a full disk, after it has done a part."""

    def __init__(self, call: str, code: int) -> None:
        self._call = call
        self._code = code

    def __getattr__(self, name: str) -> Any:
        return self._fail if name == self._call else getattr(os, name)

    def _fail(self, *arguments: Any, **options: Any) -> Any:
        if self._call == "write":
            os.write(arguments[0], arguments[1][:7])
        raise OSError(self._code, os.strerror(self._code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link"])
def test_a_full_disk_is_told_as_such_and_nothing_is_left_in_halves(
    call: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FolderBlobs(tmp_path)
    put(blobs, b"before")
    monkeypatch.setattr(module, "os", Full(call, code))
    with pytest.raises(StorageFull):
        put(blobs)
    monkeypatch.undo()
    assert blobs.read(digest(b"before")) == b"before"
    assert len(files(blobs)) == 1
    put(blobs)
    assert blobs.read(digest(PHOTO)) == PHOTO


@pytest.mark.parametrize("call", ["open", "write", "fsync", "link"])
def test_any_other_error_of_the_disk_stays_what_it_is(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FolderBlobs(tmp_path)
    monkeypatch.setattr(module, "os", Full(call, errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        put(blobs)
    monkeypatch.undo()
    assert files(blobs) == []


def test_bytes_whose_name_may_not_be_on_disk_keep_their_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FolderBlobs(tmp_path)

    def fail(folder: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module, "_sync_folder", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        put(blobs)
    monkeypatch.undo()
    assert [mark.sha256 for mark in blobs.unsettled()] == [digest(PHOTO)]


def test_photos_on_a_disk_that_gets_full(small_disk: Path) -> None:
    blobs = FolderBlobs(small_disk / "photos")
    store = open_store(f"sqlite://{small_disk}/store.db")
    [ada] = added(store, "Ada")
    make_room = fill(small_disk, but_bytes=2 * MIB).unlink
    kept: list[bytes] = []

    def keep_more() -> None:
        for i in range(1000):
            data = b"%d " % i + PHOTO
            keep(store, blobs, ada, data)
            kept.append(data)

    with pytest.raises(StorageFull):
        keep_more()
    assert len(kept) > 5
    for data in kept:
        assert blobs.read(digest(data)) == data
    make_room()
    sweep(store, blobs)
    see_whole(store, blobs)
    keep(store, blobs, ada, b"life goes on")
    see_whole(store, blobs)
    store.close()
