"""A backup is made while photos are kept, deleted and swept: it is whole, and holds what was acknowledged before it."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from keeping import all_photos, see_whole
from photo_workers import working
from stores import NOW, PATIENCE_S, OnPostgres, OnSqlite

from tagwright_server.store.backup import back_up, restore
from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.pepper import read_pepper
from tagwright_server.store.store import Store, open_store
from tagwright_server.store.sweeping import sweep

ROUNDS = 2


class BesideWritersContract:
    def test_a_backup_made_beside_writers_is_whole(self, url: str, tmp_path: Path, store: Store) -> None:
        blobs = FolderBlobs(tmp_path / "photos")
        read_pepper(tmp_path / "pepper", store.facts)
        done = threading.Event()

        def sweep_all_the_time() -> None:
            while not done.is_set():
                sweep(store, blobs)

        sweeper = threading.Thread(target=sweep_all_the_time)
        sweeper.start()
        try:
            with working(url, blobs.folder, "Ada") as first, working(url, blobs.folder, "Bob") as second:
                for turn in range(ROUNDS):
                    for worker in (first, second):
                        worker.hear(40)
                    kept = first.kept | second.kept
                    folder = tmp_path / "backup"
                    back_up(store, blobs, tmp_path / "pepper", folder, at=NOW, version="1", progress=lambda *_: None)
                    for worker in (first, second):  # what they had begun to delete by the end of it
                        worker.hear_so_far()
                    self._see_restored(folder, tmp_path / f"restored {turn}", kept - first.deleting - second.deleting)
        finally:
            done.set()
            sweeper.join(PATIENCE_S)
        sweep(store, blobs)
        see_whole(store, blobs)

    @staticmethod
    def _see_restored(backup: Path, folder: Path, acknowledged: set[str]) -> None:
        url, blobs = f"sqlite://{folder}/store.db", FolderBlobs(folder / "photos")
        restore(backup, url, blobs, folder / "pepper", folder / "scratch", progress=lambda *_: None)
        with closing(open_store(url)) as copy:
            see_whole(copy, blobs)
            assert acknowledged <= {photo.id for photo in all_photos(copy)}
            assert len(acknowledged) > 5


class TestBesideWritersOnSqlite(OnSqlite, BesideWritersContract):
    pass


class TestBesideWritersOnPostgres(OnPostgres, BesideWritersContract):
    pass
