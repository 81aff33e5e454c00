"""Searching and what leads on from it, in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

import pytest
from browsing import Watch, photo_file
from playwright.sync_api import Locator, Page, expect
from websites import MEADOW, ROSE, SKY, Site, Somebody, picture

Opening = Callable[..., Page]


@pytest.fixture(autouse=True)
def half_typed(watch: Watch) -> None:
    watch.allow("400 GET /search?q=")  # a busy machine types so slowly that half a query is asked for


def box(page: Page) -> Locator:
    return page.get_by_label("Search by tags")


def found(page: Page) -> Locator:
    return page.locator("#results .found")


def type_more(page: Page, text: str) -> None:
    box(page).focus()
    page.keyboard.press("End")
    page.keyboard.type(text)


def hrefs(page: Page) -> list[str]:
    return [link.get_attribute("href") or "" for link in page.locator("#results .cell > a:first-child").all()]


def test_a_query_is_completed_and_results_come_while_one_types(page: Page, size: str) -> None:
    page.goto("/search")
    box(page).press_sequentially("harb")
    option = page.get_by_role("option", name="harbour")
    expect(option).to_contain_text("75")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(box(page)).to_have_value("harbour")
    expect(found(page)).to_contain_text("75 photos for harbour")
    type_more(page, " & sk")
    expect(page.get_by_role("option", name="sky")).to_be_visible()
    page.get_by_role("option", name="sky").click()
    expect(box(page)).to_have_value("harbour & sky")
    expect(found(page)).to_contain_text("25 photos for harbour & sky")
    expect(page).to_have_url(re.compile(r"/search\?q=harbour(\+|%20)%26(\+|%20)sky"))


def test_a_tag_of_several_words_is_completed_in_quotes(page: Page) -> None:
    page.goto("/search")
    box(page).press_sequentially("!row")
    page.get_by_role("option", name="row 3").click()
    expect(box(page)).to_have_value('!"row 3"')
    expect(found(page)).to_contain_text('photos for !"row 3"')


def test_a_query_that_cannot_be_read_is_said_with_its_place(page: Page, watch: Watch) -> None:
    watch.expect("400 GET /search")
    page.goto("/search?q=garden")
    expect(found(page)).to_contain_text("for garden")
    type_more(page, " & (sky |")
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("This search cannot be read")
    expect(notice.locator(".words")).to_contain_text("^")
    expect(found(page)).to_contain_text("for garden")  # what was found before stays
    type_more(page, " dog)")
    expect(found(page)).to_contain_text("for garden & (sky | dog)")
    expect(notice).to_have_count(0)


def test_an_address_whose_query_cannot_be_read_says_so_and_lets_one_go_on(page: Page, watch: Watch) -> None:
    watch.expect("400 GET /search")
    page.goto("/search?q=" + quote("garden & ("))
    expect(page.get_by_role("alert")).to_contain_text("This search cannot be read")
    expect(page.get_by_role("alert").locator(".words")).to_contain_text("^")
    type_more(page, "sky)")
    expect(found(page)).to_contain_text("for garden & sky")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_results_are_narrowed_down_with_and_without_a_tag(page: Page) -> None:
    page.goto("/search?q=" + quote("garden | harbour"))
    facets = page.get_by_role("list", name="Narrow down")
    expect(facets.get_by_role("link", name="sky 50")).to_be_visible()
    facets.get_by_role("link", name="sky 50").click()
    expect(box(page)).to_have_value("(garden | harbour) & sky")
    expect(found(page)).to_contain_text("50 photos")
    facets.get_by_role("link", name="without row 1").click()
    expect(box(page)).to_have_value('(garden | harbour) & sky & !"row 1"')
    expect(found(page)).to_contain_text("45 photos")
    page.go_back()
    expect(box(page)).to_have_value("(garden | harbour) & sky")
    expect(found(page)).to_contain_text("50 photos")


def test_results_come_in_the_order_that_one_chooses(page: Page, ann: Somebody) -> None:
    ids = [ann.keep("order", colour=colour) for colour in (SKY, MEADOW, ROSE)]
    page.goto("/search?q=order")
    expect(found(page)).to_contain_text("3 photos")
    page.get_by_label("Newest").check()
    expect(page).to_have_url(re.compile("order=newest"))
    expect(page.locator("#results .cell > a").first).to_have_attribute("href", f"/photos/{ids[-1]}")
    assert hrefs(page) == [f"/photos/{id}" for id in reversed(ids)]
    page.get_by_label("Varied").check()
    expect(page).to_have_url(re.compile("order=diverse"))
    expect(found(page)).to_contain_text("3 photos")
    page.get_by_label("Relevant").check()
    expect(page).to_have_url(re.compile("order=relevance|/search\\?q=order$"))


def test_more_like_a_stored_photo_and_a_search_go_together(page: Page, ann: Somebody) -> None:
    id = ann.keep("mine", colour=ROSE)
    page.goto(f"/photos/{id}")
    page.get_by_role("link", name="More like this").click()
    expect(page.get_by_role("img", name="The photo that results look like")).to_be_visible()
    expect(page.locator("#results .cell img").first).to_be_visible()
    tags = page.locator("#results .cell").first.get_by_role("img").get_attribute("alt") or ""
    assert "flower" in tags
    box(page).press_sequentially("harbour")
    expect(found(page)).to_contain_text("for harbour")
    expect(page).to_have_url(re.compile(f"like={id}"))
    page.get_by_role("link", name="Any look").click()
    expect(page).not_to_have_url(re.compile("like="))


def test_more_like_a_photo_that_is_not_kept(page: Page, ann: Somebody) -> None:
    page.goto("/search?q=garden")
    type_more(page, " & !harbour")
    expect(found(page)).to_contain_text("!harbour")
    page.get_by_label("Like a photo of yours").set_input_files(photo_file("mine.jpg", picture(4711, MEADOW)))
    page.get_by_role("button", name="Find").click()
    expect(found(page)).to_contain_text("for garden & !harbour, the most alike first; your photo is not kept")
    expect(page.locator("#results .cell").first.get_by_role("img")).to_have_attribute("alt", re.compile("animals"))
    assert not list(ann.client.images(owner=ann.name))


def test_photos_go_on_as_one_scrolls(page: Page) -> None:
    page.goto("/search?q=" + quote("garden | harbour") + "&order=newest")
    cells = page.locator("#results .cell")
    expect(found(page)).to_contain_text("150 photos")
    assert cells.count() < 150
    for _ in range(12):
        if cells.count() == 150:
            break
        cells.last.scroll_into_view_if_needed()
        page.mouse.wheel(0, 4000)
        expect(page.locator(".following.htmx-request, .following .htmx-request")).to_have_count(0)
    expect(cells).to_have_count(150)
    expect(page.get_by_role("link", name="More photos")).to_have_count(0)
    assert len(set(hrefs(page))) == 150  # each once


def test_the_address_shows_somebody_else_the_same(page: Page, browse: Opening, site: Site) -> None:
    page.goto("/search")
    box(page).press_sequentially("harbour & sky")
    expect(found(page)).to_contain_text("25 photos for harbour & sky")
    page.get_by_label("Newest").check()
    expect(page).to_have_url(re.compile("order=newest"))
    expect(found(page)).to_contain_text("25 photos")
    other = browse(token=site.somebody().token)
    other.goto(page.url)
    expect(box(other)).to_have_value("harbour & sky")
    expect(other.get_by_label("Newest")).to_be_checked()
    expect(found(other)).to_contain_text("25 photos")
    assert hrefs(other) == hrefs(page)


def test_one_comes_back_to_a_search_from_a_photo(page: Page) -> None:
    page.goto("/search?q=harbour")
    type_more(page, " & sky")
    expect(found(page)).to_contain_text("25 photos")
    page.locator("#results .cell > a").first.click()
    expect(page.get_by_role("heading", name="What refinement says")).to_be_visible()
    page.go_back()
    expect(box(page)).to_have_value("harbour & sky")
    expect(found(page)).to_contain_text("25 photos")


def test_a_tag_has_a_page_with_its_photos_and_what_goes_with_it(page: Page) -> None:
    page.goto("/tags")
    page.get_by_role("link", name="By name").click()
    expect(page).to_have_url(re.compile("order=name"))
    page.get_by_role("link", name="garden", exact=True).click()
    expect(page.get_by_role("heading", name="garden 75 photos")).to_be_visible()
    expect(page.get_by_role("heading", name="Goes with it")).to_be_visible()
    page.get_by_role("link", name="Newest").click()
    expect(page).to_have_url(re.compile("order=newest"))
    expect(page.locator(".cell img").first).to_be_visible()
    page.locator(".chips").get_by_role("link", name=re.compile("row")).first.click()
    expect(page.get_by_role("heading", name=re.compile(r"row \d 15 photos"))).to_be_visible()


def test_what_nothing_is_found_for_is_said(page: Page) -> None:
    page.goto("/search?q=unicorn")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    page.goto("/tags/unicorn")
    expect(page.get_by_text("No photo has it.")).to_be_visible()
