"""What sweeping promises: bytes that no photo uses go, bytes that one uses or is about to use stay."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from keeping import a_photo, all_photos, checked, digest, keep, see_whole
from stores import Aside, OnPostgres, OnSqlite, added

from tagwright_server.store import sweeping as module
from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.store import Store
from tagwright_server.store.sweeping import Swept, sweep

HASTE_S = 0.3  # within this a sweep that waits for nobody would be done
PHOTO = b"the bytes of a photo"


class GivenUp(Exception):
    """What an upload of these tests ends with before its row is there."""


def give_up(blobs: FolderBlobs, data: bytes) -> None:
    """Put bytes and come no further."""
    with pytest.raises(GivenUp), blobs.put(digest(data), data):
        raise GivenUp


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "photos")


class SweepingContract:
    def test_bytes_of_an_upload_that_came_to_nothing_go(self, store: Store, blobs: FolderBlobs) -> None:
        give_up(blobs, PHOTO)
        assert checked(store, blobs).waiting == 1
        assert sweep(store, blobs) == Swept(uploads=1)
        assert sweep(store, blobs) == Swept()
        see_whole(store, blobs)

    def test_bytes_of_deleted_photos_go_and_others_stay(self, store: Store, blobs: FolderBlobs) -> None:
        [ada, bob] = added(store, "Ada", "Bob")
        keep(store, blobs, ada, b"stays")
        shared = [keep(store, blobs, owner, b"shared") for owner in (ada, bob)]
        gone = keep(store, blobs, bob, b"goes")
        store.images.delete(gone.id)
        store.images.delete(shared[0].id)
        assert sweep(store, blobs) == Swept(unused=1)
        assert [blob.sha256 for blob in blobs.all()] == sorted([digest(b"stays"), digest(b"shared")])
        store.accounts.delete(bob.id)
        assert sweep(store, blobs) == Swept(unused=1)
        assert [photo.owner for photo in all_photos(store)] == ["Ada"]
        see_whole(store, blobs)

    def test_a_mark_that_was_left_behind_a_commit_is_removed_and_the_bytes_are_not(
        self, store: Store, blobs: FolderBlobs
    ) -> None:
        [ada] = added(store, "Ada")
        keep(store, blobs, ada, PHOTO)
        give_up(blobs, PHOTO)
        assert sweep(store, blobs) == Swept()
        see_whole(store, blobs)
        assert blobs.read(digest(PHOTO)) == PHOTO

    def test_an_upload_in_progress_is_left_alone(self, store: Store, blobs: FolderBlobs) -> None:
        [ada] = added(store, "Ada")
        with blobs.put(digest(PHOTO), PHOTO):
            assert sweep(store, blobs) == Swept()
            with store.transaction():
                assert store.images.add(a_photo(ada, PHOTO)) is not None
        assert blobs.exists(digest(PHOTO))

    def test_nothing_is_swept_while_photos_are_copied(self, store: Store, blobs: FolderBlobs) -> None:
        give_up(blobs, PHOTO)
        with blobs.unswept():
            assert sweep(store, blobs) == Swept()
        assert sweep(store, blobs) == Swept(uploads=1)

    def test_an_uploader_whose_bytes_are_swept_before_its_commit_puts_them_again(
        self, store: Store, blobs: FolderBlobs
    ) -> None:
        [ada] = added(store, "Ada")
        give_up(blobs, PHOTO)
        image = a_photo(ada, PHOTO)
        with blobs.put(digest(PHOTO), PHOTO):  # they are there: of the one that gave up
            assert sweep(store, blobs) == Swept(uploads=1)
            with store.transaction():
                store.images.hold_content(digest(PHOTO))
                assert not blobs.exists(digest(PHOTO))
                with blobs.put(digest(PHOTO), PHOTO):
                    assert store.images.add(image) is not None
        assert sweep(store, blobs) == Swept()
        assert blobs.read(digest(PHOTO)) == PHOTO

    def test_a_sweep_that_comes_between_an_uploaders_look_and_its_commit_waits_for_it(
        self, store: Store, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [ada] = added(store, "Ada")
        give_up(blobs, PHOTO)
        removed = threading.Event()
        monkeypatch.setattr(blobs, "remove", lambda sha256: removed.set())
        with blobs.put(digest(PHOTO), PHOTO):
            with store.transaction():
                store.images.hold_content(digest(PHOTO))
                assert blobs.exists(digest(PHOTO))
                sweeping = Aside(lambda: sweep(store, blobs))
                assert not removed.wait(HASTE_S)
                assert store.images.add(a_photo(ada, PHOTO)) is not None
            assert sweeping.result() == Swept()
        assert not removed.is_set()
        assert blobs.read(digest(PHOTO)) == PHOTO

    def test_a_sweep_that_breaks_off_between_the_bytes_and_the_row_is_finished_by_the_next(
        self, store: Store, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [ada] = added(store, "Ada")
        store.images.delete(keep(store, blobs, ada, PHOTO).id)
        remove = blobs.remove

        def remove_and_break_off(sha256: bytes) -> None:
            remove(sha256)
            raise GivenUp

        monkeypatch.setattr(blobs, "remove", remove_and_break_off)
        with pytest.raises(GivenUp):
            sweep(store, blobs)
        monkeypatch.undo()
        assert store.images.contents_known([digest(PHOTO)]) == {digest(PHOTO)}
        assert checked(store, blobs).left == 0
        keep(store, blobs, ada, PHOTO)  # the row is there, the bytes are not
        assert sweep(store, blobs) == Swept()
        see_whole(store, blobs)

    def test_more_than_one_batch_is_swept_at_once(
        self, store: Store, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_AT_A_TIME", 2)
        [ada] = added(store, "Ada")
        for i in range(5):
            keep(store, blobs, ada, b"%d" % i)
        store.accounts.delete(ada.id)
        assert sweep(store, blobs) == Swept(unused=5)
        see_whole(store, blobs)


class TestSweepingOnSqlite(OnSqlite, SweepingContract):
    pass


class TestSweepingOnPostgres(OnPostgres, SweepingContract):
    pass
