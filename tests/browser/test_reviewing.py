"""Saying of a photo's tags which are right: with the mouse, a finger, or keys alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browsing import Watch
from playwright.sync_api import Locator, Page, expect
from websites import MEADOW, Site, Somebody

Opening = Callable[..., Page]


@pytest.fixture
def id(ann: Somebody) -> str:
    """A photo of Ann's in which the network sees animals and a dog, with a tag that she is sure of."""
    id = ann.keep(colour=MEADOW)
    ann.client.review(id, add=["boat"])
    return id


def line(page: Page, tag: str) -> Locator:
    return page.locator("#tags .tag").filter(has=page.get_by_role("link", name=tag, exact=True))


def states(who: Somebody, id: str) -> dict[str, str]:
    return {tag.name: tag.state for tag in who.client.image(id).tags}


def test_tags_are_confirmed_rejected_and_taken_back(page: Page, ann: Somebody, id: str) -> None:
    page.goto(f"/photos/{id}")
    expect(line(page, "boat").locator(".score")).to_have_text("confirmed")
    page.get_by_role("button", name="dog is right").click()
    expect(line(page, "dog").locator(".score")).to_have_text("confirmed")
    page.get_by_role("button", name="animals is wrong").click()
    rejected = page.locator("details.rejected")
    expect(rejected.locator("summary")).to_contain_text("1 rejected")
    assert states(ann, id) == {"boat": "CONFIRMED", "dog": "CONFIRMED", "animals": "REJECTED"}
    rejected.locator("summary").click()
    page.get_by_role("button", name="Take back what was said of animals").click()
    expect(page.get_by_role("button", name="animals is wrong")).to_be_visible()
    page.get_by_role("button", name="Take back what was said of dog").click()
    expect(page.get_by_role("button", name="dog is right")).to_be_visible()
    assert states(ann, id) == {"boat": "CONFIRMED", "dog": "SUGGESTED", "animals": "SUGGESTED"}
    page.reload()
    expect(page.get_by_role("button", name="dog is right")).to_be_visible()


def test_what_was_done_is_said_to_those_who_cannot_see_it(page: Page, id: str) -> None:
    page.goto(f"/photos/{id}")
    page.get_by_role("button", name="dog is right").click()
    expect(page.get_by_role("status").filter(has_text="dog: confirmed")).to_have_count(1)


def test_several_tags_are_added_at_once(page: Page, ann: Somebody, id: str) -> None:
    page.goto(f"/photos/{id}")
    page.get_by_label("Add a tag").fill("summer, ginger cat")
    page.get_by_role("button", name="Add", exact=True).click()
    for tag in ("summer", "ginger cat"):
        expect(line(page, tag).locator(".score")).to_have_text("confirmed")
    expect(page.get_by_label("Add a tag")).to_be_focused()  # for the next one
    assert {"summer", "ginger cat"} <= states(ann, id).keys()


def test_a_tag_that_cannot_be_is_refused_and_said(page: Page, ann: Somebody, id: str, watch: Watch) -> None:
    watch.expect(f"400 POST /photos/{id}/tags")
    before = states(ann, id)
    page.goto(f"/photos/{id}")
    page.get_by_label("Add a tag").fill("x" * 300)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("That cannot be done")
    assert states(ann, id) == before
    page.get_by_label("Add a tag").fill("short")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(line(page, "short")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)  # it was of what was done before


def test_tags_are_reviewed_with_keys_alone(page: Page, ann: Somebody, id: str) -> None:
    page.goto(f"/photos/{id}")
    names = page.locator("#tags .tag .name").all_inner_texts()
    assert names[0] == "boat"
    page.keyboard.press("ArrowDown")
    expect(line(page, names[0]).get_by_role("button")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name=f"{names[1]} is right")).to_be_focused()
    page.keyboard.press("y")
    expect(line(page, names[1]).locator(".score")).to_have_text("confirmed")
    expect(line(page, names[1]).get_by_role("button")).to_be_focused()  # one goes on where one was
    page.keyboard.press("u")
    expect(page.get_by_role("button", name=f"{names[1]} is right")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("n")
    expect(page.locator("details.rejected")).to_contain_text("1 rejected")
    expect(page.locator("#tags .tag :focus")).to_have_count(1)
    page.keyboard.press("ArrowUp")
    expect(page.locator("#tags .tag :focus")).to_have_count(1)
    assert states(ann, id) == {names[0]: "CONFIRMED", names[1]: "SUGGESTED", names[2]: "REJECTED"}


def test_a_tag_is_completed_and_added_with_keys_alone(page: Page, ann: Somebody, id: str) -> None:
    page.goto(f"/photos/{id}")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")
    box = page.get_by_label("Add a tag")
    expect(box).to_be_focused()
    expect(box).to_have_value("")
    box.press_sequentially("gar")
    options = page.get_by_role("listbox", name="Tags").get_by_role("option")
    expect(options.first).to_contain_text("garden")
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    expect(box).to_have_value("gar")
    page.keyboard.press("ArrowDown")
    expect(options.first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(box).to_have_value("garden")
    page.keyboard.press("Enter")
    expect(line(page, "garden").locator(".score")).to_have_text("confirmed")
    expect(box).to_be_focused()
    assert states(ann, id)["garden"] == "CONFIRMED"


def test_keys_that_review_are_letters_where_one_types(page: Page, ann: Somebody, id: str) -> None:
    before = states(ann, id)
    page.goto(f"/photos/{id}")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("a")
    page.keyboard.type("yn/uaw")
    expect(page.get_by_label("Add a tag")).to_have_value("yn/uaw")
    assert states(ann, id) == before


def test_nobody_is_offered_to_correct_a_photo_of_somebody_else(page: Page, site: Site) -> None:
    id = site.gallery.keep("theirs", visibility="SHARED")
    page.goto(f"/photos/{id}")
    expect(line(page, "theirs")).to_be_visible()
    expect(page.get_by_role("button", name="is right")).to_have_count(0)
    expect(page.get_by_label("Add a tag")).to_have_count(0)
    expect(page.get_by_text("Delete this photo")).to_have_count(0)
    site.gallery.client.delete_image(id)
