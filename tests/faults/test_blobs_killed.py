"""Servers that keep and delete photos are killed: no photo without its bytes, and, once swept, no bytes without one."""

from __future__ import annotations

import random
import signal
from contextlib import closing
from pathlib import Path

import pytest
from keeping import all_photos, checked, see_whole
from photo_workers import working
from stores import OnPostgres, OnSqlite

from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.failpoints import AFTER_COMMIT, NAMES, VARIABLE
from tagwright_server.store.store import open_store
from tagwright_server.store.sweeping import sweep

ROUNDS = 3


class BlobsKilledContract:
    def test_two_servers_are_killed_at_any_moment(self, url: str, tmp_path: Path) -> None:
        chance = random.Random(5)
        blobs = FolderBlobs(tmp_path / "photos")
        kept: set[str] = set()
        deleting: set[str] = set()
        for _ in range(ROUNDS):
            with (
                working(url, blobs.folder, "Ada") as first,
                working(url, blobs.folder, "Bob") as second,
                closing(open_store(url)) as store,
            ):
                first.hear(chance.randrange(20, 60))
                first.process.kill()
                first.end()
                for _ in range(100):
                    sweep(store, blobs)  # beside the other one, whose uploads are not to be taken away
                    second.hear(1)
            kept |= first.kept | second.kept
            deleting |= first.deleting | second.deleting
        with closing(open_store(url)) as store:
            assert checked(store, blobs).lost == []
            sweep(store, blobs)
            see_whole(store, blobs)
            stored = {photo.id for photo in all_photos(store)}
        assert kept - deleting <= stored
        assert len(kept) > 20 * ROUNDS

    @pytest.mark.parametrize("name", NAMES)
    def test_a_server_is_killed_at_a_named_moment(self, name: str, url: str, tmp_path: Path) -> None:
        blobs = FolderBlobs(tmp_path / "photos")
        with working(url, blobs.folder, "Ada", **{VARIABLE: f"{name}:7"}) as worker:
            assert worker.end() == -signal.SIGKILL
        assert len(worker.kept) == 6
        with closing(open_store(url)) as store:
            assert checked(store, blobs).waiting >= 1
            assert checked(store, blobs).left == 0
            sweep(store, blobs)
            see_whole(store, blobs)
            unsaid = {photo.id for photo in all_photos(store)} - worker.kept
        assert len(unsaid) == (name == AFTER_COMMIT)


class TestBlobsKilledOnSqlite(OnSqlite, BlobsKilledContract):
    pass


class TestBlobsKilledOnPostgres(OnPostgres, BlobsKilledContract):
    pass
