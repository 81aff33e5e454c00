"""The web pages: sessions, forms and headers, as whoever attacks them would try."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import PASSWORD
from visitors import Visitor
from websites import Site, Somebody, website

from tagwright_client import Client, TokenInvalid
from tagwright_server.store.records import Role

SESSION = "tagwright_session"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of this module's own."""
    with website(tmp_path_factory.mktemp("site"), photos=3, account_failures_max=3) as site:
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


def _works(site: Site, token: str) -> bool:
    with Client.connect(f"grpc://{site.app.address}", token=token) as client:
        try:
            client.who_am_i()
        except TokenInvalid:
            return False
        return True


def test_the_session_is_in_a_cookie_that_neither_scripts_nor_other_sites_can_use(site: Site, ada: Somebody) -> None:
    visitor = Visitor(site.address)
    assert visitor.sign_in(ada.name).location == "/"
    (cookie,) = (line for line in visitor.set_cookies if line.startswith(f"{SESSION}=tws_"))
    assert {part.strip().lower() for part in cookie.split(";")[1:]} >= {"httponly", "samesite=lax", "path=/"}
    assert "max-age" not in cookie.lower()  # gone with the browser; the server says when it ends
    assert visitor.get("/").status == 200


def test_signing_out_ends_the_session_at_the_server(site: Site, visitor: Visitor) -> None:
    token = visitor.cookies[SESSION]
    assert _works(site, token)
    left = visitor.post("/sign-out", {}, at="/")
    assert (left.status, left.headers["clear-site-data"]) == (303, '"cache"')
    assert SESSION not in visitor.cookies
    assert not _works(site, token)
    thief = Visitor(site.address, {SESSION: token})
    assert thief.get("/").location == "/sign-in?ended=1"


def test_a_wrong_password_is_told_and_too_many_are_refused_with_a_time(site: Site) -> None:
    name, visitor = site.somebody().name, Visitor(site.address)
    wrong = visitor.sign_in(name, "wrong")
    assert wrong.status == 401
    assert "The user name or the password is wrong" in wrong.words
    assert SESSION not in visitor.cookies
    pages = [visitor.sign_in(name, "wrong") for _ in range(5)]
    assert pages[-1].status == 429
    assert int(pages[-1].headers["retry-after"]) >= 1
    assert "Try again in" in pages[-1].words


@pytest.mark.parametrize("path", ["/mine", "/search?q=a+%26+b&order=diverse", "/photos/x", "/account", "/admin"])
def test_who_has_not_signed_in_is_asked_to_and_comes_back(site: Site, ada: Somebody, path: str) -> None:
    visitor = Visitor(site.address)
    asked = visitor.get(path)
    assert asked.status == 303
    assert asked.location.startswith("/sign-in?next=")
    form = visitor.get(asked.location)
    (back,) = re.findall(r'name="next" value="([^"]*)"', form.text)
    assert visitor.sign_in(ada.name, next=back.replace("&amp;", "&")).location == path


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_signing_in_leads_nowhere_else(site: Site, ada: Somebody, path: str) -> None:
    assert Visitor(site.address).sign_in(ada.name, next=path).location == "/"


def test_a_session_that_has_ended_is_told_in_every_kind_of_answer(site: Site, ada: Somebody, visitor: Visitor) -> None:
    token = visitor.get("/account").form_token
    ada.client.change_password("a password for tests", "another password for tests")  # ends the other sessions
    assert visitor.get("/mine").location == "/sign-in?next=%2Fmine&ended=1"
    part = visitor.get("/mine?page=x", HX_Request="true", HX_Current_URL=f"{site.address}/mine")
    assert (part.status, part.headers["hx-redirect"]) == (401, "/sign-in?next=%2Fmine&ended=1")
    form = visitor.post("/account/keys", {"form_token": token, "name": "k", "scope": "search"})
    assert form.status == 401
    assert "Your session has ended" in form.words
    upload = visitor.post("/upload/photo", {}, X_Form_Token=token)
    assert upload.status == 401
    assert "Your session has ended" in upload.words
    change = visitor.post("/photos/x/tags", {"form_token": token}, HX_Request="true")
    assert (change.status, change.headers["hx-redirect"]) == (401, None)
    assert "Sign in in another tab" in change.words
    picture = visitor.get("/photos/x/thumbnail", Sec_Fetch_Dest="image")
    assert (picture.status, picture.body, visitor.set_cookies) == (401, b"", [])


@pytest.mark.parametrize("path", ["/nowhere", "/photos/none", "/sign-out", "/admin", "/search?q=%28dog"])
def test_a_page_that_says_what_is_wrong_leads_on(site: Site, ada: Somebody, visitor: Visitor, path: str) -> None:
    page = visitor.get(path)
    assert page.status in (400, 403, 404, 405)
    for place in ("/mine", "/upload", "/account"):
        assert f'href="{place}"' in page.text
    assert 'href="/admin"' not in page.text
    assert visitor.post("/sign-out", {"form_token": page.form_token}).location == "/sign-in?left=1"


def test_a_guests_page_that_says_what_is_wrong_leads_to_the_first_page_alone(site: Site) -> None:
    for cookies in ({}, {SESSION: "tws_" + "A" * 43}):
        page = Visitor(site.address, cookies).get("/nowhere")
        assert page.status == 404
        assert re.findall(r'<a [^>]*href="([^"]*)"', page.text) == ["#main", "/", "/"]
        assert "form_token" not in page.text


@pytest.mark.parametrize("rubbish", ["", "x", "tws_" + "A" * 43, "a b", "\x80\xff", "A" * 5000, "é", '"quoted; x"'])
def test_a_cookie_that_is_rubbish_is_no_session(site: Site, rubbish: str) -> None:
    visitor = Visitor(site.address, {SESSION: rubbish})
    assert visitor.send("GET", "/").status == 303


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, ""),
        ({}, "x.y"),
        ({}, "\udcff.é"),
        ({"Sec_Fetch_Site": "cross-site"}, None),
        ({"Sec_Fetch_Site": "same-site"}, None),
        ({"Origin": "https://evil.example"}, None),
        ({"Origin": "null"}, None),
    ],
)
def test_a_forged_form_is_refused_and_changes_nothing(
    site: Site, ada: Somebody, visitor: Visitor, headers: dict[str, str], token: str | None
) -> None:
    id = ada.keep()
    good = visitor.get(f"/photos/{id}").form_token
    sent = (good if token is None else token).encode("utf-8", "surrogatepass").decode("latin-1")
    for path, fields in (
        (f"/photos/{id}", {"action": "delete"}),
        (f"/photos/{id}/tags", {"action": "add", "tag": "x"}),
    ):
        answer = visitor.post(path, {**fields, "form_token": sent}, **headers)
        assert answer.status == 403
        assert "Nothing was done" in answer.words
    assert [tag.name for tag in ada.client.image(id).tags if tag.name == "x"] == []


def test_a_form_of_another_session_is_refused(site: Site, ada: Somebody, visitor: Visitor) -> None:
    other = Visitor(site.address)
    other.sign_in(site.somebody().name)
    stolen = other.get("/account").form_token
    assert visitor.post("/account/keys", {"name": "k", "scope": "search", "form_token": stolen}).status == 403
    assert list(ada.client.list_api_keys()) == []
    assert Visitor(site.address).post("/sign-in", {"username": ada.name, "password": "x"}).status == 403


def test_a_form_to_sign_in_that_is_out_of_date_is_shown_anew_and_then_works(site: Site, ada: Somebody) -> None:
    visitor = Visitor(site.address)
    old = visitor.get("/sign-in?next=%2Fmine").form_token
    visitor.sign_in(ada.name)  # in another tab
    fields = {"username": ada.name, "password": PASSWORD, "next": "/mine"}
    again = visitor.post("/sign-in", {**fields, "form_token": old})
    assert again.status == 403
    assert "Not signed in yet" in again.words
    assert f'value="{ada.name}"' in again.text
    assert PASSWORD not in again.text
    assert visitor.post("/sign-in", {**fields, "form_token": again.form_token}).location == "/mine"


@pytest.mark.parametrize("headers", [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_another_site_signs_nobody_in_or_out(site: Site, ada: Somebody, headers: dict[str, str]) -> None:
    visitor = Visitor(site.address)
    for path in ("/sign-out", "/sign-in"):
        answer = visitor.post(path, {"username": ada.name, "password": PASSWORD}, **headers)
        assert (answer.status, answer.location) == (403, "None")
        assert answer.headers["clear-site-data"] is None
        assert SESSION not in visitor.cookies


def test_a_form_that_is_refused_leads_back_to_where_it_was(site: Site, visitor: Visitor) -> None:
    refused = visitor.post("/account/keys", {"form_token": "x.y"}, Referer=f"{site.address}/account?a=1")
    assert 'href="/account?a=1">Back to the form' in refused.text
    for elsewhere in ("https://evil.example/x", f"{site.address}//evil.example/", "x", ""):
        refused = visitor.post("/account/keys", {"form_token": "x.y"}, Referer=elsewhere)
        assert refused.status == 403
        assert "evil.example" not in refused.text


def test_no_two_pages_have_the_same_form_token_and_all_of_a_session_work(visitor: Visitor) -> None:
    tokens = [visitor.get("/account").form_token for _ in range(3)]
    assert len(set(tokens)) == 3
    for number, token in enumerate(tokens):
        fields = {"name": f"k{number}", "scope": "search", "days": "30"}
        made = visitor.post("/account/keys", {**fields, "form_token": token})
        assert made.status == 200


def test_a_page_of_an_earlier_session_is_not_taken_for_one_of_this(site: Site, ada: Somebody, visitor: Visitor) -> None:
    before = visitor.get("/upload").headers["etag"]
    assert visitor.get("/upload", If_None_Match=before).status == 304
    visitor.post("/sign-out", {}, at="/")
    visitor.sign_in(ada.name)
    assert visitor.get("/upload", If_None_Match=before).status == 200  # the forms of the other would be refused


def test_signing_out_of_a_session_that_has_ended_is_signing_out(site: Site, ada: Somebody, visitor: Visitor) -> None:
    token = visitor.get("/").form_token
    ada.client.change_password("a password for tests", "another password for tests")
    left = visitor.post("/sign-out", {"form_token": token})
    assert (left.status, left.location) == (303, "/sign-in?left=1")
    assert SESSION not in visitor.cookies


def test_signing_in_again_ends_the_session_before(site: Site, ada: Somebody, visitor: Visitor) -> None:
    before = visitor.cookies[SESSION]
    visitor.sign_in(ada.name)
    assert visitor.cookies[SESSION] != before
    assert not _works(site, before)


@pytest.mark.parametrize("days", ["", "31", "x", None])
def test_a_key_ends_when_it_was_said_to_and_is_not_made_where_nothing_sensible_was(
    ada: Somebody, visitor: Visitor, days: str | None
) -> None:
    fields = {"name": "k", "scope": "search"} | ({} if days is None else {"days": days})
    assert visitor.post("/account/keys", fields, at="/account").status == (200 if days == "" else 400)
    assert [key.expire_time for key in ada.client.list_api_keys()] == ([None] if days == "" else [])


def test_tags_that_have_rules_and_no_photos_are_listed(site: Site, visitor: Visitor) -> None:
    with site.somebody(role=Role.ADMIN).client as client:
        client.set_tag_rules("unicorn", aliases=["licorne"])
    page = visitor.get("/tags?order=name")
    assert page.status == 200
    assert "unicorn" in page.words


def test_a_query_that_cannot_be_read_stays_in_the_box(visitor: Visitor) -> None:
    page = visitor.get("/search?q=dog+%26+(&order=diverse")
    assert page.status == 400
    assert 'value="dog &amp; ("' in page.text
    assert "This search cannot be read" in page.words


def test_every_answer_has_the_headers_that_keep_it_to_itself(site: Site, visitor: Visitor) -> None:
    style = re.findall(r'href="(/static/tagwright.css[^"]*)"', visitor.get("/").text)[0]
    image = site.gallery.client.search("").next_page()[0].image.id
    for path in ("/", "/sign-in", "/none", style, f"/photos/{image}/thumbnail", "/suggest?prefix=a", "/admin"):
        headers = visitor.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        if not path.endswith("/thumbnail"):  # no page, and nothing of it can run
            assert (policy["script-src"], policy["style-src"]) == ("'self'", "'self'")
            assert (policy["base-uri"], policy["form-action"]) == ("'none'", "'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers


def test_pages_have_no_script_or_style_in_them_and_load_nothing_from_elsewhere(site: Site, visitor: Visitor) -> None:
    for path in ("/", "/sign-in", "/upload", "/search?q=garden", "/tags", "/tags/garden", "/account", "/mine"):
        text = visitor.get(path).text
        assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", text) == []
        assert [at for at in re.findall(r'(?:src|href|action)="([^"]*)"', text) if not at.startswith(("/", "#"))] == []


def test_behind_a_proxy_with_tls_cookies_are_for_tls_alone(tmp_path: Path) -> None:
    with website(tmp_path, photos=0, pages=["--trusted-proxies", "127.0.0.1"], trusted_proxies="127.0.0.1") as site:
        name, visitor = site.somebody(role=Role.ADMIN).name, Visitor(site.address)
        proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
        page = visitor.send("GET", "/sign-in", headers=proxied)
        assert all("secure" in line.lower() for line in visitor.set_cookies)
        assert page.headers["strict-transport-security"].startswith("max-age=")
        body = f"form_token={page.form_token}&username={name}&password=a+password+for+tests".encode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert visitor.send("POST", "/sign-in", body, {**proxied, **form}).status == 303
        assert [name for name in visitor.cookies if name.startswith("__Host-")] == ["__Host-tagwright_session"]
        assert visitor.send("GET", "/", headers=proxied).status == 200
        with Client.connect(f"grpc://{site.app.address}", token=visitor.cookies["__Host-tagwright_session"]) as client:
            logins = [each.peer for each in client.list_audit_events(action="login") if each.actor == name]
        assert "203.0.113.7" in logins  # whoever signed in, not the pages
        for rubbish in ("unknown", "203.0.113.7, x", "evil, 203.0.113.7", ""):
            assert visitor.send("GET", "/", headers={**proxied, "X-Forwarded-For": rubbish}).status == 200, rubbish
