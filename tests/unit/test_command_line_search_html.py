"""The page that `search --html` and `similar --html` write: complete, whole or not there, and harmless."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import searched_photos
from kept_photos import run
from searched_photos import EVIL, ONE, PICTURE, THREE, TWO, SearchedPhotos

from tagwright_client import InternalError, NotFound, ScopeMissing

SAFE_EVIL = EVIL.replace("\x1b", r"\x1b").replace("\x07", r"\x07")


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and its text outside of styles."""

    def __init__(self, path: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = Path(path).read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.style = ""
        self._within = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = tag

    def handle_data(self, data: str) -> None:
        if self._within == "style":
            self.style += data
            self._within = ""
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchedPhotos:
    return searched_photos.searching(tmp_path, monkeypatch)


def test_the_page_has_the_query_the_photos_why_they_are_there_and_the_facets(server: SearchedPhotos) -> None:
    done = run("search", "hound", "--html", "a.html", "--ranking=diverse")
    assert (done.code, done.stderr) == (0, "the page is a.html\n")
    assert ONE in done.stdout  # the table is there as well
    page = Page("a.html")
    for text in (
        "hound", "2 photos · understood as dog · the best first, alike ones put together", "Also tagged", "sea", ONE,
        TWO, "0.75", "ada, 2026-11-24 08:01", "1 more like it", r"dog", r": \x1b[31mits owner's first tag",
    ):  # fmt: skip
        assert text in page.text
    picture = f"data:image/jpeg;base64,{base64.b64encode(PICTURE).decode()}"
    assert [each["src"] for each in page.named("img")] == [picture, picture]
    assert server.asked[0]["include_facets"] is True


def test_whatever_tags_and_files_are_called_the_page_stays_harmless(server: SearchedPhotos) -> None:
    server.keep(b"x", searched_photos.tag('" onerror="alert(1)'), file_name='" onerror="alert(1)', owner="'><img>")
    assert run("search", "--html", "a.html").code == 0
    page = Page("a.html")
    assert (page.named("script"), page.named("b"), len(page.named("img"))) == ([], [], 4)
    assert all(not name.startswith("on") and name != "style" for _, each in page.elements for name in each)
    assert SAFE_EVIL in page.text
    assert r"<b>\x1b[2J\u202e.jpg" in page.text
    assert not {"\x1b", "\x07", "\u202e"} & set(page.source)


def test_its_own_policy_lets_the_page_load_nothing_and_run_nothing(server: SearchedPhotos) -> None:
    run("search", "--html", "a.html")
    page = Page("a.html")
    (policy,) = [each["content"] for each in page.named("meta") if each.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    before, _, _ = page.source.partition("Content-Security-Policy")
    assert "<style" not in before
    assert re.findall(r"https?:|url\(|@import", page.source) == []
    assert "prefers-color-scheme: dark" in page.style


def test_photos_that_look_alike_have_a_page_with_the_one_they_are_like(server: SearchedPhotos) -> None:
    done = run("similar", ONE, "--html", "a.html", "--json")
    assert (done.code, len(done.lines)) == (0, 2)
    page = Page("a.html")
    assert page.named("img")[0]["alt"] == "The example"
    assert (len(page.named("img")), "looks the same" in page.text) == (3, True)
    assert run("search", "--like-id", ONE, "--html", "b.html").code == 0
    assert Page("b.html").named("img")[0]["alt"] == "The example"
    assert f"like {ONE} · the best first · fake@1" in Page("b.html").text


def test_a_page_has_as_many_photos_as_people_look_at_unless_they_say_more(server: SearchedPhotos) -> None:
    for number in range(60):
        server.keep(f"{number}".encode())
    assert run("search", "--html", "a.html").code == 0
    assert (len(Page("a.html").named("img")), "50 of 63 photos" in Page("a.html").text) == (50, True)
    done = run("search", "--html", "a.html", "--json", "--limit=60")
    assert (len(done.lines), len(Page("a.html").named("img"))) == (60, 60)


def test_nothing_found_is_a_page_that_says_so(server: SearchedPhotos) -> None:
    assert run("search", "unicorn", "--html", "a.html").code == 0
    assert "no photo" in Page("a.html").text


def test_a_picture_that_cannot_be_had_is_left_out_and_told(server: SearchedPhotos) -> None:
    server.thumbnail_errors = {ONE: NotFound("gone since")}
    assert run("search", "--html", "a.html").code == 0
    server.thumbnail_errors[TWO] = InternalError("the file is damaged", code="INTERNAL")
    done = run("search", "--html", "a.html")
    assert done.code == 1
    assert f"{TWO}: the file is damaged" in done.stderr
    page = Page("a.html")
    assert (len(page.named("img")), page.text.count("no picture"), THREE in page.text) == (1, 2, True)


def test_without_the_right_to_look_there_is_no_page(server: SearchedPhotos) -> None:
    server.thumbnail_errors = dict.fromkeys((ONE, TWO, THREE), ScopeMissing("it needs tagging:read"))
    done = run("search", "--html", "a.html")
    assert (done.code, os.listdir()) == (1, [])
    assert "it needs tagging:read" in done.stderr


@pytest.mark.parametrize("path", ["nowhere/a.html", "", "folder"])
def test_a_page_that_cannot_be_written_is_told_before_anything_is_asked(server: SearchedPhotos, path: str) -> None:
    Path("folder").mkdir()
    done = run("search", "--html", path)
    assert (done.code, done.stdout, server.asked) == (1, "", [])
    assert done.stderr.startswith("cannot write ")
    assert os.listdir() == ["folder"]


def test_a_device_is_not_replaced(server: SearchedPhotos) -> None:
    os.mkfifo("pipe")
    assert run("search", "--html", "pipe").code == 1
    assert Path("pipe").is_fifo()


def test_an_older_page_stays_until_the_new_one_is_complete(server: SearchedPhotos) -> None:
    Path("a.html").write_text("older")
    assert run("search", ")", "--html", "a.html").code == 2
    assert (Path("a.html").read_text(), os.listdir()) == ("older", ["a.html"])
    assert run("search", "--html", "a.html").code == 0
    assert "older" not in Path("a.html").read_text()
    assert Path("a.html").stat().st_mode & 0o077 == 0  # the photos may be nobody else's to see
