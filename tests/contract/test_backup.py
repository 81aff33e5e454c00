"""What a backup promises: everything of one moment, restorable into either kind of database, or refused in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import postgres
import pytest
from keeping import all_photos, digest, keep, see_whole
from stores import NOW, OnPostgres, OnSqlite, a_key, a_session, added, an_event

from tagwright_server.errors import StartupError
from tagwright_server.store.backup import Manifest, back_up, read_manifest, restore
from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.copying import snapshot
from tagwright_server.store.database import Row
from tagwright_server.store.models import COPIED
from tagwright_server.store.pepper import read_pepper
from tagwright_server.store.store import Store, open_store


def quiet(done: int, total: int) -> None:
    """Tell nobody how far it is."""


class Place:
    """A data folder, with the database of a URL."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.blobs = FolderBlobs(folder / "photos")
        self.pepper = folder / "pepper"
        self.scratch = folder / "restoring"

    def back_up(self, store: Store, to: Path) -> Manifest:
        """Back it up."""
        read_pepper(self.pepper, store.facts)
        return back_up(store, self.blobs, self.pepper, to, at=NOW, version="1", progress=quiet)

    def restore(self, source: Path) -> Manifest:
        """Restore into it."""
        return restore(source, self.url, self.blobs, self.pepper, self.scratch, progress=quiet)


def filled(store: Store, blobs: FolderBlobs) -> None:
    """Put something into every table."""
    ada, bob = added(store, "Ada", "Bob")
    store.sessions.add(a_session(ada))
    store.api_keys.add(a_key(bob))
    for i in range(3):
        store.audit.add(an_event(details={"text": f"Grüße {i} \x01"}))
        keep(store, blobs, ada, b"photo %d" % i, file_name=f"ü{i}.jpg", captured=NOW)
    keep(store, blobs, bob, b"photo 1")
    store.images.delete(keep(store, blobs, bob, b"deleted").id)
    store.tags.rename("sky", "heaven")  # the alias comes before what it stands for
    store.tags.set_rules("oak", aliases=(), parents=("tree",))


def content(store: Store) -> dict[str, list[Row]]:
    """Every row of every table, but for contents that no photo uses, and booleans as numbers."""
    with snapshot(store.database) as tables:
        rows = {table.__name__: [row for some in tables.rows(table) for row in some] for table in COPIED}
    used = {row[4] for row in rows["ImageRow"]}
    rows["ContentRow"] = [row for row in rows["ContentRow"] if row[0] in used]
    rows["EmbeddingRow"] = [row for row in rows["EmbeddingRow"] if row[0] in used]
    return {name: sorted(tuple(map(plain, row)) for row in some) for name, some in rows.items()}


def plain(value: object) -> object:
    """A value that can be sorted beside None, the same from every driver."""
    return (value is not None, int(value) if isinstance(value, bool) else "" if value is None else value)


@pytest.fixture
def other_sqlite(tmp_path: Path) -> Place:
    return Place(tmp_path / "other", f"sqlite://{tmp_path}/other/tagwright.sqlite3")


@pytest.fixture
def other_postgres(tmp_path: Path) -> Iterator[Place]:
    server = postgres.server()
    name = server.create()
    yield Place(tmp_path / "elsewhere", server.url(name))
    server.drop(name)


class BackupContract:
    @pytest.fixture
    def place(self, tmp_path: Path, url: str) -> Place:
        return Place(tmp_path / "data", url)

    @pytest.fixture
    def backup(self, tmp_path: Path, store: Store, place: Place) -> Path:
        filled(store, place.blobs)
        place.back_up(store, tmp_path / "backup")
        return tmp_path / "backup"

    @pytest.mark.parametrize("other", ["other_sqlite", pytest.param("other_postgres", marks=postgres.needs_postgres)])
    def test_what_is_restored_is_what_was_backed_up(
        self, other: str, store: Store, place: Place, backup: Path, request: pytest.FixtureRequest
    ) -> None:
        restored: Place = request.getfixturevalue(other)
        manifest = restored.restore(backup)
        assert manifest.rows["image"] == 4
        assert manifest.lacking == []
        with closing(open_store(restored.url)) as copy:
            assert content(copy) == content(store)
            assert read_pepper(restored.pepper, copy.facts) == read_pepper(place.pepper, store.facts)
            see_whole(copy, restored.blobs)
        assert not restored.scratch.exists()

    @pytest.mark.parametrize("other", ["other_sqlite", pytest.param("other_postgres", marks=postgres.needs_postgres)])
    def test_numbers_go_on_where_they_were(
        self, other: str, store: Store, place: Place, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        filled(store, place.blobs)
        last_event = store.audit.add(an_event())
        with store.transaction():  # the last number of a photo, of one that is gone again
            last_photo = keep(store, place.blobs, added(store, "Carl")[0], b"gone again")
            store.images.delete(last_photo.id)
        place.back_up(store, tmp_path / "backup")
        restored: Place = request.getfixturevalue(other)
        restored.restore(tmp_path / "backup")
        with closing(open_store(restored.url)) as copy:
            [dora] = added(copy, "Dora")
            assert copy.audit.add(an_event()).id > last_event.id
            assert keep(copy, restored.blobs, dora, b"new").number > last_photo.number
            copy.tags.set_rules("new tag", aliases=(), parents=())

    def test_the_same_folder_again_takes_what_is_new_and_drops_what_was_deleted(
        self, store: Store, place: Place, backup: Path, other_sqlite: Place
    ) -> None:
        copies = FolderBlobs(backup / "photos")
        before = {blob.sha256: blob.written_s for blob in copies.all()}
        assert digest(b"deleted") not in before
        ada = store.accounts.find("Ada")
        assert ada is not None
        [gone] = [photo for photo in all_photos(store) if photo.content.sha256 == digest(b"photo 2")]
        store.images.delete(gone.id)
        keep(store, place.blobs, ada, b"new")
        place.back_up(store, backup)
        after = {blob.sha256: blob.written_s for blob in copies.all()}
        assert before.keys() - after.keys() == {digest(b"photo 2")}
        assert after.keys() - before.keys() == {digest(b"new")}
        assert all(before[sha256] == after[sha256] for sha256 in before.keys() & after.keys())
        assert len(list(backup.glob("database-*"))) == 1
        other_sqlite.restore(backup)
        with closing(open_store(other_sqlite.url)) as copy:
            assert content(copy) == content(store)

    def test_one_that_was_broken_off_is_no_backup_until_it_is_made_again(
        self, store: Store, place: Place, tmp_path: Path, other_sqlite: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        filled(store, place.blobs)
        self._break_off(lambda: place.back_up(store, tmp_path / "backup"), place.blobs, monkeypatch)
        with pytest.raises(StartupError, match="holds no backup that was finished"):
            other_sqlite.restore(tmp_path / "backup")
        place.back_up(store, tmp_path / "backup")
        other_sqlite.restore(tmp_path / "backup")
        with closing(open_store(other_sqlite.url)) as copy:
            see_whole(copy, other_sqlite.blobs)

    def test_an_earlier_one_stands_until_a_later_one_is_whole(
        self,
        store: Store,
        place: Place,
        backup: Path,
        other_sqlite: Place,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        before = content(store)
        [ada] = added(store, "Carl")
        for i in range(3):
            keep(store, place.blobs, ada, b"later %d" % i)
        self._break_off(lambda: place.back_up(store, backup), place.blobs, monkeypatch)
        other_sqlite.restore(backup)
        with closing(open_store(other_sqlite.url)) as copy:
            assert content(copy) == before

    def test_a_restore_that_was_broken_off_is_done_again(
        self, backup: Path, other_sqlite: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._break_off(lambda: other_sqlite.restore(backup), other_sqlite.blobs, monkeypatch)
        with closing(open_store(other_sqlite.url)) as copy:
            assert not copy.accounts.any()
        other_sqlite.restore(backup)
        with closing(open_store(other_sqlite.url)) as copy:
            see_whole(copy, other_sqlite.blobs)

    def test_nothing_is_restored_over_what_is_in_use(self, store: Store, place: Place, backup: Path) -> None:
        before = content(store)
        with pytest.raises(StartupError, match="in use already; restore into an empty one"):
            place.restore(backup)
        assert content(store) == before

    def test_bytes_that_the_server_lacks_are_told_and_the_rest_is_saved(
        self, store: Store, place: Place, tmp_path: Path, other_sqlite: Place
    ) -> None:
        filled(store, place.blobs)
        place.blobs.remove(digest(b"photo 1"))
        damage(place.blobs, b"photo 2")
        manifest = place.back_up(store, tmp_path / "backup")
        assert sorted(manifest.lacking) == sorted([digest(b"photo 1").hex(), digest(b"photo 2").hex()])
        assert other_sqlite.restore(tmp_path / "backup") == manifest
        assert [blob.sha256 for blob in other_sqlite.blobs.all()] == [digest(b"photo 0")]

    def test_two_into_one_folder_at_once_are_refused(self, store: Store, place: Place, backup: Path) -> None:
        with (
            FolderBlobs(backup / "photos").sweeping(),
            pytest.raises(StartupError, match="another one into"),
        ):
            place.back_up(store, backup)

    @staticmethod
    def _break_off(do: Callable[[], object], blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
        reads = iter([blobs.read])

        def read_once(sha256: bytes) -> bytes:
            for read in reads:
                return read(sha256)
            raise KeyboardInterrupt

        monkeypatch.setattr(blobs, "read", read_once)
        with pytest.raises(KeyboardInterrupt):
            do()
        monkeypatch.undo()


class TestBackupOfSqlite(OnSqlite, BackupContract):
    def test_a_damaged_backup_is_refused_and_nothing_is_restored(self, backup: Path, other_sqlite: Place) -> None:
        [database] = backup.glob("database-*")
        manifest = backup / "manifest.json"
        kept = FolderBlobs(backup / "photos")
        pristine = {path: path.read_bytes() for path in backup.rglob("*") if path.is_file()}
        for change, said in (
            (lambda: database.write_bytes(b"x" + database.read_bytes()[1:]), "is damaged: its SHA-256"),
            (database.unlink, "No such file"),
            (lambda: damage(kept, b"photo 1"), f"{digest(b'photo 1').hex()} is missing or damaged"),
            (lambda: kept.remove(digest(b"photo 1")), f"{digest(b'photo 1').hex()} is missing or damaged"),
            (lambda: manifest.write_text("{}"), "cannot be read; it is damaged"),
            (lambda: manifest.write_text("[1"), "cannot be read; it is damaged"),
            (lambda: rewrite(manifest, format=2), "has a form that this version does not know"),
            (lambda: rewrite(manifest, database="../database"), "has a form that this version does not know"),
            ((backup / "pepper").unlink, "without its pepper"),
            (lambda: (backup / "pepper").write_text("00" * 32), "is not the pepper that this database was used with"),
        ):
            change()
            with pytest.raises(StartupError, match=said):
                other_sqlite.restore(backup)
            other_sqlite.pepper.unlink(missing_ok=True)
            with closing(open_store(other_sqlite.url)) as copy:
                assert not copy.accounts.any()
            for path, whole in pristine.items():
                path.write_bytes(whole)
        other_sqlite.restore(backup)

    def test_a_backup_of_a_newer_version_is_refused(self, backup: Path, other_sqlite: Place) -> None:
        [database] = backup.glob("database-*")
        with closing(open_store(f"sqlite://{database}")) as store, store.database.starting() as queries:
            queries.execute_sql("INSERT INTO schema_migration (name, applied) VALUES ('9999_new', '2030-01-01')")
        manifest = read_manifest(backup)
        sha256 = hashlib.sha256(database.read_bytes()).hexdigest()
        rewrite(backup / "manifest.json", database_sha256=sha256)
        assert replace(manifest, database_sha256=sha256) == read_manifest(backup)
        with pytest.raises(StartupError, match="written by a newer Tagwright"):
            other_sqlite.restore(backup)

    def test_nobody_else_can_read_it(self, backup: Path) -> None:
        for path in backup.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0

    def test_a_pepper_that_is_kept_apart_is_taken_where_it_lies(
        self, place: Place, backup: Path, other_sqlite: Place
    ) -> None:
        (backup / "pepper").rename(other_sqlite.pepper)
        other_sqlite.restore(backup)
        assert other_sqlite.pepper.read_bytes() == place.pepper.read_bytes()


class TestBackupOfPostgres(OnPostgres, BackupContract):
    pass


def damage(blobs: FolderBlobs, data: bytes) -> None:
    """Change a byte of a photo where it lies."""
    name = digest(data).hex()
    (blobs.folder / name[:2] / name).write_bytes(b"X" + data[1:])


def rewrite(manifest: Path, **changes: object) -> None:
    """Change what a manifest says."""
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))
