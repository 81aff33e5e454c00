"""What checking promises: every fault is found and told, nothing that is in progress is one, repair does no harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from keeping import LATER_S, a_photo, checked, digest, keep, see_whole
from stores import OnPostgres, OnSqlite, added

from tagwright_server.store.blobs import Blob, FolderBlobs
from tagwright_server.store.checking import Findings, Lost, check
from tagwright_server.store.models import UsageRow
from tagwright_server.store.records import Account
from tagwright_server.store.sqlite import file_of
from tagwright_server.store.store import Store, open_store

PHOTO = b"the bytes of a photo"


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "photos")


@pytest.fixture
def ada(store: Store) -> Account:
    return added(store, "Ada")[0]


def at(blobs: FolderBlobs, data: bytes) -> Path:
    """Where bytes lie."""
    name = digest(data).hex()
    return blobs.folder / name[:2] / name


def orphan(blobs: FolderBlobs, data: bytes = PHOTO) -> str:
    """Put bytes that no row will use, as a power cut can leave them; return their digest."""
    with blobs.put(digest(data), data):
        pass
    return digest(data).hex()


class CheckingContract:
    def test_what_is_whole_has_no_findings(self, store: Store, blobs: FolderBlobs, ada: Account) -> None:
        assert checked(store, blobs) == Findings()
        keep(store, blobs, ada, PHOTO)
        keep(store, blobs, added(store, "Bob")[0], PHOTO)
        findings = checked(store, blobs)
        assert findings == Findings(contents=1, blobs=1, blobs_bytes=len(PHOTO))
        assert findings.left == 0

    def test_photos_whose_bytes_are_missing_are_named_with_their_owners(
        self, store: Store, blobs: FolderBlobs, ada: Account
    ) -> None:
        photos = [keep(store, blobs, owner, PHOTO) for owner in (ada, *added(store, "Bob"))]
        at(blobs, PHOTO).unlink()
        for repair in (False, True):
            findings = checked(store, blobs, quick=True, repair=repair)
            assert findings.lost == [
                Lost(photos[0].id, "Ada", "missing"),
                Lost(photos[1].id, "Bob", "missing"),
            ]
            assert findings.left == 2

    def test_bytes_that_were_cut_short_are_found_even_quickly(
        self, store: Store, blobs: FolderBlobs, ada: Account
    ) -> None:
        photo = keep(store, blobs, ada, PHOTO)
        at(blobs, PHOTO).write_bytes(PHOTO[:7])
        lost = [Lost(photo.id, "Ada", f"7 bytes instead of {len(PHOTO)}")]
        assert checked(store, blobs, quick=True).lost == lost
        assert checked(store, blobs).lost == lost

    def test_bytes_that_were_changed_are_found_by_reading_them(
        self, store: Store, blobs: FolderBlobs, ada: Account
    ) -> None:
        photo = keep(store, blobs, ada, PHOTO)
        at(blobs, PHOTO).write_bytes(PHOTO.upper())
        assert checked(store, blobs, quick=True).lost == []
        assert checked(store, blobs).lost == [Lost(photo.id, "Ada", "damaged")]

    def test_bytes_without_a_photo_are_found_and_removed_once_they_are_old(
        self, store: Store, blobs: FolderBlobs, ada: Account
    ) -> None:
        keep(store, blobs, ada, b"a photo")
        name = orphan(blobs)
        [written_s] = [blob.written_s for blob in blobs.all() if blob.sha256 == digest(PHOTO)]
        assert checked(store, blobs).orphans == [name]
        young = check(store, blobs, repair=True, now_s=written_s + 3599)
        assert (young.orphans, young.orphans_removed, young.left) == ([name], 0, 1)
        old = check(store, blobs, repair=True, now_s=written_s + 3601)
        assert (old.orphans, old.orphans_removed, old.left) == ([name], 1, 0)
        see_whole(store, blobs)

    def test_an_upload_in_progress_is_no_finding(self, store: Store, blobs: FolderBlobs, ada: Account) -> None:
        with blobs.put(digest(PHOTO), PHOTO):
            assert checked(store, blobs, repair=True).left == 0
            with store.transaction():
                store.images.add(a_photo(ada, PHOTO))
        assert checked(store, blobs).left == 0

    def test_an_upload_that_ends_while_it_is_looked_at_is_no_finding(
        self, store: Store, blobs: FolderBlobs, ada: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orphan(blobs)
        marked = blobs.marked

        def row_comes(sha256: bytes) -> bool:
            monkeypatch.undo()
            keep(store, blobs, ada, PHOTO)
            return marked(sha256)

        monkeypatch.setattr(blobs, "marked", row_comes)
        assert checked(store, blobs, repair=True).left == 0
        see_whole(store, blobs)

    def test_a_photo_that_is_deleted_while_it_is_looked_at_is_no_finding(
        self, store: Store, blobs: FolderBlobs, ada: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        photo = keep(store, blobs, ada, PHOTO)
        size = blobs.size

        def deleted_and_swept(sha256: bytes) -> int | None:
            monkeypatch.undo()
            store.images.delete(photo.id)
            blobs.remove(sha256)
            return size(sha256)

        monkeypatch.setattr(blobs, "size", deleted_and_swept)
        assert checked(store, blobs).left == 0

    def test_what_waits_to_be_swept_is_counted_and_no_fault(
        self, store: Store, blobs: FolderBlobs, ada: Account
    ) -> None:
        store.images.delete(keep(store, blobs, ada, b"deleted").id)
        with pytest.raises(KeyboardInterrupt), blobs.put(digest(PHOTO), PHOTO):
            raise KeyboardInterrupt
        findings = checked(store, blobs, repair=True)
        assert (findings.waiting, findings.left) == (2, 0)
        assert blobs.exists(digest(PHOTO))

    def test_files_that_are_not_ours_are_told_and_never_removed(self, store: Store, blobs: FolderBlobs) -> None:
        (blobs.folder / "ab" / "notes.txt").write_text("mine")
        findings = checked(store, blobs, repair=True)
        assert findings.strays == ["ab/notes.txt"]
        assert findings.left == 1
        assert (blobs.folder / "ab" / "notes.txt").exists()

    @pytest.mark.parametrize("wrong", [{"photos": 5}, {"size_bytes": 0}, None])
    def test_a_wrong_count_of_what_an_account_keeps_is_found_and_corrected(
        self, store: Store, blobs: FolderBlobs, ada: Account, wrong: dict[str, Any] | None
    ) -> None:
        keep(store, blobs, ada, PHOTO)
        right = store.images.usage(ada.id)
        with store.transaction():
            change = UsageRow.delete() if wrong is None else UsageRow.update(**wrong)
            assert store.database.change(change) == 1
        findings = checked(store, blobs)
        assert len(findings.usage) == findings.left == 1
        assert findings.usage[0].startswith("Ada: ")
        repaired = checked(store, blobs, repair=True)
        assert (repaired.usage_corrected, repaired.left) == (1, 0)
        assert store.images.usage(ada.id) == right
        see_whole(store, blobs)

    def test_bytes_that_vanish_while_all_are_listed_are_no_finding(
        self, store: Store, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(blobs, "all", lambda: iter([Blob(digest(PHOTO), 1, 0.0)]))
        assert check(store, blobs, repair=True, now_s=LATER_S).left == 0


class TestCheckingOnSqlite(OnSqlite, CheckingContract):
    def test_a_damaged_database_is_found(self, url: str, store: Store, blobs: FolderBlobs, ada: Account) -> None:
        for i in range(50):
            keep(store, blobs, ada, b"%d" % i)
        store.close()
        file = file_of(url)
        content = file.read_bytes()
        place = content.rindex(b"tagger@1")  # in a table or in its index, which then differ
        file.write_bytes(content[:place] + b"tagger@2" + content[place + 8 :])
        again = open_store(url)
        findings = checked(again, blobs)
        again.close()
        assert findings.database
        assert findings.left >= 1

    def test_a_row_that_refers_to_none_is_found(self, store: Store, blobs: FolderBlobs, ada: Account) -> None:
        keep(store, blobs, ada, PHOTO)
        connection = store.database._engine.connect()
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("DELETE FROM model")
        connection.close()
        assert any("of image refers to no row of model" in line for line in checked(store, blobs).database)


class TestCheckingOnPostgres(OnPostgres, CheckingContract):
    pass
