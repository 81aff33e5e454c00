"""One's own account, in a browser: its password, and keys for programs."""

from __future__ import annotations

import pytest
from browsing import Watch
from playwright.sync_api import Page, expect
from secrecy import WATCH
from servers import PASSWORD
from websites import Site, Somebody

from tagwright_client import Client, TokenInvalid

NEW = "quite another password"
WATCH.know(NEW)


def change_password(page: Page, current: str, new: str, again: str) -> None:
    page.get_by_label("Current password").fill(current)
    page.get_by_label("New password", exact=True).fill(new)
    page.get_by_label("New password, again").fill(again)
    page.get_by_role("button", name="Change it").click()


def test_a_password_is_changed_and_other_sessions_end(page: Page, ann: Somebody, site: Site) -> None:
    page.goto("/account")
    change_password(page, PASSWORD, NEW, NEW)
    expect(page.get_by_text("The password is changed. Your other sessions have ended.")).to_be_visible()
    with pytest.raises(TokenInvalid):
        ann.client.who_am_i()
    with Client.connect(f"grpc://{site.app.address}") as client:
        assert client.login(ann.name, NEW).user.username == ann.name
    page.goto("/mine")  # this one goes on
    expect(page.get_by_role("heading", name="My photos")).to_be_visible()


@pytest.mark.parametrize(
    ("current", "new", "again", "said"),
    [
        ("not the password", NEW, NEW, "The current password is not right."),
        (PASSWORD, NEW, f"{NEW}!", "The new password was typed in two different ways."),
        (PASSWORD, "short", "short", "8"),
    ],
)
def test_a_password_that_cannot_be_changed_stays_and_it_is_said_why(
    page: Page, ann: Somebody, site: Site, watch: Watch, current: str, new: str, again: str, said: str
) -> None:
    watch.expect("400 POST /account/password")
    page.goto("/account")
    change_password(page, current, new, again)
    expect(page.locator("main .words")).to_contain_text(said)
    with Client.connect(f"grpc://{site.app.address}") as client:
        assert client.login(ann.name, PASSWORD).user.username == ann.name


def test_a_key_is_shown_once_works_and_is_revoked(page: Page, ann: Somebody, site: Site) -> None:
    page.goto("/account")
    expect(page.get_by_label("administer the server")).to_have_count(0)
    page.get_by_label("What it is for").fill("camera")
    page.get_by_label("search", exact=False).and_(page.get_by_role("checkbox")).last.check()
    page.get_by_label("It ends after").select_option("90 days")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", name="Your new key, camera")).to_be_visible()
    key = page.locator("code.key").inner_text()
    with Client.connect(f"grpc://{site.app.address}", token=key) as program:
        assert program.search("garden").total_count == 75
        row = page.get_by_role("row").filter(has_text="camera")
        expect(row).to_contain_text(key[:8])
        expect(row.get_by_role("cell", name="search", exact=True)).to_be_visible()
        assert key not in row.inner_text()
        page.goto("/account")
        assert key not in page.content()
        page.get_by_role("button", name="Revoke camera").click()
        expect(page.get_by_text("The key is revoked.")).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="camera")).to_have_count(0)
        with pytest.raises(TokenInvalid):
            program.search("garden").next_page()


def test_a_key_without_scopes_is_refused_and_said(page: Page, ann: Somebody, watch: Watch) -> None:
    watch.expect("400 POST /account/keys")
    page.goto("/account")
    page.get_by_label("What it is for").fill("nothing")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", name="That cannot be done")).to_be_visible()
    assert not list(ann.client.list_api_keys())
