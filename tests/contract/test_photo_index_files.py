"""What the photo index promises of its file: it only ever saves time; whatever becomes of it, nothing is lost."""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_rows import MODEL, SHARED
from indexed import SIZE, a_vector, expected, indexed, typed
from stores import HOUR, OnPostgres, OnSqlite, added

from tagwright_server.clock import SystemClock
from tagwright_server.store.changes import KEPT_FOR
from tagwright_server.store.image_records import Image
from tagwright_server.store.photo_index import PhotoIndex, rebuild, wrong_indexes
from tagwright_server.store.store import Store, open_store

Q = a_vector(0)


class FilesContract:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "data" / "index"

    @pytest.fixture
    def opened(self, store: Store, folder: Path) -> Callable[[], PhotoIndex]:
        return lambda: PhotoIndex(store, MODEL, SIZE, folder)

    @pytest.fixture
    def images(self, store: Store) -> list[Image]:
        """Eight photos, one of them with an id that is none of ours."""
        ada, bob = added(store, "Ada", "Bob")
        images = [
            indexed(store, ada, a_vector(n), typed("sea"), typed(f"tag {n} 🦜", 1), author=f"author {n % 3}")
            for n in range(5)
        ]
        images.append(indexed(store, bob, a_vector(6), visibility=SHARED, id="an odd id"))
        images.append(indexed(store, bob, a_vector(7), id="AB" * 16))
        return [*images, indexed(store, bob, a_vector(8), id="é")]

    @pytest.fixture
    def file(self, opened: Callable[[], PhotoIndex], images: list[Image], folder: Path) -> Path:
        """The file of an index of these photos."""
        opened().close()
        [file] = folder.iterdir()
        return file

    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Notes each time when the whole database is read."""
        noted: list[str] = []
        whole = PhotoIndex._read_anew

        def read_anew(index: PhotoIndex) -> object:
            noted.append("read anew")
            return whole(index)

        monkeypatch.setattr(PhotoIndex, "_read_anew", read_anew)
        return noted

    def see(self, store: Store, index: PhotoIndex) -> None:
        """Fail where it does not find what is there."""
        bob = store.accounts.find("Bob")
        for viewer in (None, bob):
            seen_by = None if viewer is None else viewer.id
            expected(store, Q, viewer).see(index.neighbours(Q, limit=1000, visible_to=seen_by))
            assert index.count(visible_to=seen_by) == len(expected(store, Q, viewer).rows)

    def test_it_starts_from_its_file_and_reads_what_changed_since(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, images: list[Image], reads: list[str]
    ) -> None:
        self.see(store, opened())
        store.images.delete(images[0].id)
        store.images.delete(images[-1].id)
        store.tags.rename("sea", "ocean")
        carl = added(store, "Carl")[0]
        indexed(store, carl, a_vector(20), typed("new"))
        self.see(store, opened())
        assert reads == []

    def test_what_was_committed_and_not_caught_up_with_before_a_kill_is_there_after_it(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, reads: list[str]
    ) -> None:
        killed = opened()
        indexed(store, added(store, "Carl")[0], a_vector(30))
        del killed  # without close
        self.see(store, opened())
        assert reads == []

    def test_nobody_else_can_read_it(self, file: Path) -> None:
        assert file.stat().st_mode & 0o077 == 0
        assert file.parent.stat().st_mode & 0o077 == 0

    def test_without_a_file_it_is_made_from_the_database(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, reads: list[str], caplog: Any
    ) -> None:
        file.unlink()
        with caplog.at_level(logging.INFO):
            self.see(store, opened())
        assert reads == ["read anew"]
        assert f"the index of {MODEL} is made from the database: there is no file of it" in caplog.text

    @pytest.mark.parametrize("place", [0, 10, 24, 31, 40, 400, -1, -40, -400])
    def test_a_file_with_one_wrong_byte_is_not_used(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, reads: list[str], place: int
    ) -> None:
        content = bytearray(file.read_bytes())
        content[place] ^= 0x10
        file.write_bytes(content)
        self.see(store, opened())
        assert reads == ["read anew"]

    @pytest.mark.parametrize("length", [0, 5, 24, 30, 100, -1, -33])
    def test_a_file_that_ends_too_early_is_not_used(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, reads: list[str], length: int
    ) -> None:
        file.write_bytes(file.read_bytes()[:length])
        index = opened()
        self.see(store, index)
        assert reads == ["read anew"]
        index.close()
        self.see(store, opened())
        assert reads == ["read anew"]

    def test_a_file_with_something_behind_it_is_not_used(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, reads: list[str]
    ) -> None:
        file.write_bytes(file.read_bytes() + b"\0")
        self.see(store, opened())
        assert reads == ["read anew"]

    def test_a_file_that_cannot_be_read_is_not_used(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, reads: list[str]
    ) -> None:
        file.unlink()
        file.mkdir()
        index = opened()
        self.see(store, index)
        index.close()  # which cannot be, and says so
        assert reads == ["read anew"]

    def test_a_file_of_another_database_is_not_used(self, file: Path, tmp_path: Path, reads: list[str]) -> None:
        with closing(open_store(f"sqlite://{tmp_path}/other.sqlite3")) as other:
            dora, bob = added(other, "Dora", "Bob")
            for n in range(20):
                indexed(other, (dora, bob)[n % 2], a_vector(100 + n))
            self.see(other, PhotoIndex(other, MODEL, SIZE, file.parent))
        assert reads == ["read anew"]

    def test_a_file_of_another_model_is_not_used(
        self, store: Store, file: Path, folder: Path, reads: list[str]
    ) -> None:
        shutil.copy(file, folder / "other@1.photos")
        assert PhotoIndex(store, "other@1", SIZE, folder).size == 0
        assert PhotoIndex(store, MODEL, SIZE + 1, folder).size == 0
        assert reads == ["read anew"] * 2

    def test_a_file_older_than_the_feed_of_changes_is_not_used(self, url: str, folder: Path, reads: list[str]) -> None:
        class Turned(SystemClock):
            ahead = 0 * HOUR

            def now(self) -> Any:
                return super().now() + self.ahead

        clock = Turned()
        with closing(open_store(url, clock=clock)) as store:
            ada, _ = added(store, "Ada", "Bob")
            indexed(store, ada, a_vector(1))
            PhotoIndex(store, MODEL, SIZE, folder).close()
            reads.clear()
            indexed(store, ada, a_vector(2))
            clock.ahead += HOUR
            indexed(store, ada, a_vector(3))
            clock.ahead += KEPT_FOR
            indexed(store, ada, a_vector(4))
            store.changes.prune()
            self.see(store, PhotoIndex(store, MODEL, SIZE, folder))
            assert reads == ["read anew"]

    def test_a_file_is_written_again_only_where_something_is_new(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path
    ) -> None:
        before = file.stat().st_ino
        index = opened()
        index.save()
        index.catch_up()
        index.save()
        assert file.stat().st_ino == before
        indexed(store, added(store, "Carl")[0], a_vector(30))
        index.catch_up()
        index.save()
        assert file.stat().st_ino != before

    def test_where_two_processes_save_at_once_one_of_them_does(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, images: list[Image]
    ) -> None:
        before = file.read_bytes()
        with file.with_name(file.name + ".partial").open("wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            index = opened()
            store.images.delete(images[0].id)
            index.catch_up()
            index.save()
            assert file.read_bytes() == before

    def test_a_file_that_was_left_half_written_is_no_obstacle(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, images: list[Image], reads: list[str]
    ) -> None:
        partial = file.with_name(file.name + ".partial")
        partial.write_bytes(b"x" * 1_000_000)
        index = opened()
        store.images.delete(images[0].id)
        index.catch_up()
        index.save()
        assert not partial.exists()
        self.see(store, opened())
        assert reads == []

    def test_a_right_file_agrees_with_the_database(
        self, store: Store, file: Path, folder: Path, images: list[Image]
    ) -> None:
        assert wrong_indexes(store, folder) == []
        store.images.delete(images[0].id)  # the file is behind, which is no fault
        assert wrong_indexes(store, folder) == []

    def test_a_file_that_is_damaged_or_says_something_else_is_told(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, folder: Path, images: list[Image]
    ) -> None:
        index = opened()
        number = images[2].number
        index._library.apply(number, None)
        index._library.photos.change(0, index._reading.photos([images[1].number])[0])
        index._saved = None
        index.save()
        [wrong] = wrong_indexes(store, folder)
        assert wrong.file == file
        assert "photos are not as the database has them" in wrong.why
        file.write_bytes(file.read_bytes()[:-1])
        [wrong] = wrong_indexes(store, folder)
        assert wrong.why

    def test_making_them_anew_mends_files_and_servers_that_run(
        self, store: Store, opened: Callable[[], PhotoIndex], file: Path, folder: Path, images: list[Image]
    ) -> None:
        running = opened()
        running._library.apply(images[0].number, None)
        running._saved = None
        running.save()
        assert len(wrong_indexes(store, folder)) == 1
        said: list[tuple[str, int]] = []
        rebuild(store, folder, said=lambda model, size: said.append((model, size)))
        assert said == [(MODEL, len(images))]
        assert wrong_indexes(store, folder) == []
        running.catch_up()
        self.see(store, running)
        self.see(store, opened())

    def test_making_them_anew_removes_those_of_which_nothing_is_left(
        self, store: Store, file: Path, folder: Path
    ) -> None:
        shutil.copy(file, folder / "gone@1.photos")
        rebuild(store, folder, said=lambda *_: None)
        assert list(folder.iterdir()) == [file]

    def test_vectors_come_back_from_the_file_to_the_bit(
        self, opened: Callable[[], PhotoIndex], file: Path, store: Store, folder: Path
    ) -> None:
        def vectors(index: PhotoIndex) -> bytes:
            return np.concatenate([some.vectors for some in index.entries()]).tobytes()

        from_file = vectors(opened())
        file.unlink()
        assert vectors(opened()) == from_file


class TestFilesOnSqlite(OnSqlite, FilesContract):
    pass


class TestFilesOnPostgres(OnPostgres, FilesContract):
    pass
