"""The commands `search`, `similar`, `related` and `suggest`: what people and programs see, and what is refused."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import pytest
import searched_photos
from kept_photos import Done, run
from searched_photos import EVIL, NOBODY, ONE, PICTURE, THREE, TWO, SearchedPhotos

from tagwright_admin import thumbnails
from tagwright_admin.commands import app
from tagwright_client import Busy, NotFound, ScopeMissing

SAFE = r"\x1b]0;owned\x07<script>alert(1)</script>"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchedPhotos:
    for name in ("TERM", "TERM_PROGRAM", "LC_TERMINAL", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    return searched_photos.searching(tmp_path, monkeypatch)


def clean(done: Done) -> bool:
    """Whether nothing that others wrote reached the terminal as it was."""
    return not {"\x1b", "\x07", "\u202e"} & set(done.stdout + done.stderr)


def test_what_is_found_is_a_table_under_a_line_about_all_of_it(server: SearchedPhotos) -> None:
    done = run("search", "hound")
    assert (done.code, done.stderr, clean(done)) == (0, "", True)
    about, titles, first, second = done.stdout.splitlines()
    assert about == "2 photos  dog  12 ms"
    assert titles.split() == ["#", "id", "file", "score", "owner", "stored", "tags"]
    assert first.split()[:3] == ["1", ONE, "1.jpg"]
    assert "███████▌   0.75" in first
    assert first.rstrip().endswith("2026-11-24 08:01  dog 0.75")
    assert r"<b>\x1b[2J\u202e.jpg" in second
    assert r"bob\x1b[31m" in second


def test_without_a_query_all_photos_are_found_with_tags_of_their_own(server: SearchedPhotos) -> None:
    done = run("search")
    assert done.stdout.startswith("3 photos  all  12 ms\n")
    assert [line.split()[1] for line in done.stdout.splitlines()[2:]] == [ONE, TWO, THREE]
    assert "dog, sea" in done.stdout
    assert "cat" not in done.stdout
    assert (SAFE in done.stdout, clean(done)) == (True, True)


def test_reasons_facets_and_what_was_put_together_are_shown_on_request(server: SearchedPhotos) -> None:
    done = run("search", "dog", "--why", "--facets", "--ranking=diverse")
    assert (done.code, clean(done)) == (0, True)
    assert r"0.75 dog: \x1b[31mits owner's first tag" in done.stdout
    assert "1 more like it" in done.stdout
    found, facets = done.stdout.split("\n\n")
    assert len(found.splitlines()) == 4
    assert re.search(r"^sea +██████████ +1$", facets, re.MULTILINE)
    assert SAFE in facets
    asked = server.asked[0]
    assert (asked["ranking"], asked["include_facets"], asked["include_evidence"]) == ("diverse", True, True)


def test_programs_get_a_line_a_photo_and_first_the_facets_if_they_ask(server: SearchedPhotos) -> None:
    done = run("search", "dog", "--json", "--facets", "--why")
    assert (done.code, done.stderr) == (0, "")
    about, one, two = done.lines
    assert about == {
        "total_count": 2,
        "understood_query": "dog",
        "model_version": "",
        "facets": [{"tag": "sea", "count": 1}, {"tag": "cat", "count": 1}, {"tag": EVIL, "count": 1}],
    }
    assert (one["rank"], one["id"], one["score"], one["collapsed_ids"]) == (1, ONE, 0.75, [])
    assert (two["owner"], two["file_name"]) == ("bob\x1b[31m", "<b>\x1b[2J\u202e.jpg")
    (match,) = one["matches"]
    assert (match["query_tag"], match["score"], match["tag"]["state"]) == ("dog", 0.75, "CONFIRMED")
    assert match["tag"]["evidence"][0]["kind"] == "USER_TAG"
    assert "its owner's first tag" in match["why"]
    assert [line["id"] for line in run("search", "dog", "--json").lines] == [ONE, TWO]
    listed = run("ls", "--json").lines[0]
    assert listed.keys() < one.keys()


def test_programs_get_all_and_people_as_many_as_they_read(server: SearchedPhotos) -> None:
    for number in range(60):
        server.keep(f"{number}".encode())
    done = run("search")
    assert len(done.stdout.splitlines()) == 52
    assert "these are the first 50; --limit COUNT shows more" in done.stderr
    assert len(run("search", "--json").lines) == 63
    assert len(run("search", "--json", "--limit=5").lines) == 5
    done = run("search", "--limit=55")
    assert (len(done.stdout.splitlines()), done.stderr) == (57, "")
    assert [asked["page_size"] for asked in server.asked] == [51, 500, 6, 56]
    assert "--limit" in run("similar", ONE).stderr
    assert len(run("similar", ONE, "--json").lines) == 62


def test_nothing_found_is_said_and_no_failure(server: SearchedPhotos) -> None:
    done = run("search", "unicorn", "--facets")
    assert (done.code, done.stdout, done.stderr) == (0, "no photo  unicorn  12 ms\n", "")
    assert run("search", "unicorn", "--json").stdout == ""
    del server.kept[TWO], server.kept[THREE]
    assert run("similar", ONE).stdout == "no photo\n"


def test_a_query_that_cannot_be_read_is_shown_with_a_caret_below_it(server: SearchedPhotos) -> None:
    done = run("search", "dog\x1b[31m & )")
    assert (done.code, done.stdout, clean(done)) == (2, "", True)
    text, query, caret = done.stderr.splitlines()
    assert text == "query: a tag was expected"
    assert query.index(")") == caret.index("^")


def test_an_example_is_a_file_or_standard_input_or_a_photo_that_is_kept(
    server: SearchedPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.jpg").write_bytes(b"dog")
    done = run("search", "--like", "a.jpg")
    assert (done.code, done.stdout.splitlines()[0]) == (0, "3 photos  like a.jpg  fake@1, 12 ms")
    assert run("search", "dog", "--like", "-", stdin="from there").stdout.startswith(
        "2 photos  dog, like standard input"
    )
    done = run("search", "dog", "--like-id", ONE)
    assert done.stdout.splitlines()[0] == f"1 photo  dog, like {ONE}  fake@1, 12 ms"
    assert [asked["example"] for asked in server.asked] == [b"dog", b"from there", None]


def test_an_example_that_is_no_photo_is_named(server: SearchedPhotos) -> None:
    Path("b\x1b[31m.jpg").write_bytes(b"!no photo")
    done = run("search", "--like", "b\x1b[31m.jpg")
    assert (done.code, done.stdout, done.stderr) == (1, "", r"b\x1b[31m.jpg: This is not a photo." + "\n")
    Path("folder").mkdir()
    done = run("search", "--like", "folder")
    assert (done.code, done.stderr) == (1, "folder: cannot read the photo: Is a directory\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "--like=a.jpg", f"--like-id={ONE}"],
        ["search", "--like=nowhere.jpg"],
        ["search", "--like="],
        ["search", f"--like-id={NOBODY}"],
        ["search", "--ranking=best"],
        ["search", "--limit=0"],
        ["search", "dog", "cat"],
        ["search", "--thumbnails"],
        ["similar"],
        ["similar", NOBODY],
        ["similar", ONE, "--thumbnails", "--json"],
        ["related"],
        ["related", "nothing"],
        ["related", "hound", "--limit=101"],
        ["suggest", "--limit=0"],
    ],
)
def test_what_makes_no_sense_ends_with_2(server: SearchedPhotos, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr


def test_photos_that_look_alike_are_a_table_with_the_same_ones_marked(server: SearchedPhotos) -> None:
    done = run("similar", ONE)
    assert (done.code, done.stderr, clean(done)) == (0, "", True)
    titles, first, second = done.stdout.splitlines()
    assert titles.split() == ["#", "id", "file", "alike", "owner", "stored", "tags"]
    assert ("0.88" in first, "looks the same" in first, "looks the same" in second) == (True, True, False)
    two, three = run("similar", ONE, "--json").lines
    assert (two["rank"], two["id"], two["similarity"], two["near_duplicate"]) == (1, TWO, 0.875, True)
    assert (three["id"], three["near_duplicate"]) == (THREE, False)
    assert len(run("similar", ONE, "--limit=1", "--json").lines) == 1


def test_related_tags_have_bars_for_both_ways_in_which_they_are(server: SearchedPhotos) -> None:
    done = run("related", "hound")
    assert (done.code, done.stderr, clean(done)) == (0, "", True)
    heading, titles, first, second = done.stdout.splitlines()
    assert heading == "dog  3 photos"
    assert titles.split() == ["related", "score", "together", "look", "photos", "with", "both"]
    assert re.search(r"0\.50 +███████▌ +0\.75 +██▌ +0\.25 +1,200", first)
    assert first.startswith(SAFE)
    assert second.split()[0] == "sea"
    assert run("related", "hound", "--json").lines[0] == {
        "tag": "dog", "name": EVIL, "score": 0.5, "cooccurrence": 0.75, "look": 0.25, "both_count": 1200,
    }  # fmt: skip
    assert len(run("related", "hound", "--json", "--limit=1").lines) == 1
    assert "nothing goes with it" in run("related", "lonely").stdout


def test_suggestions_say_what_was_typed_otherwise(server: SearchedPhotos) -> None:
    done = run("suggest", "do")
    assert (done.code, done.stderr, clean(done)) == (0, "", True)
    _, dog, evil, fog = done.stdout.splitlines()
    assert dog.split() == ["dog", "1,200"]
    assert evil.rstrip().endswith("by its other name doggy")
    assert fog.rstrip().endswith("1 letter typed otherwise")
    assert run("suggest", "do", "--json", "--limit=1").lines == [
        {"name": "dog", "image_count": 1200, "alias": "", "typing_errors": 0}
    ]
    assert run("suggest", "zzz").stdout == "no tag is like it\n"


@pytest.mark.parametrize(
    ("environment", "understood"),
    [
        ({"TERM_PROGRAM": "iTerm.app", "TERM": "xterm-256color"}, True),
        ({"TERM_PROGRAM": "WezTerm"}, True),
        ({"TERM_PROGRAM": "mintty"}, True),
        ({"LC_TERMINAL": "iTerm2"}, True),
        ({"LC_TERMINAL": "iTerm2", "TMUX": "/tmp/tmux-0/default,1,0"}, False),
        ({"LC_TERMINAL": "iTerm2", "TERM": "screen-256color"}, False),
        ({"TERM_PROGRAM": "WezTerm", "TERM": "dumb"}, False),
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, False),
        ({"TERM_PROGRAM": "Apple_Terminal"}, False),
        ({}, False),
    ],
)
def test_terminals_that_show_pictures_are_known_by_their_environment(
    environment: dict[str, str], understood: bool
) -> None:
    assert thumbnails.understood(environment) is understood


class Screen(io.StringIO):
    """A terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment says that the terminal shows pictures."""
    monkeypatch.setenv("TERM_PROGRAM", "WezTerm")
    monkeypatch.setenv("NO_COLOR", "1")


def on_screen(*arguments: str) -> tuple[str, int]:
    """Run the command on a terminal; return what it showed, and its exit code."""
    shown = Screen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", shown)
        with pytest.raises(SystemExit) as ended:
            app(list(arguments))
    return shown.getvalue(), int(str(ended.value.code))


PICTURES = re.compile(r"\x1b\]1337;File=inline=1;size=8;width=14;height=6;preserveAspectRatio=1:([A-Za-z0-9+/=]+)\x07")


def test_terminals_that_can_show_each_photo_beside_what_is_said_of_it(server: SearchedPhotos, terminal: None) -> None:
    shown, code = on_screen("search", "dog", "--why")
    assert code == 0
    assert [base64.b64decode(data) for data in PICTURES.findall(shown)] == [PICTURE, PICTURE]
    for text in (ONE, TWO, r"<b>\x1b[2J\u202e.jpg", r"bob\x1b[31m", r"\x1b[31mits owner's first tag"):
        assert text in shown
    left = re.sub(r"\x1b(?:[78]|\[\d+[AC]|\[[0-9;]*m)", "", PICTURES.sub("", shown))
    assert not {"\x1b", "\x07", "\u202e"} & set(left)


def test_a_picture_and_the_text_beside_it_leave_the_cursor_below_both() -> None:
    few = thumbnails.beside(PICTURE, ["a", "b"], margin=2)
    assert few.startswith("\n" * 7 + "\x1b[7A\x1b7\x1b]1337;")
    assert few.endswith("\x1b8\x1b[16Ca\n\x1b[16Cb\n" + "\n" * 5)
    assert thumbnails.beside(None, ["a"] * 9, margin=2).count("\n") == 10 + 10


def test_without_pictures_the_table_is_shown(
    server: SearchedPhotos, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, code = on_screen("similar", ONE, "--no-thumbnails")
    assert (code, "1337" in shown, "alike" in shown) == (0, False, True)
    monkeypatch.delenv("TERM_PROGRAM")
    assert "1337" not in on_screen("similar", ONE)[0]
    assert "1337" in on_screen("similar", ONE, "--thumbnails")[0]  # whoever says so knows the terminal


def test_a_picture_that_cannot_be_had_is_told_and_the_others_are_shown(
    server: SearchedPhotos, terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    server.thumbnail_errors = {ONE: Busy("the database is locked"), TWO: NotFound("gone since")}
    shown, code = on_screen("search")
    assert (code, len(PICTURES.findall(shown)), THREE in shown) == (1, 1, True)
    assert capsys.readouterr().err == f"{ONE}: the database is locked\n"


def test_whoever_may_search_but_not_look_does_without_pictures(server: SearchedPhotos, terminal: None) -> None:
    server.thumbnail_errors = dict.fromkeys((ONE, TWO, THREE), ScopeMissing("it needs tagging:read"))
    shown, code = on_screen("search")
    assert (code, PICTURES.findall(shown), THREE in shown) == (0, [], True)
    assert on_screen("search", "--thumbnails")[1] == 1


def test_what_is_no_jpeg_never_reaches_the_terminal(
    server: SearchedPhotos, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searched_photos, "PICTURE", b"\x1b]0;owned\x07")
    shown, code = on_screen("search")
    assert (code, "1337" in shown, "owned\x07" in shown) == (0, False, False)
