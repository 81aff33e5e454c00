"""What is written to do harm stays text; what is sent from elsewhere, or for somebody else, does nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from browsing import Watch, photo_file
from photos import exif, iptc
from playwright.sync_api import Page, expect
from websites import MEADOW, Site, Somebody, picture

from tagwright_server.store.records import Role

Opening = Callable[..., Page]
SCRIPT = "<script>document.title='taken'</script>"
PICTURE = "<img src=x onerror=alert(1)>"
QUOTES = "\"'><svg/onload=alert(1)>"
TEMPLATE = "{{ 7 * 7 }}${alert(1)}"
HOSTILE = (SCRIPT, PICTURE, QUOTES, TEMPLATE)


@pytest.fixture(scope="module")
def mallory(site: Site) -> Somebody:
    """Somebody whose name, photos and tags are written to do harm, to be seen by everybody."""
    return site.somebody(PICTURE, role=Role.USER)


@pytest.fixture(scope="module")
def trap(mallory: Somebody) -> str:
    """A photo of Mallory's."""
    camera = exif({0x9003: SCRIPT, 0x9286: PICTURE}, make=QUOTES)
    data = picture(666, MEADOW, exif=camera)
    data = data[:2] + iptc(SCRIPT.encode()) + data[2:]
    return mallory.keep(
        *(text.lower() for text in HOSTILE),
        "collie",
        data=data,
        file_name=f"{PICTURE}.jpg",
        author=SCRIPT,
        visibility="SHARED",
        use_embedded_tags=True,
    )


def is_harmless(page: Page) -> None:
    """Nothing of what is hostile has become part of the page."""
    expect(page.locator("script:not([src]), img[onerror], svg[onload], [onload], [onerror]")).to_have_count(0)
    assert page.title() != "taken"


def test_hostile_text_stays_text_wherever_it_is_shown(page: Page, trap: str) -> None:
    for path in ("/", f"/photos/{trap}", f"/photos/{trap}/refinement", "/tags", "/search?q=collie&order=newest"):
        page.goto(path)
        is_harmless(page)
    page.goto(f"/photos/{trap}")
    expect(page.get_by_role("heading", name=f"{PICTURE}.jpg")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text=SCRIPT)).to_be_visible()
    expect(page.get_by_role("definition").get_by_role("link", name=PICTURE)).to_be_visible()
    for text in HOSTILE:
        expect(page.locator("#tags").get_by_role("link", name=text.lower(), exact=True)).to_be_visible()


def test_tags_that_are_hostile_have_pages_lead_on_and_are_found(page: Page, trap: str) -> None:
    for text in HOSTILE:
        page.goto(f"/photos/{trap}")
        page.locator("#tags").get_by_role("link", name=text.lower(), exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(text.lower())
        expect(page.locator(f'.cell a[href="/photos/{trap}"]')).to_have_count(1)
        is_harmless(page)
    page.goto("/search")
    page.get_by_label("Search by tags").press_sequentially("<img")
    page.get_by_role("option", name=PICTURE).click()
    expect(page.locator(".found").filter(has_text="1 photo for")).to_be_visible()
    is_harmless(page)


def test_a_query_that_is_hostile_is_shown_as_it_was_typed(page: Page, watch: Watch) -> None:
    watch.expect("400 GET /search")
    for text in HOSTILE:
        page.goto("/search")
        page.get_by_label("Search by tags").fill(f"({text}")
        expect(page.locator("#notices .words")).to_contain_text(f"({text}"[:12])
        is_harmless(page)
        page.get_by_role("button", name="Search", exact=True).click()
        is_harmless(page)


def test_a_file_name_that_is_hostile_stays_text_while_it_is_uploaded(page: Page, watch: Watch) -> None:
    watch.expect("422 POST /upload/photo")
    page.goto("/upload")
    names = [f"{PICTURE}.jpg", f"{SCRIPT.replace('/', '')}.jpg", "{{7*7}}.jpg"]
    files = [photo_file(name, picture(700 + n)) for n, name in enumerate(names)]
    files.append(photo_file(f"bad {PICTURE}.jpg", b"no photo"))
    page.locator("#photos").set_input_files(files)
    expect(page.locator("#upload-state")).to_contain_text("3 of 4 kept, 1 failed. Done.")
    for name in (*names, f"bad {PICTURE}.jpg"):
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    is_harmless(page)


def test_a_form_of_another_site_does_nothing(browse: Opening, ann: Somebody, site: Site, watch: Watch) -> None:
    id = ann.keep("mine")
    watch.expect("asked elsewhere: http://evil.test:", f"/photos/{id}")
    page = browse(token=ann.token)
    evil = f"""<form method=post action="{site.address}/photos/{id}">
        <input name=action value=delete><input name=form_token value="a.b"><button>Win a prize</button></form>"""
    page.route("http://evil.test:81/", lambda route: route.fulfill(body=evil, content_type="text/html"))
    page.goto("http://evil.test:81/")
    page.get_by_role("button", name="Win a prize").click()
    expect(page).to_have_url(re.compile("/sign-in|/photos/"))
    assert ann.client.image(id).owner == ann.name


def test_another_site_signs_nobody_out(browse: Opening, ann: Somebody, site: Site, watch: Watch) -> None:
    watch.expect("asked elsewhere: http://evil.test:", "403 POST /sign-out")
    page = browse(token=ann.token)
    evil = f"<form method=post action='{site.address}/sign-out'><button>Win a prize</button></form>"
    page.route("http://evil.test:81/", lambda route: route.fulfill(body=evil, content_type="text/html"))
    page.goto("http://evil.test:81/")
    page.get_by_role("button", name="Win a prize").click()
    expect(page.get_by_role("heading", name="Refused")).to_be_visible()
    page.goto("/mine")
    expect(page.get_by_role("heading", name="My photos")).to_be_visible()


def test_a_form_with_a_made_up_token_is_refused_and_said(page: Page, ann: Somebody, watch: Watch) -> None:
    id = ann.keep("mine")
    watch.expect(f"403 POST /photos/{id}")
    page.goto(f"/photos/{id}")
    page.evaluate("document.querySelectorAll('[name=form_token]').forEach((field) => field.value = 'abc.def')")
    page.get_by_role("button", name="Share it with everybody here").click()
    expect(page.get_by_role("heading", name="This form is out of date")).to_be_visible()
    assert ann.client.image(id).visibility == "PRIVATE"


def test_a_form_of_somebody_elses_session_is_refused(
    page: Page, browse: Opening, ann: Somebody, site: Site, watch: Watch
) -> None:
    id = ann.keep("mine")
    watch.expect(f"403 POST /photos/{id}")
    other = browse(token=site.somebody().token)
    other.goto("/account")
    theirs = other.locator("[name=form_token]").first.input_value()
    page.goto(f"/photos/{id}")
    page.evaluate(
        "(token) => document.querySelectorAll('[name=form_token]').forEach((field) => field.value = token)", theirs
    )
    page.get_by_role("button", name="Share it with everybody here").click()
    expect(page.get_by_role("heading", name="This form is out of date")).to_be_visible()
    assert ann.client.image(id).visibility == "PRIVATE"


def test_a_photo_of_somebody_else_is_not_there_by_its_address(page: Page, site: Site, watch: Watch) -> None:
    bob = site.somebody()
    id = bob.keep("secret plans")
    watch.expect(f"404 GET /photos/{id}")
    for path in ("", "/refinement"):
        page.goto(f"/photos/{id}{path}")
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()
        expect(page.get_by_text("secret plans")).to_have_count(0)
    page.goto("/mine")
    for part in ("content", "thumbnail"):
        assert page.evaluate("async (path) => (await fetch(path)).status", f"/photos/{id}/{part}") == 404
    page.goto("/search?q=" + '"secret plans"')
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    page.goto(f"/search?q=owner:{bob.name}")
    expect(page.get_by_text("Nothing found.")).to_be_visible()


def test_what_one_saw_is_not_shown_to_the_next_one_at_the_same_browser(page: Page, site: Site, watch: Watch) -> None:
    ann, bob = site.somebody(), site.somebody()
    id = ann.keep("mine")
    context = page.context
    context.add_cookies([{"name": "tagwright_session", "value": ann.token, "url": site.address, "httpOnly": True}])
    page.goto(f"/photos/{id}")
    expect(page.locator("figure img")).to_have_js_property("naturalWidth", 320)
    page.goto(f"/photos/{id}/thumbnail")
    context.add_cookies([{"name": "tagwright_session", "value": bob.token, "url": site.address, "httpOnly": True}])
    watch.expect(f"404 GET /photos/{id}")
    for path in (f"/photos/{id}", f"/photos/{id}/thumbnail", f"/photos/{id}/content"):
        page.goto(path)
        expect(page.get_by_role("heading", name="Not found")).to_be_visible()


def test_pages_of_administrators_are_closed_to_others(page: Page, watch: Watch) -> None:
    watch.expect("403 GET /admin")
    page.goto("/")
    expect(page.get_by_role("link", name="Admin")).to_have_count(0)
    page.goto("/admin/users")
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
