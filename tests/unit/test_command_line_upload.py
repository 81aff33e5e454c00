"""The command `upload`: what is sent with which tags, what is shown and written down, and how it goes on."""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from pathlib import Path

import kept_photos
import pytest
from kept_photos import Done, KeptPhotos, run

from tagwright_client import ServerUnreachable, TokenInvalid, UploadPhoto


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    return kept_photos.signed_in(tmp_path, monkeypatch)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    (folder / "z.jpg").write_bytes(b"zebra")
    (folder / "a.png").write_bytes(b"ape")
    (folder / "b" / "c.webp").write_bytes(b"cat")
    (folder / "a.txt").write_text("monkey, ape house")
    (folder / ".hidden.jpg").write_bytes(b"hidden")
    (folder / ".trash").mkdir()
    (folder / ".trash" / "t.jpg").write_bytes(b"trash")
    (folder / "notes.pdf").write_bytes(b"no photo")
    return folder


def journal(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "state" / "tagwright" / "uploads").iterdir()
    return found


def names(server: KeptPhotos) -> list[str | None]:
    return [photo.file_name for photo in server.offered]


def test_a_folder_is_stored_sorted_with_the_tags_beside_its_photos(server: KeptPhotos, photos: Path) -> None:
    done = run("upload", photos, "--author=Ada", "--shared", "--target-precision=0.9", "--model=m@1")
    assert (done.code, done.stderr) == (0, "")
    assert names(server) == ["a.png", "z.jpg", "c.webp"]
    assert server.offered[0].user_tags == ("monkey", "ape house")
    assert {image.author for image in server.kept.values()} == {"Ada"}
    assert server.calls[0][1] == {
        "model": "m@1",
        "min_score": None,
        "target_precision": 0.9,
        "visibility": "SHARED",
        "use_embedded_tags": True,
        "user_tag_source": "USER",
    }
    assert (done.count("photos"), done.count("stored"), done.count("already there")) == ("3", "3", "0")
    assert done.count("user tags") == "2"
    assert not Path("upload-failures.jsonl").exists()


def test_sidecars_and_embedded_tags_can_be_left_alone(server: KeptPhotos, photos: Path) -> None:
    assert run("upload", photos, "--no-sidecars", "--no-embedded-tags").code == 0
    assert [photo.user_tags for photo in server.offered] == [(), (), ()]
    assert server.calls[0][1]["use_embedded_tags"] is False
    assert server.calls[0][1]["visibility"] == "PRIVATE"


def test_a_second_run_neither_reads_nor_sends_a_photo_again(
    server: KeptPhotos, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("upload", photos)
    before = journal(tmp_path).read_bytes()
    digests = [photo.sha256 for photo in server.offered]
    server.offered.clear()
    monkeypatch.setattr("tagwright_admin.local_photos.LocalPhoto.sha256", lambda photo: pytest.fail("hashed again"))
    done = run("upload", photos)
    assert (done.code, done.count("already there"), done.count("sent")) == (0, "3", "0")
    assert [photo.sha256 for photo in server.offered] == digests
    assert journal(tmp_path).read_bytes() == before
    assert stat.S_IMODE(journal(tmp_path).stat().st_mode) == 0o600


def test_what_was_deleted_on_the_server_or_changed_here_is_stored_anew(server: KeptPhotos, photos: Path) -> None:
    run("upload", photos)
    server.kept.clear()
    assert run("upload", photos).count("stored") == "3"
    (photos / "z.jpg").write_bytes(b"zebra crossing")
    done = run("upload", photos)
    assert (done.count("stored"), done.count("already there")) == ("1", "2")


@pytest.mark.parametrize(
    "torn", [b'{"path": "/photos/z.j', b"\n\n", b"\xff\n", b'{"path": 7}\n', b"[" * 9999, b"null\n"]
)
def test_a_torn_line_of_the_journal_is_passed_over(
    server: KeptPhotos, photos: Path, tmp_path: Path, torn: bytes
) -> None:
    run("upload", photos)
    with journal(tmp_path).open("ab") as file:
        file.write(torn)
    (photos / "z.jpg").write_bytes(b"another")
    assert run("upload", photos).code == 0
    last = journal(tmp_path).read_bytes().splitlines()[-1]
    assert json.loads(last)["path"] == str(photos / "z.jpg")
    assert re.fullmatch("[0-9a-f]{32}", json.loads(last)["image_id"])


def test_a_journal_that_cannot_be_written_is_a_warning(
    server: KeptPhotos, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("no folder")
    done = run("upload", photos)
    assert (done.code, done.count("stored")) == (0, "3")
    assert "there is no journal" in done.stderr
    (tmp_path / "state").unlink()
    monkeypatch.setattr(os, "write", lambda number, data: len(data) // 2)
    done = run("upload", photos)
    assert (done.code, done.count("already there")) == (0, "3")
    assert done.stderr == "the journal is given up, which costs time only: the disk is full\n"


def test_a_second_upload_of_the_same_folder_goes_without_the_journal(
    server: KeptPhotos, photos: Path, tmp_path: Path
) -> None:
    inner: list[Done] = []

    def meanwhile(number: int, photo: UploadPhoto) -> None:
        if number == 1 and not inner:
            server.behave = lambda number, photo: None
            inner.append(run("upload", photos))

    server.behave = meanwhile
    done = run("upload", photos)
    assert (done.code, inner[0].code) == (0, 0)
    assert "another upload of this folder is under way" in inner[0].stderr
    assert len(journal(tmp_path).read_bytes().splitlines()) == 3


def test_without_a_journal_nothing_is_left_behind_and_with_a_name_it_is_there(
    server: KeptPhotos, photos: Path, tmp_path: Path
) -> None:
    assert run("upload", photos, "--no-journal").code == 0
    assert not (tmp_path / "state").exists()
    assert run("upload", photos, f"--journal={tmp_path / 'j.jsonl'}").code == 0
    assert len((tmp_path / "j.jsonl").read_text().splitlines()) == 3


def test_failures_are_told_counted_and_written_down_and_can_be_tried_again(server: KeptPhotos, photos: Path) -> None:
    (photos / "z.jpg").write_bytes(b"!truncated")
    Path("no").mkdir()
    Path("no/such.jpg").symlink_to("nowhere")
    done = run("upload", photos, "no/such.jpg")
    assert done.code == 1
    assert (done.count("stored"), done.count("failed: IMAGE_REJECTED")) == ("2", "1")
    assert done.count("failed: PHOTO_UNREADABLE") == "1"
    assert f"{photos / 'z.jpg'}: the photo is truncated\n" in done.stderr
    assert "--retry upload-failures.jsonl" in done.stderr
    written = [json.loads(line) for line in Path("upload-failures.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in written] == ["IMAGE_REJECTED", "PHOTO_UNREADABLE"]
    assert set(written[0]) == {"path", "sha256", "reason", "text", "archive", "member"}
    server.offered.clear()
    (photos / "z.jpg").write_bytes(b"zebra")
    again = run("upload", "--retry", "upload-failures.jsonl")
    assert (again.code, names(server)) == (1, ["z.jpg"])
    left = Path("upload-failures.jsonl").read_text()
    assert (len(left.splitlines()), "such.jpg" in left) == (1, True)
    Path("no/such.jpg").unlink()
    Path("no/such.jpg").write_bytes(b"such")
    assert run("upload", "--retry=upload-failures.jsonl").code == 0
    assert not Path("upload-failures.jsonl").exists()


def test_an_interrupt_says_how_to_go_on_and_keeps_what_failed(server: KeptPhotos, photos: Path) -> None:
    (photos / "a.png").write_bytes(b"!truncated")

    def interrupt(number: int, photo: UploadPhoto) -> None:
        if number == 2:
            raise KeyboardInterrupt

    server.behave = interrupt
    done = run("upload", photos, "--failures=f.jsonl")
    assert done.code == 130
    assert "run the same command again" in done.stderr
    assert done.count("stored") == "1"
    assert len(Path("f.jsonl").read_text().splitlines()) == 1
    server.behave = lambda number, photo: None
    assert run("upload", photos).count("already there") == "1"


def test_an_interrupted_retry_loses_no_failure_that_had_no_turn(server: KeptPhotos, photos: Path) -> None:
    for name in ("a.png", "z.jpg"):
        (photos / name).write_bytes(b"!broken")
    run("upload", photos)
    (photos / "a.png").write_bytes(b"ape")

    def interrupt(number: int, photo: UploadPhoto) -> None:
        if number == 1:
            raise KeyboardInterrupt

    server.behave = interrupt
    assert run("upload", "--retry=upload-failures.jsonl").code == 130
    (left,) = Path("upload-failures.jsonl").read_text().splitlines()
    assert json.loads(left)["path"] == str(photos / "z.jpg")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (TokenInvalid("ended", code="UNAUTHENTICATED"), "Sign in first"),
        (ServerUnreachable("gone"), "No server at grpc://fake:8470"),
    ],
)
def test_what_ends_the_whole_upload_still_counts_what_was_stored(
    server: KeptPhotos, photos: Path, error: Exception, shown: str
) -> None:
    def fail(number: int, photo: UploadPhoto) -> None:
        if number == 1:
            raise error

    server.behave = fail
    done = run("upload", photos)
    assert (done.code, done.count("stored")) == (1, "1")
    assert shown in done.stderr
    assert "run the same command again" in done.stderr


def test_failures_that_cannot_be_written_down_are_told(server: KeptPhotos, photos: Path) -> None:
    (photos / "z.jpg").write_bytes(b"!truncated")
    done = run("upload", photos, "--failures=/no/such/folder/f.jsonl")
    assert done.code == 1
    assert "cannot write the failures down" in done.stderr


@pytest.mark.parametrize("text", ["no json\n", "{}\n", "[]\n", '{"path": 7}\n', '{"path": "a", "member": []}\n'])
def test_a_file_that_holds_no_failures_is_refused(server: KeptPhotos, text: str) -> None:
    Path("f.jsonl").write_text(f'{{"path": "a.jpg"}}\n{text}')
    done = run("upload", "--retry=f.jsonl")
    assert (done.code, server.offered) == (2, [])
    assert "f.jsonl, line 2" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["x.jpg", "--retry=f"], ["--retry=/none"], ["x.jpg", "--min-score=2"]])
def test_a_wrong_command_line_ends_with_2(server: KeptPhotos, arguments: list[str]) -> None:
    done = run("upload", *arguments)
    assert (done.code, done.stdout, server.calls) == (2, "", [])


def test_programs_get_a_line_a_photo_and_the_summary_beside(server: KeptPhotos, photos: Path) -> None:
    (photos / "z.jpg").write_bytes(b"!truncated")
    (photos / "b" / "c.json").write_text("{broken")
    done = run("upload", photos, "--json")
    assert done.code == 1
    stored, failed, troubled = done.lines
    assert set(stored) == {
        "photo", "sha256", "user_tags", "tags_left_out", "problems", "sent_bytes", "image_id", "existing", "tags",
        "model_version", "width", "height", "format", "near_duplicate_ids",
    }  # fmt: skip
    assert (stored["photo"], stored["existing"], stored["sent_bytes"]) == (str(photos / "a.png"), False, 3)
    assert [tag["score"] for tag in stored["tags"]] == [None, None, 0.75]
    assert (failed["error"]["reason"], failed["user_tags"]) == ("IMAGE_REJECTED", [])
    assert troubled["problems"][0].startswith("c.json: it is no JSON")
    assert "sidecars not read" in done.stderr


def test_a_sidecar_that_cannot_be_read_is_told_and_the_photo_is_stored(server: KeptPhotos, photos: Path) -> None:
    (photos / "z.json").write_text("{broken")
    (photos / "z.txt").write_text("x" * 200)
    done = run("upload", photos)
    assert (done.code, done.count("stored"), done.count("sidecars not read")) == (1, "3", "1")
    assert done.count("tags left out") == "1"
    assert f"{photos / 'z.jpg'}: z.json: it is no JSON" in done.stderr


def test_a_zip_is_read_as_a_folder_is(server: KeptPhotos, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("b/dog.jpg", "a.jpg", "__MACOSX/._a.jpg", ".b/x.jpg", "readme.md"):
            archive.writestr(name, name.encode())
        archive.writestr("b/dog.txt", "rex")
        archive.writestr("bad.jpg", b"!truncated")
    done = run("upload", tmp_path / "all.zip")
    assert (done.code, names(server)) == (1, ["a.jpg", "dog.jpg", "bad.jpg"])
    assert {photo.file_name: photo.user_tags for photo in server.offered}["dog.jpg"] == ("rex",)
    (failure,) = map(json.loads, Path("upload-failures.jsonl").read_text().splitlines())
    assert (failure["archive"], failure["member"]) == (str(tmp_path / "all.zip"), "bad.jpg")
    server.offered.clear()
    assert run("upload", "--retry=upload-failures.jsonl").code == 1
    assert names(server) == ["bad.jpg"]


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 40])
def test_a_zip_that_is_none_fails_alone(server: KeptPhotos, photos: Path, data: bytes) -> None:
    (photos.parent / "x.zip").write_bytes(data)
    done = run("upload", photos.parent / "x.zip", photos)
    assert (done.code, done.count("stored"), done.count("failed: PHOTO_UNREADABLE")) == (1, "3", "1")


def test_members_that_cannot_be_unpacked_fail_alone(server: KeptPhotos, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"apple pie")
        archive.writestr("b.jpg", b"b")
    path.write_bytes(path.read_bytes().replace(b"apple pie", b"apple pip"))  # and the checksum does not fit any more
    done = run("upload", path)
    assert (done.code, done.count("stored"), done.count("failed: PHOTO_UNREADABLE")) == (1, "1", "1")


def test_links_out_of_the_folder_are_not_followed(server: KeptPhotos, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "p.jpg").write_bytes(b"private")
    (photos / "out.jpg").symlink_to(tmp_path / "private" / "p.jpg")
    (photos / "below").symlink_to(tmp_path / "private")
    (photos / "round").symlink_to(photos)
    (photos / "inside.jpg").symlink_to(photos / "z.jpg")
    done = run("upload", photos)
    assert done.code == 0
    assert names(server) == ["a.png", "inside.jpg", "z.jpg", "c.webp"]
    assert done.count("links not followed") == "3"


def test_a_dry_run_shows_what_would_be_sent_and_asks_no_server(server: KeptPhotos, photos: Path) -> None:
    done = run("upload", photos, "--dry-run")
    assert (done.code, server.calls, server.closed) == (0, [], 0)
    assert f"{photos / 'a.png'}  3 bytes  monkey, ape house\n" in done.stdout
    assert "3 photos with 2 user tags would be offered\n" in done.stderr
    Path("nothing.jpg").symlink_to("nowhere")
    first = run("upload", photos, "nothing.jpg", "--dry-run", "--json")
    assert (first.code, first.lines[0]["user_tags"]) == (1, ["monkey", "ape house"])
    assert first.lines[-1]["error"]["reason"] == "PHOTO_UNREADABLE"


def test_names_reach_neither_terminal_nor_server_as_they_are(server: KeptPhotos, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "a\x1b[31m.jpg").write_bytes(b"!\x1b[31m")
    with open(os.fsencode(folder) + b"/b\xff.jpg", "wb") as file:
        file.write(b"bird")
    done = run("upload", folder)
    assert "\x1b" not in done.stderr + done.stdout
    assert r"a\x1b[31m.jpg: the photo is \x1b[31m" in done.stderr
    assert server.offered[1].file_name == "b?.jpg"
    assert run("upload", folder).count("already there") == "1"
