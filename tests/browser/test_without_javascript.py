"""Without JavaScript: signing in, uploading, correcting and searching still work."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import pytest
from browsing import Watch, photo_file
from playwright.sync_api import Page, expect
from servers import PASSWORD
from websites import MEADOW, Site, Somebody, picture

from tagwright_server.errors import ModelUnavailable

Opening = Callable[..., Page]


@pytest.fixture
def plain(browse: Opening, ann: Somebody, size: str) -> Page:
    """Ann's page, in a browser that runs no script."""
    return browse(token=ann.token, size=size, java_script_enabled=False)


def test_one_signs_in_and_out(browse: Opening, ann: Somebody, size: str) -> None:
    page = browse(size=size, java_script_enabled=False)
    page.goto("/mine")
    page.get_by_label("Name").fill(ann.name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="My photos")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You have signed out.")).to_be_visible()


def test_several_photos_are_uploaded_and_one_that_is_refused_fails_alone(plain: Page, ann: Somebody) -> None:
    plain.goto("/upload")
    plain.locator("#photos").set_input_files(
        [
            photo_file("a.jpg", picture(1, MEADOW)),
            photo_file("bad.jpg", b"no photo"),
            photo_file("b.jpg", picture(2)),
        ]
    )
    plain.get_by_label("Tags of your own").fill("plain, paper")
    plain.get_by_role("button", name="Upload").click()
    expect(plain.get_by_role("heading", name="a.jpg")).to_be_visible()
    expect(plain.get_by_role("heading", name="b.jpg")).to_be_visible()
    expect(plain.locator(".result.failed")).to_contain_text("bad.jpg")
    expect(plain.locator(".result.failed .error")).to_contain_text("This photo was not taken")
    kept = list(ann.client.images(owner=ann.name))
    assert {image.file_name for image in kept} == {"a.jpg", "b.jpg"}
    assert all({"plain", "paper"} <= {tag.name for tag in image.tags} for image in kept)


def test_photos_wait_a_while_for_a_model_that_is_away(plain: Page, ann: Somebody, site: Site) -> None:
    def there_again() -> None:
        site.eye.error = None

    plain.goto("/upload")
    plain.locator("#photos").set_input_files([photo_file(f"{n}.jpg", picture(10 + n)) for n in range(3)])
    site.eye.error = ModelUnavailable("away on purpose", retry_after_s=1)
    back = threading.Timer(1.5, there_again)
    back.start()
    try:
        plain.get_by_role("button", name="Upload").click()
        expect(plain.get_by_role("heading", name="2.jpg")).to_be_visible()
    finally:
        back.join()
    expect(plain.locator(".result.failed")).to_have_count(0)
    assert len(list(ann.client.images(owner=ann.name))) == 3


def test_tags_are_corrected(plain: Page, ann: Somebody) -> None:
    id = ann.keep(colour=MEADOW)
    plain.goto(f"/photos/{id}")
    plain.get_by_role("button", name="dog is right").click()
    expect(plain.get_by_role("button", name="Take back what was said of dog")).to_be_visible()
    plain.get_by_role("button", name="animals is wrong").click()
    plain.get_by_label("Add a tag").fill("summer")
    plain.get_by_role("button", name="Add", exact=True).click()
    expect(plain.get_by_role("link", name="summer", exact=True)).to_be_visible()
    expect(plain).to_have_url(re.compile(f"/photos/{id}$"))
    states = {tag.name: tag.state for tag in ann.client.image(id).tags}
    assert states == {"dog": "CONFIRMED", "summer": "CONFIRMED", "animals": "REJECTED"}
    plain.get_by_role("link", name="Check the tags, and say why").click()
    expect(plain.get_by_role("heading", name="What refinement says")).to_be_visible()
    expect(plain.locator("#refinement")).to_contain_text("photos could vote")


def test_one_searches_and_goes_on_page_by_page(plain: Page) -> None:
    plain.goto("/")
    plain.get_by_label("Search by tags").fill("harbour | garden")
    plain.get_by_role("button", name="Search", exact=True).click()
    expect(plain.locator(".found").filter(has_text="150 photos")).to_be_visible()
    seen = set[str | None]()
    for left in (True, True, True, False):
        seen |= {link.get_attribute("href") for link in plain.locator(".cell > a:first-child").all()}
        if left:
            plain.get_by_role("link", name="More photos").click()
            expect(plain).to_have_url(re.compile("page="))
    assert len(seen) == 150
    plain.goto("/search?q=harbour")
    plain.get_by_label("Newest").check()
    plain.get_by_role("button", name="Search", exact=True).click()
    expect(plain).to_have_url(re.compile("order=newest"))


def test_what_looks_like_a_photo_is_shown_by_a_link(plain: Page, ann: Somebody) -> None:
    plain.goto(f"/photos/{ann.keep('mine')}")
    plain.get_by_role("link", name="Show what looks like it").click()
    expect(plain.get_by_role("img", name="The photo that results look like")).to_be_visible()


def test_a_query_that_cannot_be_read_is_said(plain: Page, watch: Watch) -> None:
    watch.expect("400 GET /search")
    plain.goto("/search?q=%28")
    expect(plain.get_by_role("alert")).to_contain_text("This search cannot be read")
    expect(plain.get_by_label("Search by tags")).to_have_value("(")
