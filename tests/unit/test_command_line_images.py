"""The commands about photos that are kept: ls, show, review, set, rm, get."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import kept_photos
import pytest
from kept_photos import KeptPhotos, run, tag

from tagwright_client import QuotaExceeded, ScopeMissing

ONE, TWO = f"{1:032x}", f"{2:032x}"
NOBODY = "f" * 32


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeptPhotos:
    fake = kept_photos.signed_in(tmp_path, monkeypatch)
    fake.keep(b"one", tag("dog", "CONFIRMED", None, "USER"), tag("sky"), tag("cat", "REJECTED", 0.6))
    fake.keep(
        b"two",
        owner="bob\x1b[31m",
        visibility="SHARED",
        file_name="../b\x07.png",
        near_duplicate_ids=(ONE,),
        author="Bo",
    )
    return fake


def test_photos_are_a_table_for_people_and_lines_for_programs(server: KeptPhotos) -> None:
    done = run("ls")
    assert (done.code, done.stderr) == (0, "")
    _, first, second = done.stdout.splitlines()
    assert first.split()[0] == TWO
    for part in (r"bob\x1b[31m", r"../b\x07.png", "shared", "2026-11-24 08:02"):
        assert part in first
    assert second.rstrip().endswith("dog, sky")
    two, one = run("ls", "--json").lines
    assert set(one) == {
        "id", "owner", "author", "visibility", "file_name", "source_sha256", "content_sha256", "content_size_bytes",
        "width", "height", "format", "capture_time", "create_time", "update_time", "model_version", "tags",
        "near_duplicate_ids",
    }  # fmt: skip
    assert (two["id"], one["create_time"]) == (TWO, "2026-11-24T08:01:00+00:00")
    assert one["tags"][0] == {
        "name": "dog", "score": None, "state": "CONFIRMED", "source": "USER", "model_version": "",
    }  # fmt: skip


def test_options_say_which_photos_are_meant(server: KeptPhotos) -> None:
    done = run(
        "ls",
        "--json",
        "--owner=ada",
        "--tag=dog",
        "--model=fake@1",
        "--not-model=x@1",
        "--since=7d",
        "--until=2027-01-31",
    )
    assert [line["id"] for line in done.lines] == [ONE]
    asked = server.calls[-1][1]
    assert (asked["owner"], asked["tag"], asked["untagged"]) == ("ada", "dog", False)
    assert (asked["model_version"], asked["except_model_version"]) == ("fake@1", "x@1")
    assert asked["create_time_before"] == datetime(2027, 1, 31, tzinfo=timezone.utc)
    assert timedelta(days=7) <= datetime.now(timezone.utc) - asked["create_time_from"] < timedelta(days=7, hours=1)
    assert [line["id"] for line in run("ls", "--untagged", "--json").lines] == [TWO]
    assert run("ls", "--since=yesterday").code == 2


def test_a_table_ends_where_nobody_would_read_on_and_says_so(server: KeptPhotos) -> None:
    for number in range(110):
        server.keep(f"{number}".encode())
    done = run("ls")
    assert len(done.stdout.splitlines()) == 101
    assert "--limit" in done.stderr
    assert len(run("ls", "--limit=105").stdout.splitlines()) == 106
    assert (len(run("ls", "--json").lines), len(run("ls", "--json", "--limit=3").lines)) == (112, 3)


def test_a_photo_is_shown_with_its_tags_bars_and_look_alikes(server: KeptPhotos) -> None:
    shown = run("show", ONE).stdout
    for part in (ONE, "its owner", "40 x 30 JPEG, 3 bytes", "fake@1"):
        assert part in shown
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()[-3:]}
    assert rows["dog"] == ["confirmed", "user"]
    assert (rows["sky"][:2], rows["sky"][-1]) == (["suggested", "model"], "0.75")
    assert rows["cat"][0] == "rejected"
    other = run("show", TWO).stdout
    assert f"looks like  {ONE}" in other
    assert "everybody who is signed in" in other
    assert "no tags" in other
    assert [line["id"] for line in run("show", ONE, TWO, ONE, "--json").lines] == [ONE, TWO]


def test_what_is_not_there_is_told_and_the_others_are_shown(server: KeptPhotos) -> None:
    done = run("show", NOBODY, ONE, "--json")
    assert (done.code, [line["id"] for line in done.lines]) == (2, [ONE])
    assert done.stderr == f"{NOBODY}: no such photo\n"


def test_a_review_says_what_is_right_and_wrong(server: KeptPhotos) -> None:
    done = run("review", ONE, "--confirm=sky", "--reject=dog", "--add=a tree", "--add=bird", "--reset=cat", "--json")
    assert done.code == 0
    states = {each["name"]: each["state"] for each in done.lines[0]["tags"]}
    assert states == {
        "sky": "CONFIRMED", "dog": "REJECTED", "a tree": "CONFIRMED", "bird": "CONFIRMED", "cat": "SUGGESTED",
    }  # fmt: skip
    assert "a tree" in run("review", ONE, "--reject=bird").stdout
    assert run("review", ONE, "--confirm=nothing").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["review", ONE],
        ["review", "--add=dog"],
        ["review", NOBODY, "--add=dog"],
        ["set", ONE],
        ["set", "--shared"],
        ["set", NOBODY, "--shared"],
        ["rm", ONE],  # no terminal to ask on
        ["rm"],
        ["get", NOBODY],
        ["get"],
        ["show"],
        ["ls", "--limit=0"],
    ],
)
def test_a_wrong_command_line_ends_with_2_and_changes_nothing(server: KeptPhotos, arguments: list[str]) -> None:
    before = dict(server.kept)
    done = run(*arguments)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr
    assert server.kept == before
    assert list(Path().iterdir()) == []


def test_who_sees_photos_and_who_took_them_can_change(server: KeptPhotos) -> None:
    done = run("set", ONE, TWO, "--private", "--author=Ada")
    assert (done.code, len(done.stdout.splitlines())) == (0, 3)
    assert {(image.visibility, image.author) for image in server.kept.values()} == {("PRIVATE", "Ada")}
    (line,) = run("set", ONE, "--shared", "--json").lines
    assert (line["visibility"], line["author"]) == ("SHARED", "Ada")
    assert run("set", ONE, "--author=", "--json").lines[0]["author"] == ""


def test_photos_are_deleted_when_somebody_said_so(server: KeptPhotos) -> None:
    done = run("rm", ONE, NOBODY, "--yes", "--json")
    assert (done.code, done.lines) == (2, [{"id": ONE, "deleted": True}])
    assert list(server.kept) == [TWO]
    assert run("rm", TWO, "-y").stdout == f"Deleted {TWO}\n"


@pytest.mark.parametrize(("answer", "left"), [("n\n", 2), ("\n", 2), ("y\n", 0)])
def test_on_a_terminal_deleting_asks_first(
    server: KeptPhotos, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    monkeypatch.setattr("tagwright_admin.prompts.on_terminal", lambda: True)
    done = run("rm", ONE, TWO, stdin=answer)
    assert "Delete 2 photos at grpc://fake:8470 for good? [y/N]: " in done.stderr
    assert (len(server.kept), done.code) == (left, 1 if left else 0)


def test_what_befalls_every_photo_is_told_once(server: KeptPhotos, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(id: str) -> None:
        raise ScopeMissing("this takes tagging:write", code="PERMISSION_DENIED")

    monkeypatch.setattr(server, "delete_image", refuse)
    done = run("rm", ONE, TWO, "--yes")
    assert (done.code, done.stderr) == (1, "this takes tagging:write\n")

    def fail(id: str) -> None:
        raise QuotaExceeded("too many", code="RESOURCE_EXHAUSTED")

    monkeypatch.setattr(server, "delete_image", fail)
    assert len(run("rm", ONE, TWO, "--yes").stderr.splitlines()) == 2


def test_a_photo_is_saved_under_a_name_or_its_own(server: KeptPhotos, tmp_path: Path) -> None:
    assert run("get", ONE, f"--out={tmp_path / 'x.jpg'}").stdout == f"{tmp_path / 'x.jpg'}\n"
    assert (tmp_path / "x.jpg").read_bytes() == b"one"
    assert run("get", TWO, "--json").lines[0]["path"] == "_b.jpg"  # ../b\x07.png: no way out, and it is a JPEG
    assert Path("_b.jpg").read_bytes() == b"two"
    assert run("get", ONE, "--thumbnail").stdout == "1-thumbnail.jpg\n"
    assert Path("1-thumbnail.jpg").read_bytes() == b"small"
    assert run("get", ONE, "--out=-").stdout == "one"


def test_a_photo_replaces_no_file_that_was_not_named(server: KeptPhotos, tmp_path: Path) -> None:
    Path("1.jpg").write_bytes(b"mine")
    done = run("get", ONE)
    assert (done.code, Path("1.jpg").read_bytes()) == (2, b"mine")
    assert "--out" in done.stderr
    full = run("get", ONE, "--out=/no/such/folder/x.jpg")
    assert (full.code, full.stderr) == (1, "cannot write the photo: No such file or directory\n")
