"""What a place for the bytes of photos promises: kept once, whole, for us alone, with a mark until a row uses them."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import at_once

from tagwright_server.errors import StartupError
from tagwright_server.store import blobs as module
from tagwright_server.store.blobs import Blob, BlobMissing, Blobs, FolderBlobs

PHOTO = b"the bytes of a photo"
DIGEST = hashlib.sha256(PHOTO).digest()
OTHER = hashlib.sha256(b"another").digest()


class NoRow(Exception):
    """What the block of a put ends with in these tests where no row came to use the bytes."""


def put(blobs: Blobs, data: bytes = PHOTO, *, used: bool = True) -> bytes:
    """Put bytes; return their digest."""
    sha256 = hashlib.sha256(data).digest()
    try:
        with blobs.put(sha256, data):
            if not used:
                raise NoRow
    except NoRow:
        pass
    return sha256


def unsettled(blobs: Blobs) -> list[bytes]:
    """The digests of the marks that nobody holds."""
    return [mark.sha256 for mark in blobs.unsettled()]


class BlobsContract:
    def test_what_was_put_can_be_read_and_measured(self, blobs: Blobs) -> None:
        with blobs.put(DIGEST, PHOTO):
            assert blobs.exists(DIGEST)
            assert blobs.read(DIGEST) == PHOTO
        assert blobs.read(DIGEST) == PHOTO
        assert blobs.size(DIGEST) == len(PHOTO)
        with blobs.open(DIGEST) as file:
            assert file.read(3) == PHOTO[:3]
        [blob] = blobs.all()
        assert blob == Blob(DIGEST, len(PHOTO), blob.written_s)

    def test_what_was_never_put_is_missing(self, blobs: Blobs) -> None:
        assert not blobs.exists(OTHER)
        assert blobs.size(OTHER) is None
        for look in (blobs.read, blobs.open):
            with pytest.raises(BlobMissing, match=OTHER.hex()):
                look(OTHER)
        assert list(blobs.all()) == []

    def test_no_bytes_at_all_are_bytes_too(self, blobs: Blobs) -> None:
        assert blobs.read(put(blobs, b"")) == b""

    @pytest.mark.parametrize("sha256", [b"", DIGEST[:31], DIGEST + b"x", b"../" + bytes(29) + b"more"])
    def test_what_is_no_digest_is_refused(self, blobs: Blobs, sha256: bytes) -> None:
        for do in (blobs.exists, blobs.read, blobs.remove, lambda sha256: blobs.put(sha256, b"").__enter__()):
            with pytest.raises(ValueError, match="32 bytes"):
                do(sha256)

    def test_bytes_are_removed_once_and_for_all(self, blobs: Blobs) -> None:
        put(blobs)
        blobs.remove(DIGEST)
        blobs.remove(DIGEST)
        assert not blobs.exists(DIGEST)
        put(blobs)
        assert blobs.read(DIGEST) == PHOTO

    def test_all_come_in_the_order_of_their_digests(self, blobs: Blobs) -> None:
        digests = sorted(put(blobs, bytes([i])) for i in range(40))
        assert [blob.sha256 for blob in blobs.all()] == digests

    def test_bytes_that_are_there_are_put_again_at_no_harm(self, blobs: Blobs) -> None:
        with blobs.put(DIGEST, PHOTO), blobs.put(DIGEST, PHOTO):
            blobs.remove(DIGEST)
            with blobs.put(DIGEST, PHOTO):
                assert blobs.read(DIGEST) == PHOTO
        assert blobs.read(DIGEST) == PHOTO
        assert unsettled(blobs) == []

    def test_bytes_of_the_wrong_size_are_replaced(self, blobs: Blobs) -> None:
        with blobs.put(DIGEST, PHOTO[:5]):
            pass
        put(blobs)
        assert blobs.read(DIGEST) == PHOTO
        assert unsettled(blobs) == []

    def test_many_who_put_the_same_at_once_all_find_it_there(self, blobs: Blobs) -> None:
        def upload() -> bytes:
            with blobs.put(DIGEST, PHOTO):
                return blobs.read(DIGEST)

        assert at_once(*[upload] * 12) == [PHOTO] * 12
        assert unsettled(blobs) == []

    def test_a_block_that_ends_well_leaves_no_mark_and_one_with_an_error_does(self, blobs: Blobs) -> None:
        put(blobs)
        assert not blobs.marked(DIGEST)
        put(blobs, b"another", used=False)
        assert blobs.exists(OTHER)
        assert blobs.marked(OTHER)
        assert unsettled(blobs) == [OTHER]

    def test_a_mark_is_not_unsettled_while_its_uploader_lives(self, blobs: Blobs) -> None:
        put(blobs, used=False)
        with blobs.put(DIGEST, PHOTO), blobs.put(OTHER, b"another"):
            assert unsettled(blobs) == [DIGEST]
            assert blobs.marked(OTHER)

    def test_a_settled_mark_is_gone_and_the_bytes_are_not(self, blobs: Blobs) -> None:
        put(blobs, used=False)
        for mark in blobs.unsettled():
            assert unsettled(blobs) == []  # one at a time has it
            blobs.settle(mark)
            blobs.settle(mark)
        assert not blobs.marked(DIGEST)
        assert blobs.read(DIGEST) == PHOTO

    def test_one_sweeps_at_a_time_and_nobody_while_they_are_copied(self, blobs: Blobs) -> None:
        with blobs.sweeping() as first, blobs.sweeping() as second:
            assert (first, second) == (True, False)
        with blobs.unswept(), blobs.unswept():
            with blobs.sweeping() as swept:
                assert not swept
            put(blobs)
        with blobs.sweeping() as swept:
            assert swept


class TestFolderBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Iterator[FolderBlobs]:
        blobs = FolderBlobs(tmp_path / "data" / "photos")
        yield blobs
        assert list(blobs.strays()) == []

    def test_nobody_else_can_read_them(self, blobs: FolderBlobs) -> None:
        put(blobs)
        put(blobs, b"another", used=False)
        for path in (blobs.folder, *blobs.folder.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)

    def test_a_folder_that_is_opened_again_holds_the_same(self, blobs: FolderBlobs) -> None:
        put(blobs)
        put(blobs, b"another", used=False)
        again = FolderBlobs(blobs.folder)
        assert again.read(DIGEST) == PHOTO
        assert unsettled(again) == [OTHER]

    def test_an_uploader_whose_mark_was_taken_for_a_dead_ones_makes_another(
        self, blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken: list[bytes] = []

        def sweep_first(descriptor: int, operation: int) -> None:
            monkeypatch.undo()
            for mark in blobs.unsettled():
                taken.append(mark.sha256)
                blobs.settle(mark)
            flock(descriptor, operation)

        flock = module.fcntl.flock
        monkeypatch.setattr(module.fcntl, "flock", sweep_first)
        with blobs.put(DIGEST, PHOTO):
            assert blobs.marked(DIGEST)
        assert taken == [DIGEST]

    def test_what_is_not_ours_is_told_and_left_alone(self, tmp_path: Path) -> None:
        blobs = FolderBlobs(tmp_path / "strays")
        names = ["notes.txt", "incoming/half.part", f"00/ff{DIGEST.hex()[2:]}", f"00/{'z' * 64}"]
        for name in names:
            (blobs.folder / name).write_bytes(b"")
        assert list(blobs.strays()) == [blobs.folder / name for name in names]
        assert list(blobs.all()) == []
        assert unsettled(blobs) == []

    def test_a_place_that_cannot_be_written_stops_the_start_with_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StartupError, match=r"^photos: .*file/photos cannot be written: "):
            FolderBlobs(tmp_path / "file" / "photos")
