"""Photos kept the way the server keeps them, without its network and models: bytes first, then rows; and taken away.

Run as a program it keeps and deletes photos until it is killed, and says what was acknowledged.
"""

from __future__ import annotations

import hashlib
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from stores import NOW, an_account

from tagwright_server.store.blobs import Blobs, FolderBlobs
from tagwright_server.store.checking import Findings, check
from tagwright_server.store.failpoints import AFTER_COMMIT, BEFORE_COMMIT, BLOB_SYNCED, failpoint
from tagwright_server.store.image_records import Content, Image, ImageFilter, ImageTag, TagSource, TagState, Visibility
from tagwright_server.store.records import Account
from tagwright_server.store.store import Store, open_store

STAYING = 12  # of the bytes that `work` keeps, so many are never deleted
LATER_S = NOW.timestamp() + 1e9  # when every file is old


def digest(data: bytes) -> bytes:
    """The SHA-256 of bytes."""
    return hashlib.sha256(data).digest()


def a_photo(owner: Account, data: bytes, **changes: Any) -> Image:
    """A photo that is not stored."""
    sha256 = digest(data)
    content = Content(sha256, len(data), "JPEG", 640, 480, int.from_bytes(sha256[:8], "big"))
    image = Image(uuid4().hex, owner.id, digest(b"sent " + data), content, Visibility.PRIVATE, NOW, NOW, "tagger@1")
    return replace(image, **changes)


def keep(store: Store, blobs: Blobs, owner: Account, data: bytes, **changes: Any) -> Image:
    """Keep a photo with two tags."""
    image = a_photo(owner, data, **changes)
    sha256 = image.content.sha256
    with blobs.put(sha256, data):
        failpoint(BLOB_SYNCED)
        with store.transaction():
            store.images.hold_content(sha256)
            if not blobs.exists(sha256):  # swept since
                with blobs.put(sha256, data):
                    pass
            stored = store.images.add(image)
            assert stored is not None
            tags = [ImageTag(name, TagState.SUGGESTED, TagSource.MODEL, 0.5, "tagger@1") for name in ("sky", "tree")]
            store.tags.write(stored.number, tags, ())
            store.images.put_embedding(sha256, "tagger@1", sha256)
            failpoint(BEFORE_COMMIT)
        failpoint(AFTER_COMMIT)
    return stored


def all_photos(store: Store) -> list[Image]:
    """Every photo there is."""
    return store.images.page(ImageFilter(), before=None, limit=1_000_000)


def checked(store: Store, blobs: FolderBlobs, **options: Any) -> Findings:
    """What is wrong with them, at a time when every file is old."""
    return check(store, blobs, now_s=LATER_S, **options)


def see_whole(store: Store, blobs: FolderBlobs) -> None:
    """Fail where a photo lacks its bytes, bytes lack their photo, or anything else is wrong."""
    findings = checked(store, blobs)
    assert findings.left == 0, findings
    assert findings.waiting == 0
    photos = all_photos(store)
    assert {photo.content.sha256 for photo in photos} == {blob.sha256 for blob in blobs.all()}
    for photo in photos:
        assert len(store.tags.of([photo.number])[photo.number]) == 2


def work(url: str, folder: Path, name: str) -> None:
    """Keep and delete photos for ever; say which, once each is acknowledged."""
    store, blobs = open_store(url), FolderBlobs(folder)
    owner = store.accounts.find(name) or an_account(name)
    if store.accounts.find(name) is None:
        store.accounts.add(owner, password_hash="")
    chance = random.Random(uuid4().int)
    print("ready", flush=True)
    mine: list[Image] = []
    while True:
        # From few different bytes, so that uploads, deletions and sweeps of the same ones meet.
        number = chance.randrange(STAYING + 6)
        data = b"shared %d" % number
        source = digest(b"sent " + data)
        if chance.random() < 0.4 and mine:
            image = mine.pop(chance.randrange(len(mine)))
            print("deleting", image.id, flush=True)
            store.images.delete(image.id)
        elif not store.images.find(owner.id, [source]):
            image = keep(store, blobs, owner, data)
            if number >= STAYING:
                mine.append(image)
            print("kept", image.id, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
