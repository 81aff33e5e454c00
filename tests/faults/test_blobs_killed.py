"""Servers that keep and delete photos are killed: no photo without its bytes, and, once swept, no bytes without one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import keeping
import pytest
from keeping import all_photos, checked, see_whole
from stores import PATIENCE_S, OnPostgres, OnSqlite

from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.failpoints import NAMES, VARIABLE
from tagwright_server.store.store import open_store
from tagwright_server.store.sweeping import sweep

ROUNDS = 4


class Worker:
    """A process that keeps and deletes photos, and what it said was done."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.kept: set[str] = set()
        self.deleting: set[str] = set()

    def hear(self, lines: int = sys.maxsize) -> None:
        """Take in what it says, so many lines or until its end."""
        assert self.process.stdout is not None
        for _ in range(lines):
            line = self.process.stdout.readline()
            if not line.endswith("\n"):
                return
            what, _, id = line.rstrip().partition(" ")
            (self.kept if what == "kept" else self.deleting).add(id)


@contextmanager
def working(url: str, folder: Path, name: str, **environment: str) -> Iterator[Worker]:
    """Have such a process; it is gone after the block."""
    command = [sys.executable, keeping.__file__, url, str(folder), name]
    paths = {"PYTHONPATH": str(Path(keeping.__file__).parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | paths | environment) as process:
        worker = Worker(process)
        try:
            worker.hear(1)
            yield worker
        finally:
            process.kill()
            worker.hear()
            process.wait(PATIENCE_S)


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
                first.hear(chance.randrange(20, 80))
                first.process.kill()
                for _ in range(8):
                    sweep(store, blobs)  # beside the other one, whose uploads are not to be taken away
                    second.hear(5)
            kept |= first.kept | second.kept
            deleting |= first.deleting | second.deleting
        store = open_store(url)
        assert checked(store, blobs).lost == []
        sweep(store, blobs)
        see_whole(store, blobs)
        stored = {photo.id for photo in all_photos(store)}
        assert kept - deleting <= stored
        assert len(kept) > 20 * ROUNDS
        store.close()

    @pytest.mark.parametrize("name", NAMES)
    def test_a_server_is_killed_at_a_named_moment(self, name: str, url: str, tmp_path: Path) -> None:
        blobs = FolderBlobs(tmp_path / "photos")
        with working(url, blobs.folder, "Ada", **{VARIABLE: f"{name}:7"}) as worker:
            worker.hear()
            assert worker.process.wait(PATIENCE_S) == -9
        store = open_store(url)
        assert len(worker.kept) >= 6
        assert checked(store, blobs).waiting >= 1
        assert checked(store, blobs).left == 0
        sweep(store, blobs)
        see_whole(store, blobs)
        unsaid = {photo.id for photo in all_photos(store)} - worker.kept
        assert len(unsaid) == (name == "after-commit")
        store.close()


class TestBlobsKilledOnSqlite(OnSqlite, BlobsKilledContract):
    pass


class TestBlobsKilledOnPostgres(OnPostgres, BlobsKilledContract):
    pass
