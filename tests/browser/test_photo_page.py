"""One photo and what is done with it, in a browser."""

from __future__ import annotations

import re

from browsing import Watch
from playwright.sync_api import Page, expect
from websites import Somebody


def test_a_photo_is_shared_and_made_private_again(page: Page, ann: Somebody) -> None:
    id = ann.keep("mine")
    page.goto(f"/photos/{id}")
    expect(page.get_by_text("its owner and administrators")).to_be_visible()
    page.get_by_role("button", name="Share it with everybody here").click()
    expect(page.get_by_text("everybody who signs in")).to_be_visible()
    assert ann.client.image(id).visibility == "SHARED"
    page.get_by_role("button", name="Make it private").click()
    expect(page.get_by_text("its owner and administrators")).to_be_visible()
    assert ann.client.image(id).visibility == "PRIVATE"


def test_who_took_a_photo_is_changed(page: Page, ann: Somebody) -> None:
    id = ann.keep("mine")
    page.goto(f"/photos/{id}")
    page.get_by_label("Taken by").fill("Zoë")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("definition").filter(has_text="Zoë")).to_be_visible()
    assert ann.client.image(id).author == "Zoë"


def test_a_photo_is_deleted_after_being_asked_once_more(page: Page, ann: Somebody, watch: Watch) -> None:
    id = ann.keep("mine")
    watch.expect(f"404 GET /photos/{id}")
    page.goto(f"/photos/{id}")
    button = page.get_by_role("button", name="Delete it for good")
    expect(button).to_be_hidden()
    page.get_by_text("Delete this photo").click()
    button.click()
    expect(page.get_by_text("The photo is deleted.")).to_be_visible()
    expect(page).to_have_url(re.compile("/mine"))
    expect(page.locator(".cell")).to_have_count(0)
    page.goto(f"/photos/{id}")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()


def test_refinement_says_what_is_right_and_why_with_photos_that_it_rests_on(page: Page, ann: Somebody) -> None:
    others = [ann.keep("beach") for _ in range(12)]
    id = ann.keep("sky", "dog", "beach", file_name="odd.jpg")
    page.goto(f"/photos/{id}")
    page.get_by_role("link", name="Check the tags, and say why").click()
    removed, kept = (
        page.locator("#refinement .judged > li").filter(has=page.locator(".name").get_by_text(tag, exact=True))
        for tag in ("dog", "beach")
    )
    expect(page.get_by_role("heading", name="Removed")).to_be_visible()
    kept.locator("summary").click()
    expect(kept.locator(".reasons li").first).to_be_visible()
    neighbours = kept.get_by_role("list", name="Photos that this rests on").get_by_role("link")
    expect(neighbours.first.get_by_role("img")).to_have_js_property("complete", True)
    assert {(link.get_attribute("href") or "").removeprefix("/photos/") for link in neighbours.all()} <= set(others)
    removed.get_by_role("button", name="Remove it").click()
    expect(page.locator("#tags details.rejected")).to_contain_text("1 rejected")
    assert {tag.name: tag.state for tag in ann.client.image(id).tags}["dog"] == "REJECTED"


def test_refinement_is_asked_for_with_a_key(page: Page, ann: Somebody) -> None:
    page.goto(f"/photos/{ann.keep('sky')}")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("w")
    expect(page.locator("#refinement .judged")).not_to_have_count(0)


def test_photos_that_look_alike_are_shown_and_lead_on(page: Page, ann: Somebody) -> None:
    id, other = (ann.keep("mine", colour=(200, 20, 160)) for _ in range(2))  # purple, as no other photo
    page.goto(f"/photos/{id}")
    alike = page.get_by_role("region", name="Looks like it")
    alike.scroll_into_view_if_needed()
    expect(alike.locator(".cell img").first).to_have_js_property("complete", True)
    assert alike.locator(".cell").count() == 12
    expect(alike.locator(f'.cell a[href="/photos/{id}"]')).to_have_count(0)
    alike.locator(f'a[href="/photos/{other}"]').first.click()
    expect(page).to_have_url(re.compile(other))


def test_a_photo_is_looked_at_by_itself(page: Page, ann: Somebody) -> None:
    id = ann.keep("mine")
    page.goto(f"/photos/{id}")
    page.locator("figure a").click()
    expect(page).to_have_url(re.compile(f"/photos/{id}/content$"))
    expect(page.locator("img")).to_have_js_property("naturalWidth", 320)


def test_a_photo_is_downloaded(page: Page, ann: Somebody) -> None:
    id = ann.keep("mine")
    page.goto(f"/photos/{id}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"{id}.jpg"
    assert download.value.path().read_bytes() == ann.client.content(id).data


def test_ones_own_photos_are_on_a_page_of_their_own(page: Page, ann: Somebody) -> None:
    ids = [ann.keep("mine") for _ in range(3)]
    page.goto("/")
    page.get_by_role("link", name="My photos").click()
    expect(page.get_by_role("heading", name="My photos 3")).to_be_visible()
    hrefs = [link.get_attribute("href") for link in page.locator(".cell > a").all()]
    assert hrefs == [f"/photos/{id}" for id in reversed(ids)]
    page.locator(".cell > a").first.click()
    expect(page).to_have_url(re.compile(f"/photos/{ids[-1]}$"))
