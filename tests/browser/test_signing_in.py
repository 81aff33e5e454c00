"""Signing in and out, in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from browsing import Watch
from playwright.sync_api import Page, expect
from servers import PASSWORD
from websites import Site, Somebody

from tagwright_client import Client, TokenInvalid

Opening = Callable[..., Page]


@pytest.fixture
def stranger(browse: Opening, size: str) -> Page:
    return browse(size=size)


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def cookies(page: Page) -> dict[str, str]:
    return {each["name"]: each["value"] for each in page.context.cookies()}


def test_one_signs_in_and_sees_the_latest_photos(stranger: Page, ann: Somebody) -> None:
    stranger.goto("/")
    expect(stranger).to_have_title("Sign in · Tagwright")
    sign_in(stranger, ann.name)
    expect(stranger.get_by_role("heading", name="Latest")).to_be_visible()
    expect(stranger.locator(".cell img").first).to_be_visible()
    expect(stranger.get_by_role("region", name="Common tags").get_by_role("link", name="garden")).to_be_visible()
    assert stranger.evaluate("document.cookie") == ""  # no script can read the session
    assert set(cookies(stranger)) == {"tagwright_session"}


def test_a_wrong_password_is_said_and_the_name_is_still_there(stranger: Page, ann: Somebody, watch: Watch) -> None:
    watch.expect("401 POST /sign-in")
    stranger.goto("/sign-in?next=/mine")
    sign_in(stranger, ann.name, "not the password")
    expect(stranger.get_by_role("alert")).to_contain_text("Not signed in")
    expect(stranger.get_by_label("Name")).to_have_value(ann.name)
    expect(stranger.get_by_label("Password")).to_have_value("")
    sign_in(stranger, ann.name)
    expect(stranger).to_have_url(re.compile("/mine$"))


def test_after_signing_in_one_is_where_one_wanted_to_go(stranger: Page, ann: Somebody) -> None:
    stranger.goto("/search?q=sky+%26+%22row+1%22&order=newest")
    expect(stranger.get_by_text("Your session has ended")).to_have_count(0)
    sign_in(stranger, ann.name)
    expect(stranger).to_have_url(re.compile(r"/search\?q=sky\+%26\+%22row\+1%22&order=newest$"))
    expect(stranger.get_by_label("Search by tags")).to_have_value('sky & "row 1"')


def test_nobody_is_led_to_another_site_after_signing_in(stranger: Page, ann: Somebody, site: Site) -> None:
    stranger.goto("/sign-in?next=//elsewhere.example/")
    sign_in(stranger, ann.name)
    expect(stranger.get_by_role("heading", name="Latest")).to_be_visible()
    assert stranger.url == f"{site.address}/"


def test_signing_out_ends_the_session_at_the_server(page: Page, ann: Somebody, site: Site) -> None:
    page.goto("/mine")
    token = cookies(page)["tagwright_session"]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You have signed out.")).to_be_visible()
    assert "tagwright_session" not in cookies(page)
    with Client.connect(f"grpc://{site.app.address}", token=token) as stolen, pytest.raises(TokenInvalid):
        stolen.who_am_i()
    page.go_back()
    expect(page).to_have_title("Sign in · Tagwright")  # nothing that was seen comes back


def test_a_session_that_ended_meanwhile_is_said_and_one_comes_back(
    page: Page, ann: Somebody, site: Site, watch: Watch
) -> None:
    end_session(site, ann, watch)
    page.goto("/tags/garden?order=newest")
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    sign_in(page, ann.name)
    expect(page).to_have_url(re.compile(r"/tags/garden\?order=newest$"))
    expect(page.get_by_role("heading", name="garden")).to_be_visible()


def test_a_session_that_ends_while_one_types_is_said_and_the_search_goes_on(
    page: Page, ann: Somebody, site: Site, watch: Watch
) -> None:
    watch.expect("401 GET /search")
    page.goto("/search?q=garden")
    end_session(site, ann, watch)
    page.get_by_label("Search by tags").press_sequentially(" & sky")
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    sign_in(page, ann.name)
    expect(page.get_by_label("Search by tags")).to_have_value(re.compile("garden"))
    expect(page.locator(".found").filter(has_text="photos for")).to_be_visible()


def test_a_form_of_a_session_that_has_ended_does_nothing_and_says_so(
    page: Page, ann: Somebody, site: Site, watch: Watch
) -> None:
    id = ann.keep("mine")
    watch.expect(f"401 POST /photos/{id}")
    page.goto(f"/photos/{id}")
    alike = page.get_by_role("region", name="Looks like it")
    alike.scroll_into_view_if_needed()
    expect(alike.locator(".cell").first).to_be_visible()
    end_session(site, ann, watch)
    page.get_by_role("button", name="Share it with everybody here").click()
    expect(page.get_by_role("heading", name="Your session has ended")).to_be_visible()
    assert ann.client.image(id).visibility == "PRIVATE"


def test_a_change_for_which_the_session_had_ended_is_made_after_signing_in_in_another_tab(
    page: Page, ann: Somebody, site: Site, watch: Watch
) -> None:
    id = ann.keep("mine")
    watch.expect(f"401 POST /photos/{id}/tags", f"403 POST /photos/{id}/tags")
    page.goto(f"/photos/{id}")
    end_session(site, ann, watch)
    add = page.get_by_label("Add a tag")
    add.fill("summer")
    add.press("Enter")
    notice = page.locator("#notices")
    expect(notice).to_contain_text("Your session has ended")
    with page.expect_popup() as opened:
        notice.get_by_role("link", name="Sign in in another tab").click()
    sign_in(opened.value, ann.name)
    expect(opened.value.get_by_role("heading", name="Latest")).to_be_visible()
    add.press("Enter")
    expect(notice).to_contain_text("You have signed in anew since")
    add.press("Enter")
    expect(page.locator("#tags").get_by_role("link", name="summer", exact=True)).to_be_visible()
    assert "summer" in {tag.name for tag in ann.client.image(id).tags}


def test_two_tabs_may_ask_to_sign_in(stranger: Page, ann: Somebody, watch: Watch) -> None:
    watch.expect("403 POST /sign-in")
    stranger.goto("/mine")
    with stranger.context.expect_page() as opened:
        stranger.evaluate("open('/sign-in')")
    sign_in(opened.value, ann.name)
    expect(opened.value.get_by_role("heading", name="Latest")).to_be_visible()
    sign_in(stranger, ann.name)
    expect(stranger.get_by_role("alert")).to_contain_text("The password once more, please.")
    expect(stranger.get_by_label("Name")).to_have_value(ann.name)
    sign_in(stranger, ann.name)
    expect(stranger.get_by_role("heading", name="My photos")).to_be_visible()


def test_one_signs_in_with_keys_alone(stranger: Page, ann: Somebody) -> None:
    stranger.goto("/sign-in")
    stranger.keyboard.press("Tab")
    expect(stranger.get_by_role("link", name="Skip to the content")).to_be_focused()
    stranger.keyboard.press("Enter")
    stranger.keyboard.press("Tab")
    expect(stranger.get_by_label("Name")).to_be_focused()
    stranger.keyboard.type(ann.name)
    stranger.keyboard.press("Tab")
    stranger.keyboard.type(PASSWORD)
    stranger.keyboard.press("Enter")
    expect(stranger.get_by_role("heading", name="Latest")).to_be_visible()


def end_session(site: Site, who: Somebody, watch: Watch) -> None:
    """End the session of somebody's browser, at the server."""
    watch.allow("/thumbnail")  # of photos that come into view later
    with Client.connect(f"grpc://{site.app.address}", token=who.token) as client:
        client.logout()
