"""Bytes that no photo uses any more are removed: those of deleted photos, and those of uploads that came to nothing.

Run at the start of a server and every hour; beside uploads, other servers and backups. Whatever moment it is killed at,
the next run finds the rest: bytes go before their row does, and a mark goes after both.
"""

from __future__ import annotations

from dataclasses import dataclass

from tagwright_server.store.blobs import Blobs
from tagwright_server.store.store import Store

_AT_A_TIME = 500  # then a backup that waits gets its turn


@dataclass(frozen=True, slots=True)
class Swept:
    """What a run removed: bytes of uploads that came to nothing, and bytes that no photo used any more."""

    uploads: int = 0
    unused: int = 0


def sweep(store: Store, blobs: Blobs) -> Swept:
    """Remove what no photo uses; nothing where another sweeps or a backup is being made. Raises Busy."""
    uploads = unused = 0
    with blobs.sweeping() as alone:
        if not alone:
            return Swept()
        for mark in blobs.unsettled():
            uploads += _remove_if_unknown(store, blobs, mark.sha256)
            blobs.settle(mark)
    while True:
        with blobs.sweeping() as alone:
            found = store.images.unused_contents(limit=_AT_A_TIME) if alone else []
            removed = sum(_remove_if_unused(store, blobs, sha256) for sha256 in found)
        unused += removed
        if len(found) < _AT_A_TIME or not removed:
            return Swept(uploads, unused)


def _remove_if_unknown(store: Store, blobs: Blobs, sha256: bytes) -> bool:
    # An uploader that found the bytes and has no row yet waits here or comes later, and then puts them again.
    with store.transaction():
        store.images.hold_content(sha256)
        if store.images.contents_known([sha256]) or not blobs.exists(sha256):
            return False
        blobs.remove(sha256)
        return True


def _remove_if_unused(store: Store, blobs: Blobs, sha256: bytes) -> bool:
    with store.transaction():
        store.images.hold_content(sha256)
        if not store.images.drop_content(sha256):
            return False
        blobs.remove(sha256)  # before the commit: a row without bytes and without photos is found again, bytes are not
        return True
