"""`tagwright-server backup`, `restore` and `check`: what they say, how they end, and that one follows the other."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import postgres
import pytest
from keeping import all_photos, digest, keep, see_whole
from processes import ends_saying, serving
from stores import added

from tagwright_server.__main__ import main
from tagwright_server.data import blobs_folder, open_data
from tagwright_server.settings import Settings
from tagwright_server.store.blobs import FolderBlobs
from tagwright_server.store.store import open_store

PHOTOS = (b"one photo", b"another photo")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two photos."""
    settings = Settings(data_folder=tmp_path / "data")
    with open_data(settings) as data:
        [ada] = added(data.store, "Ada")
        for photo in PHOTOS:
            keep(data.store, FolderBlobs(blobs_folder(settings)), ada, photo)
    return tmp_path / "data"


def at(data: Path, photo: bytes) -> Path:
    """Where the bytes of a photo lie."""
    return data / "photos" / digest(photo).hex()[:2] / digest(photo).hex()


def in_folder(data: Path) -> str:
    """The flag that names a data folder."""
    return f"--data-folder={data}"


def test_what_was_backed_up_is_restored_and_found_whole(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    assert main(["backup", str(backup), in_folder(data)]) == 0
    assert capsys.readouterr() == (f"Backed up 2 photos and 1 accounts to {backup}.\n", "")
    assert main(["restore", str(backup), in_folder(restored)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Restored 2 photos and 1 accounts from the backup of 20")
    assert err == ""
    assert main(["check", in_folder(restored)]) == 0
    assert capsys.readouterr().err == ""
    with closing(open_store(f"sqlite://{restored}/tagwright.sqlite3")) as store:
        see_whole(store, FolderBlobs(restored / "photos"))
    assert (restored / "pepper").read_bytes() == (data / "pepper").read_bytes()


@postgres.needs_postgres
def test_a_backup_moves_the_data_to_postgresql(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = postgres.server()
    name = server.create()
    moved, flag = tmp_path / "moved", f"--database={server.url(name)}"
    try:
        assert main(["backup", str(tmp_path / "backup"), in_folder(data)]) == 0
        assert main(["restore", str(tmp_path / "backup"), in_folder(moved), flag]) == 0
        assert main(["check", in_folder(moved), flag]) == 0
        assert main(["backup", str(tmp_path / "again"), in_folder(moved), flag]) == 0
        with closing(open_store(server.url(name))) as store:
            assert len(all_photos(store)) == 2
        assert server.url(name) not in capsys.readouterr().out
    finally:
        server.drop(name)


def test_check_names_what_is_wrong_and_repairs_what_it_can(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at(data, PHOTOS[0]).unlink()
    orphan = FolderBlobs(data / "photos")
    with orphan.put(digest(b"orphan"), b"orphan"):
        pass
    (data / "photos" / "notes.txt").write_text("mine")
    for flags, orphans in ((["--quick"], "1  bytes without a photo (2 files, 19 bytes)"), (["--repair"], "1  bytes")):
        assert main(["check", *flags, in_folder(data)]) == 1
        out = capsys.readouterr().out
        assert "0  the database is damaged" in out
        assert "1  photos without their bytes (2 contents," in out
        assert "of Ada: missing" in out
        assert orphans in out
        assert digest(b"orphan").hex() in out
        assert "notes.txt" in out
    assert orphan.exists(digest(b"orphan")), "it is not an hour old"


def test_a_backup_of_what_is_not_whole_says_so(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at(data, PHOTOS[0]).unlink()
    for command in (
        ["backup", str(tmp_path / "backup"), in_folder(data)],
        ["restore", str(tmp_path / "backup"), in_folder(tmp_path / "restored")],
    ):
        assert main(command) == 1
        assert "the bytes of 1 photos were " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backup"], "FOLDER"),
        (["check", "--no-such"], "--no-such"),
        (["check", "word"], "word"),
        (["backup", "{tmp}/backup", "--data-folder={tmp}/nothing"], "there is no file {tmp}/nothing/tagwright.sqlite3"),
        (["check", "--data-folder={tmp}/nothing"], "there is no file {tmp}/nothing/tagwright.sqlite3"),
        (["restore", "{tmp}/nothing", "--data-folder={tmp}/new"], "{tmp}/nothing holds no backup that was finished"),
        (
            ["backup", "{tmp}/data/pepper", "--data-folder={tmp}/data"],
            "is in the data folder, and would be lost with it",
        ),
        (["backup", "{tmp}/file", "--data-folder={tmp}/data"], "cannot be written"),
        (["restore", "{tmp}/backup", "--data-folder={tmp}/data"], "in use already; restore into an empty one"),
    ],
)
def test_what_cannot_be_done_is_refused_with_one_line(
    words: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[0] == "restore" and "backup" in words[1]:
        assert main(["backup", str(tmp_path / "backup"), in_folder(data)]) == 0
    (tmp_path / "file").touch()
    capsys.readouterr()
    assert main([word.format(tmp=tmp_path) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said.format(tmp=tmp_path) in err
    assert not (tmp_path / "nothing").exists()


def test_backup_works_beside_a_server_and_the_copy_serves(data: Path, repository: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with serving(repository, in_folder(data)):
        assert ends_saying("backup", backup, in_folder(data))[0] == 0
        assert ends_saying("check", in_folder(data))[0] == 0
    shutil.rmtree(data)
    assert ends_saying("restore", backup, in_folder(data))[0] == 0
    with serving(repository, in_folder(data)):
        assert ends_saying("check", "--quick", in_folder(data))[0] == 0


def test_a_backup_goes_into_a_folder_of_its_own_only(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    (others / "letter.txt").write_text("not ours")
    assert main(["backup", str(others), in_folder(data)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [file.name for file in others.iterdir()] == ["letter.txt"]
    assert main(["backup", str(data / "backup"), in_folder(data)]) == 2
    assert "is in the data folder" in capsys.readouterr().err
    assert not (data / "backup").exists()
