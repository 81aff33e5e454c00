"""How pages look, and whether everybody can use them: at each size, light and dark, with a screenshot of each.

Screenshots are kept in the folder that TAGWRIGHT_SCREENSHOTS names, else in one of pytest's own, as
page-size-scheme.png.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import SCHEMES, Watch, look_at, photo_file
from playwright.sync_api import Page, expect
from servers import PASSWORD
from websites import MEADOW, Site, Somebody, picture

Opening = Callable[..., Page]
Showing = Callable[[Page, "Mia", Watch], None]

_PHOTOS = Path(__file__).resolve().parents[2] / "demo" / "photos"


class Mia:
    """Somebody with real photos of her own, tags of all kinds, and keys."""

    def __init__(self, somebody: Somebody) -> None:
        self.somebody = somebody
        keep = somebody.keep
        names = ("galaxies", "photographer", "rocket", "coffee", "cat", "astronaut")
        self.photos = {
            name: keep("holiday", name, data=(_PHOTOS / f"{name}.jpg").read_bytes(), file_name=f"{name}.jpg")
            for name in names
        }
        self.odd = keep("sky", "dog", "garden", "nikon", colour=MEADOW, file_name="a rather long name of a photo.jpg")
        somebody.client.review(self.odd, confirm=["garden"], reject=["nikon"], add=["ginger cat"])
        somebody.client.create_api_key("camera", ["tagging:write", "tagging:read"])


@pytest.fixture(scope="module")
def mia(site: Site) -> Mia:
    return Mia(site.somebody("mia"))


def sign_in(page: Page, mia: Mia, watch: Watch) -> None:
    page.context.clear_cookies()
    page.goto("/sign-in?ended=1")


def refused(page: Page, mia: Mia, watch: Watch) -> None:
    watch.expect("401 POST /sign-in")
    page.context.clear_cookies()
    page.goto("/sign-in")
    page.get_by_label("Name").fill(mia.somebody.name)
    page.get_by_label("Password").fill(f"not {PASSWORD}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()


def home(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/")


def mine(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/mine")


def photo(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto(f"/photos/{mia.photos['cat']}")
    page.get_by_text("Delete this photo").click()


def refinement(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto(f"/photos/{mia.odd}/refinement")
    page.locator("details.rejected summary").click()
    for reasons in page.locator(".judged summary").all():
        reasons.click()


def upload(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/upload")


def uploaded(page: Page, mia: Mia, watch: Watch) -> None:
    watch.expect("422 POST /upload/photo")
    page.goto("/upload")
    page.get_by_label("Tags of your own").fill("sky, dog, holiday")
    files = [photo_file(f"{name}.jpg", (_PHOTOS / f"{name}.jpg").read_bytes()) for name in ("coffee", "rocket")]
    fresh = photo_file("new.jpg", picture(uuid.uuid4().int % 2**32))
    page.locator("#photos").set_input_files([*files, fresh, photo_file("notes.jpg", b"no photo")])
    expect(page.locator("#upload-state")).to_contain_text("3 of 4 kept, 1 failed")


def search(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/search?q=garden+%7C+harbour&order=diverse")


def completion(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/search")
    page.get_by_label("Search by tags").press_sequentially("ro")
    expect(page.get_by_role("option").first).to_be_visible()
    page.keyboard.press("ArrowDown")


def misread(page: Page, mia: Mia, watch: Watch) -> None:
    watch.expect("400 GET /search")
    page.goto("/search?q=garden")
    page.get_by_label("Search by tags").fill("garden & (sky | dog")
    expect(page.get_by_role("alert")).to_be_visible()


def nothing(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/search?q=unicorn")


def like(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto(f"/search?like={mia.photos['coffee']}")


def tags(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/tags")


def tag(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/tags/garden")


def account(page: Page, mia: Mia, watch: Watch) -> None:
    page.goto("/account")
    page.get_by_label("What it is for").fill("backup")
    page.locator("[name=scope]").first.check()
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("code.key")).to_be_visible()


def missing(page: Page, mia: Mia, watch: Watch) -> None:
    watch.expect("404 GET /nowhere")
    page.goto("/nowhere")


PAGES: tuple[Showing, ...] = (
    sign_in, refused, home, mine, photo, refinement, upload, uploaded, search, completion, misread, nothing, like,
    tags, tag, account, missing,
)  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("show", PAGES, ids=lambda show: show.__name__)
def test_a_page_looks_as_it_should_and_everybody_can_use_it(
    browse: Opening, mia: Mia, watch: Watch, screenshots: Path, size: str, scheme: str, show: Showing
) -> None:
    page = browse(token=mia.somebody.token, size=size, color_scheme=scheme)
    show(page, mia, watch)
    look_at(page, screenshots, name=show.__name__, size=size, scheme=scheme)


def test_somebody_without_photos_is_told_that_there_are_none(browse: Opening, site: Site, screenshots: Path) -> None:
    page = browse(token=site.somebody().token)
    page.goto("/mine")
    expect(page.get_by_text("None yet.")).to_be_visible()
    look_at(page, screenshots, name="none", size="desktop", scheme="light")
