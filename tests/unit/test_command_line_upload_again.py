"""The command `upload` where there is nothing to store, something was stored before, or failed before."""

from __future__ import annotations

import builtins
import json
import zipfile
from pathlib import Path
from typing import Any

import kept_photos
import pytest
from kept_photos import KeptPhotos, run

from tagwright_admin import __main__

DEFAULT = Path("upload-failures.jsonl")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    return kept_photos.signed_in(tmp_path, monkeypatch)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"ape")
    (folder / "b.jpg").write_bytes(b"bee")
    return folder


def failed() -> list[str]:
    return [Path(json.loads(line)["path"]).name for line in DEFAULT.read_text().splitlines()]


@pytest.mark.parametrize("options", [["--shared"], ["--author=Ada"]])
def test_photos_that_were_there_are_said_to_stay_as_they_were(
    server: KeptPhotos, photos: Path, options: list[str]
) -> None:
    run("upload", photos)
    done = run("upload", photos, *options)
    said = "2 photos were there already: who sees them, and their author, stay as they were; see: tagwright set\n"
    assert (done.code, done.stderr) == (0, said)
    assert run("upload", photos).stderr == ""
    assert said in run("upload", photos, "--json", *options).stderr


def test_failures_of_earlier_uploads_stay_until_they_are_stored(server: KeptPhotos, photos: Path) -> None:
    (photos / "a.jpg").write_bytes(b"!broken")
    run("upload", photos / "a.jpg")
    (photos / "b.jpg").write_bytes(b"!broken")
    done = run("upload", photos / "b.jpg")
    assert (done.code, failed()) == (1, ["a.jpg", "b.jpg"])
    assert "2 photos were not stored (1 of them in earlier runs)" in done.stderr
    (photos / "b.jpg").write_bytes(b"bee")
    done = run("upload", photos / "b.jpg")
    assert (done.code, failed()) == (0, ["a.jpg"])
    (photos / "a.jpg").write_bytes(b"ape")
    assert run("upload", photos).code == 0
    assert not DEFAULT.exists()


def test_a_file_that_holds_something_else_is_not_overwritten_with_failures(server: KeptPhotos, photos: Path) -> None:
    Path("notes.txt").write_text("mine")
    done = run("upload", photos, "--failures=notes.txt")
    assert (done.code, server.offered, Path("notes.txt").read_text()) == (2, [], "mine")
    assert "notes.txt, line 1" in done.stderr


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--json"]])
def test_a_path_that_is_not_there_is_a_wrong_command_line(server: KeptPhotos, photos: Path, options: list[str]) -> None:
    done = run("upload", photos, "no/such.jpg", "nor/this.zip", *options)
    assert (done.code, done.stdout, server.offered) == (2, "", [])
    assert done.stderr == "there is no no/such.jpg, no nor/this.zip; nothing was uploaded\n"
    assert not DEFAULT.exists()


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_folder_or_zip_without_photos_is_one_line_and_no_failed_photo(
    server: KeptPhotos, photos: Path, tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "empty").mkdir()
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    for path in (tmp_path / "empty", tmp_path / "empty.zip"):
        done = run("upload", path, *options)
        assert (done.code, done.stdout) == (1, "")
        assert done.stderr == f"{path}: no photos there (.jpg, .jpeg, .png, .webp)\n"
    done = run("upload", tmp_path / "empty", photos, *options)
    assert (done.code, "no photos there" in done.stderr) == (1, True)
    assert len(server.kept) == (0 if options else 2)
    assert not DEFAULT.exists()


@pytest.mark.parametrize("name", ["../out.jpg", "a/../../out.jpg", "/etc/out.jpg", "..\\out.jpg", "C:\\out.jpg"])
def test_a_member_whose_name_leads_out_of_the_zip_fails(server: KeptPhotos, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("./in.jpg", b"inside")
        archive.writestr(name, b"outside")
    for arguments in ([tmp_path / "x.zip"], ["--retry", DEFAULT]):
        done = run("upload", *arguments)
        assert (done.code, done.count("failed: PHOTO_UNREADABLE")) == (1, "1")
        assert "its name leads out of the zip" in done.stderr
        (failure,) = map(json.loads, DEFAULT.read_text().splitlines())
        assert (failure["archive"], failure["member"]) == (str(tmp_path / "x.zip"), name)
    assert [photo.file_name for photo in server.offered] == ["in.jpg"]


def test_an_interrupt_while_python_imports_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ordinary = builtins.__import__

    def interrupted(name: str, *given: Any, **named: Any) -> Any:
        if name == "tagwright_admin.commands":
            raise KeyboardInterrupt
        return ordinary(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 130
    assert capfd.readouterr() == ("", "")
