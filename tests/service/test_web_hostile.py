"""The web pages: what people type, send and ask for that they should not. Each is safe, and said clearly."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from photos import encoded, scene
from PIL import Image
from visitors import Page, Visitor
from websites import Site, Somebody, picture, website

from tagwright_client import NotFound
from tagwright_server.store.records import Role

SCRIPT = "<script>alert(1)</script>"
NASTY = (SCRIPT, '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "javascript:alert(1)", "a&b;c", "');--", "x" * 60)
FILES = ("../../etc/passwd", "..\\..\\boot.ini", "a\r\nSet-Cookie: x=1", 'a"; filename="b')
MIB = 1024**2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of this module's own."""
    with website(tmp_path_factory.mktemp("site"), photos=3) as site:
        yield site
        assert site.failures() == []


@pytest.fixture
def ada(site: Site) -> Somebody:
    """Somebody with an account."""
    return site.somebody()


@pytest.fixture
def visitor(site: Site, ada: Somebody) -> Visitor:
    """Ada, signed in."""
    visitor = Visitor(site.address)
    assert visitor.sign_in(ada.name).status == 303
    return visitor


class _Parts(HTMLParser):
    """The elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and not (given.get("src") or "").startswith("/static/"):
            self.bad.append(f"script: {attrs}")
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.bad.append(f"{tag}: {name}={value}")
            if name in ("href", "src", "action", "formaction") and not (value or "").startswith(("/", "#")):
                self.bad.append(f"{tag}: {name}={value}")


def _harmless(page: Page) -> None:
    """Nothing of what was typed has become part of the page itself."""
    parts = _Parts()
    parts.feed(page.text)
    assert parts.bad == []
    assert ">49<" not in page.text  # no template is made of what people type


@pytest.mark.parametrize("text", NASTY)
def test_a_tag_is_just_a_tag_whatever_it_says(site: Site, ada: Somebody, visitor: Visitor, text: str) -> None:
    id = ada.keep(text)
    (name,) = (tag.name for tag in ada.client.image(id).tags if tag.source == "USER")
    added = visitor.post(f"/photos/{id}/tags", {"action": "reject", "tag": name}, at=f"/photos/{id}")
    assert added.status == 303
    visitor.post(f"/photos/{id}/tags", {"action": "confirm", "tag": name}, at=f"/photos/{id}")
    tag = f"/tags/{quote(name, safe='')}"
    for path in (f"/photos/{id}", "/mine", "/", "/tags", "/tags?order=name", tag, f"/photos/{id}/refinement"):
        page = visitor.get(path)
        assert page.status == 200, path
        _harmless(page)
    assert name in unescape(visitor.get(f"/photos/{id}").text)
    found = visitor.get(f"/search?q={quote(_query_for(visitor, name))}")
    assert found.status == 200
    assert f"/photos/{id}" in found.text
    _harmless(found)


def _query_for(visitor: Visitor, name: str) -> str:
    suggestions = visitor.get(f"/suggest?prefix={quote(name)}")
    assert suggestions.headers["content-type"] == "application/json"
    word: str = next(each["word"] for each in json.loads(suggestions.text) if each["name"] == name)
    return word


@pytest.mark.parametrize(
    "text", [*NASTY, "../../etc/passwd", "..\\..\\boot.ini", "a\r\nSet-Cookie: x=1", 'a"; filename="b']
)
def test_a_file_name_is_just_a_name(site: Site, ada: Somebody, visitor: Visitor, text: str) -> None:
    kept = visitor.upload("/upload", "photos", {text: picture(hash(text) % 2**31)}, {"tags": ""}, at="/upload")
    assert kept.status == 200
    _harmless(kept)
    (id,) = re.findall(r'data-id="([^"]+)"', kept.text)
    name = ada.client.image(id).file_name
    assert "/" not in name
    assert "\\" not in name
    for path in (f"/photos/{id}", "/mine", "/"):
        _harmless(visitor.get(path))
    saved = visitor.get(f"/photos/{id}/content?save=1").headers["content-disposition"]
    assert saved == f'attachment; filename="{id}.jpg"'


@pytest.mark.parametrize("name", ["o'brien", "a.b-c_d", "ünïcode", "x" * 30])
def test_a_user_name_is_just_a_name(site: Site, name: str) -> None:
    odd = site.somebody(name, role=Role.ADMIN)
    visitor = Visitor(site.address)
    visitor.sign_in(name)
    id = odd.keep()
    for path in ("/", "/account", f"/photos/{id}", "/admin/users", "/admin/audit"):
        page = visitor.get(path)
        assert page.status == 200, path
        _harmless(page)
    assert f"/photos/{id}" in visitor.get("/mine").text


def test_a_user_name_with_script_is_refused_or_shown_as_text(site: Site) -> None:
    boss = site.somebody(role=Role.ADMIN)
    visitor = Visitor(site.address)
    visitor.sign_in(boss.name)
    fields = {"username": SCRIPT, "password": "a password for tests", "role": "USER"}
    made = visitor.post("/admin/users", fields, at="/admin/users")
    assert made.status in (303, 400)
    _harmless(made)
    _harmless(visitor.get("/admin/users"))
    wrong = Visitor(site.address).sign_in(SCRIPT, "wrong")
    assert wrong.status in (400, 401)
    _harmless(wrong)


def test_keywords_and_exif_in_a_photo_are_just_text(ada: Somebody, visitor: Visitor) -> None:
    exif = Image.Exif()
    for field in (0x010E, 0x013B, 0x8298, 0x010F, 0x0110):  # description, artist, copyright, make, model
        exif[field] = SCRIPT
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag>'
        "<rdf:li>&lt;script&gt;alert(1)&lt;/script&gt;</rdf:li><rdf:li>harbour</rdf:li>"
        "</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    photo = encoded(scene(seed=77), "JPEG", exif=exif, xmp=xmp.encode())
    kept = visitor.upload("/upload", "photos", {"exif.jpg": photo}, {"embedded": "1"}, at="/upload")
    (id,) = re.findall(r'data-id="([^"]+)"', kept.text)
    assert {"harbour", SCRIPT} <= {tag.name for tag in ada.client.image(id).tags}
    for page in (kept, visitor.get(f"/photos/{id}"), visitor.get("/tags")):
        _harmless(page)
    assert SCRIPT.encode() not in visitor.get(f"/photos/{id}/content").body  # the pixels alone are kept


def test_a_photo_of_somebody_else_does_not_exist(site: Site, ada: Somebody) -> None:
    id = ada.keep("secret")
    stranger = Visitor(site.address)
    stranger.sign_in(site.somebody().name)
    for path in ("", "/content", "/thumbnail", "/refinement", "/similar"):
        page = stranger.get(f"/photos/{id}{path}")
        assert page.status == 404, path
        assert "secret" not in page.text
    etag = {"If_None_Match": f'"{id}-kept"'}
    assert stranger.get(f"/photos/{id}/content", **etag).status == 404
    for path, fields in (("", {"action": "delete"}), ("/tags", {"action": "add", "tag": "mine"})):
        assert stranger.post(f"/photos/{id}{path}", fields, at="/account").status == 404
    assert stranger.get(f"/search?like={id}").status == 404
    assert "0 photos" in stranger.get("/search?q=secret").words
    assert json.loads(stranger.get("/suggest?prefix=secret").text) == []
    assert ada.client.image(id).tags


def test_a_shared_photo_can_be_seen_by_others_and_changed_by_none(site: Site, ada: Somebody) -> None:
    id = ada.keep("shared thing", visibility="SHARED")
    stranger = Visitor(site.address)
    stranger.sign_in(site.somebody().name)
    page = stranger.get(f"/photos/{id}")
    assert page.status == 200
    assert "Delete" not in page.words
    assert 'value="confirm"' not in page.text
    assert stranger.post(f"/photos/{id}", {"action": "delete"}, at="/account").status in (403, 404)
    assert stranger.post(f"/photos/{id}/tags", {"action": "add", "tag": "x"}, at="/account").status in (403, 404)
    assert "x" not in {tag.name for tag in ada.client.image(id).tags}


def test_administrators_pages_are_for_administrators(site: Site, visitor: Visitor) -> None:
    for path in ("", "/users", "/uploads", "/operations", "/tags", "/models", "/audit"):
        assert visitor.get(f"/admin{path}").status == 403, path
    for path in ("/users", "/operations", "/uploads/archive"):
        assert visitor.post(f"/admin{path}", {}, at="/account").status in (403, 404, 405), path
    assert "/admin" not in visitor.get("/").text


def test_what_is_not_a_photo_is_refused_alone(ada: Somebody, visitor: Visitor) -> None:
    files = {"good.jpg": picture(41), "bad.jpg": b"<html>", "empty.jpg": b"", "also good.jpg": picture(42)}
    kept = visitor.upload("/upload", "photos", files, {}, at="/upload")
    assert kept.status == 200
    assert len(re.findall('data-id="', kept.text)) == 2
    assert kept.words.count("This photo was not taken") == 2
    assert {image.file_name for image in ada.client.images(owner=ada.name)} == {"good.jpg", "also good.jpg"}


def test_a_body_that_is_too_large_is_refused_before_it_is_read(visitor: Visitor) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(900 * MIB)}
    answer = visitor.send("POST", "/upload/photo", b"", headers)
    assert answer.status == 413
    assert "MiB" in answer.text


def test_a_body_that_grows_too_large_is_refused_as_soon_as_it_is(visitor: Visitor) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x", "X-Form-Token": visitor.get("/upload").form_token}
    begin = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="large.jpg"\r\n\r\n'
    chunks = itertools.chain([begin], itertools.repeat(bytes(MIB), 21))  # nobody says how large it is
    answer = visitor.send("POST", "/upload/photo", chunks, headers)
    assert answer.status == 413
    assert "21 MiB" in answer.words


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\n--x--"),
        ("multipart/form-data; boundary=x", b"no part"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n' * 600,
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--"),
        ("application/x-www-form-urlencoded", b"a=" + b"b" * 70_000),
        ("application/x-www-form-urlencoded", b"a=b&" * 300),
        ("application/json", b"{"),
        ("", b"\xff\x00"),
    ],
)
def test_a_form_that_is_none_is_refused_and_nobodys_fault(visitor: Visitor, kind: str, body: bytes) -> None:
    for guest in (visitor, Visitor(visitor.address)):
        for path in ("/sign-in", "/account/keys"):
            answer = guest.send("POST", path, body, {"Content-Type": kind})
            assert answer.status in (400, 401, 403), path  # the fixture sees that nothing is logged of it


@pytest.mark.parametrize(
    "path",
    [
        "/none",
        "/photos/",
        "/photos/%00",
        "/photos/..%2f..%2fetc%2fpasswd",
        "/photos/" + "a" * 3000,
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/%2e%2e%2fapp.py",
        "/static/none.css",
    ],
)
def test_an_address_of_nothing_is_not_found(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status in (400, 404)
    assert "Traceback" not in answer.text
    assert "def " not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "q=%28dog+%7C",
        "q=%00",
        "q=%FF%FE",
        "q=" + "%28" * 900,
        "order=none&q=dog",
        "page=rubbish",
        "like=rubbish",
        "q=a&q=b",
    ],
)
def test_a_search_that_makes_no_sense_is_said_or_answered(visitor: Visitor, query: str) -> None:
    answer = visitor.get(f"/search?{query}")
    assert answer.status in (200, 400, 404)
    assert "Something went wrong" not in answer.text
    _harmless(answer)


@pytest.mark.parametrize("tag", ["/", "..", ".", "a/b", "%", "?", "#x", "ä", " "])
def test_the_page_of_a_tag_has_an_address_whatever_the_tag(ada: Somebody, visitor: Visitor, tag: str) -> None:
    answer = visitor.get(f"/tags/{quote(tag, safe='')}")
    assert answer.status in (200, 400, 404)
    assert "Something went wrong" not in answer.text


def test_reviews_that_make_no_sense_are_said(ada: Somebody, visitor: Visitor) -> None:
    id = ada.keep()
    for fields in ({"action": "explode", "tag": "x"}, {"action": "add", "tag": " , "}, {"action": "confirm"}, {}):
        assert visitor.post(f"/photos/{id}/tags", fields, at=f"/photos/{id}").status == 400
    for action in ("", "explode"):
        assert visitor.post(f"/photos/{id}", {"action": action}, at=f"/photos/{id}").status == 400
    assert visitor.post(f"/photos/{id}", {"action": "visibility", "visibility": "LOUD"}, at="/account").status == 400


def test_a_deleted_photo_is_gone_from_the_pages_and_from_their_caches(ada: Somebody, visitor: Visitor) -> None:
    id = ada.keep("short lived")
    first = visitor.get(f"/photos/{id}/thumbnail")
    assert first.headers["cache-control"].startswith("private")
    assert first.headers["vary"] == "Cookie"
    with Image.open(io.BytesIO(first.body)) as small:
        assert max(small.size) <= 384
    again = visitor.get(f"/photos/{id}/thumbnail", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert visitor.post(f"/photos/{id}", {"action": "delete"}, at=f"/photos/{id}").location == "/mine?done=deleted"
    assert visitor.get(f"/photos/{id}/thumbnail", If_None_Match=first.headers["etag"]).status == 404
    assert visitor.get(f"/photos/{id}").status == 404
    with pytest.raises(NotFound):
        ada.client.image(id)


def test_a_page_that_did_not_change_is_not_sent_again(ada: Somebody, visitor: Visitor) -> None:
    id = ada.keep()
    first = visitor.get("/mine")
    assert first.headers["cache-control"] == "private, no-cache"
    assert visitor.get("/mine", If_None_Match=first.headers["etag"]).status == 304
    visitor.post(f"/photos/{id}/tags", {"action": "add", "tag": "changed"}, at=f"/photos/{id}")
    assert visitor.get("/mine", If_None_Match=first.headers["etag"]).status == 200
