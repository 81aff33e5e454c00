"""A grid with thousands of photos scrolls smoothly, and asks for no more thumbnails than are looked at."""

from __future__ import annotations

import re
from typing import Any

from browsing import Watch
from playwright.sync_api import Page, Request, expect

_CELLS = 5_000
_FRAMES = 60
_STEP = 100  # pixels a frame: somebody in a hurry

# The page's own cells again and again, as they come in by scrolling; then frames are counted while it scrolls.
_SCROLL = """async ([most, frames, step]) => {
    const grid = document.querySelector(".grid"), cells = [...grid.querySelectorAll(".cell")];
    document.querySelectorAll(".following").forEach((link) => link.remove());
    while (grid.childElementCount < most) grid.append(...cells.map((cell) => cell.cloneNode(true)));
    const drawn = () => new Promise((done) => requestAnimationFrame(done));
    const took = async (move) => {
        const found = [];
        for (let at = await drawn(), frame = 0; frame < frames; frame++) {
            move();
            const now = await drawn();
            found.push(now - at);
            at = now;
        }
        return found.sort((a, b) => a - b);
    };
    await took(() => {});
    const still = await took(() => {}), moved = await took(() => scrollBy(0, step));
    const middle = frames >> 1, late = Math.floor(frames * 0.95);
    return { still: still[middle], moved: moved[middle], late: moved[late], down: scrollY };
}"""


def test_a_grid_of_thousands_of_photos_scrolls_smoothly(page: Page, record_property: Any) -> None:
    page.goto("/search?q=garden+%7C+harbour")
    expect(page.locator(".cell img").first).to_be_visible()
    took = page.evaluate(_SCROLL, [_CELLS, _FRAMES, _STEP])
    for name, value in took.items():
        record_property(name, value)
    assert took["down"] == _FRAMES * _STEP
    assert took["moved"] < 3 * took["still"] + 17, took  # beside frames in which nothing moves, whatever else runs here


def test_a_grid_says_why_it_does_not_go_on_and_goes_on_by_itself(page: Page, watch: Watch) -> None:
    watch.expect("503 GET /search")
    busy = '<div class="notice error" role="alert"><strong>The server is busy.</strong> Try again.</div>'
    answers = {"status": 503, "headers": {"retry-after": "2"}, "body": busy}
    page.clock.install()
    page.route(re.compile("/search.*page="), lambda route: route.fulfill(**answers))
    page.goto("/search?q=garden+%7C+harbour")
    following = page.locator(".following")
    following.scroll_into_view_if_needed()
    for _ in range(3):
        expect(following).to_contain_text("The server is busy. Once more in 2 s.")
        page.clock.run_for(2_000)
    expect(page.locator("#notices")).to_be_empty()
    before = page.locator(".cell").count()
    page.unroute(re.compile("/search.*page="))
    page.clock.run_for(2_000)
    expect(page.locator(".cell").nth(before)).to_be_attached()


def test_thumbnails_are_asked_for_when_they_come_near(page: Page) -> None:
    asked = set[str]()

    def note(request: Request) -> None:
        if request.url.endswith("/thumbnail"):
            asked.add(request.url)

    page.on("request", note)
    page.goto("/search?q=garden+%7C+harbour&order=newest")
    expect(page.locator(".cell img").first).to_have_js_property("complete", True)
    before = frozenset(asked)
    assert 0 < len(before) < 150
    with page.expect_request(lambda request: request.url.endswith("/thumbnail") and request.url not in before):
        page.locator(".cell").last.scroll_into_view_if_needed()
