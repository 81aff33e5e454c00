"""A real Chromium for tests of the web pages: where it is found, how large its window is, what may not happen in it.

Screenshots are kept in the folder that TAGWRIGHT_SCREENSHOTS names, else in one of pytest's own.
"""

from __future__ import annotations

import importlib.resources
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    FilePayload,
    Page,
    Playwright,
    Request,
    Response,
)

PATIENCE_MS = 45_000  # what a test waits at most for something that takes milliseconds on an idle machine
SIZES: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "desktop": {"viewport": {"width": 1280, "height": 800}},
}
SCHEMES = ("light", "dark")
_TALLEST = 2600  # of a screenshot, in pixels
_NARROWEST = 320  # what a page of 1280 pixels has at 400 % (WCAG 1.4.10)
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_SAID_OF_ANSWERS = re.compile(
    r"Failed to load resource: the server responded with a status of \d"  # by Chromium
    r"|Response Status Error Code \d"  # by htmx
    r"|htmx:(sendAbort|afterRequest), \[object"  # by htmx of a request that the next key made useless
)
_SEES_VIOLATIONS = """
addEventListener("securitypolicyviolation",
    (event) => console.error(`policy violated: ${event.violatedDirective} by ${event.blockedURI}`));
"""


def find_chromium(playwright: Playwright) -> str | None:
    """Return where a Chromium is: TAGWRIGHT_BROWSER, one of the machine's, Playwright's own; None: there is none."""
    named = os.environ.get("TAGWRIGHT_BROWSER")
    found = [named] if named else [path for path in map(shutil.which, _NAMES) if path is not None]
    own = playwright.chromium.executable_path
    return next(iter(found), own if Path(own).exists() else None)


def launch(playwright: Playwright, path: str) -> Browser:
    """Start it, without a window and without talking to anybody of its own accord."""
    return playwright.chromium.launch(executable_path=path, args=_FLAGS)


@dataclass
class Watch:
    """What went wrong in a browser's pages, as lines of text, but for what the test expects to go wrong."""

    origin: str
    problems: list[str] = field(default_factory=list)
    _expected: list[str] = field(default_factory=list)
    _allowed: list[str] = field(default_factory=list)

    def expect(self, *words: str) -> None:
        """Let lines with these words be; each has to come at least once, as in "403 POST /upload"."""
        self._expected.extend(words)

    def allow(self, words: str) -> None:
        """Let lines with these words be, whether they come or not."""
        self._allowed.append(words)

    def look_at(self, context: BrowserContext) -> None:
        """Look at every page of a context, those that it opens later as well."""
        context.on("weberror", lambda failed: self.problems.append(f"script failed: {failed.error}"))
        context.on("console", self._logged)
        context.on("request", self._asked)
        context.on("response", self._answered)
        context.on("dialog", self._dialog)
        context.add_init_script(_SEES_VIOLATIONS)

    def check(self) -> None:
        """Fail where something went wrong that was not expected, or did not go wrong that was."""
        known = self._expected + self._allowed
        others = [line for line in self.problems if not any(words in line for words in known)]
        assert not others, "in the browser:\n" + "\n".join(others)
        missed = [words for words in self._expected if not any(words in line for line in self.problems)]
        assert not missed, f"it did not come: {missed}"

    def _logged(self, said: ConsoleMessage) -> None:
        if said.type == "error" and not _SAID_OF_ANSWERS.match(said.text):
            self.problems.append(f"logged: {said.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", f"blob:{self.origin}/", "about:")):
            self.problems.append(f"asked elsewhere: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            path = response.url.removeprefix(self.origin)
            self.problems.append(f"{response.status} {response.request.method} {path}")

    def _dialog(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":
            dialog.accept()
        else:
            self.problems.append(f"a dialog: {dialog.type} {dialog.message}")
            dialog.dismiss()


@contextmanager
def opened(
    browser: Browser, watch: Watch, *, token: str | None = None, size: str = "desktop", **options: Any
) -> Iterator[Page]:
    """Open a page of a browser that knows nothing but, where a token is given, a session."""
    context = browser.new_context(base_url=watch.origin, reduced_motion="reduce", **{**SIZES[size], **options})
    context.set_default_timeout(PATIENCE_MS)
    watch.look_at(context)
    if token is not None:
        context.add_cookies([{"name": "tagwright_session", "value": token, "url": watch.origin, "httpOnly": True}])
    try:
        page = context.new_page()
        page.on("filechooser", lambda chooser: None)  # begins to intercept them: a quick test would come before that
        yield page
    finally:
        context.close()


@cache
def _axe() -> str:
    return (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def inaccessible(page: Page) -> list[str]:
    """Return what axe-core finds serious or critical in a page, a line each."""
    page.evaluate(_axe())
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{broken['impact']}: {broken['help']} ({broken['id']}): {node['html'][:160]}: {node['failureSummary']}"
        for broken in found["violations"]
        if broken["impact"] in ("serious", "critical")
        for node in broken["nodes"]
    ]


def photo_file(name: str, data: bytes) -> FilePayload:
    """Return a file for a page to be given, said to be a JPEG."""
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


def look_at(page: Page, folder: Path, *, name: str, size: str, scheme: str) -> None:
    """Keep a screenshot of a page as it is, and find it good: for whoever uses it, in however narrow a window."""
    shoot(page, folder / f"{name}-{size}-{scheme}.png")
    assert inaccessible(page) == []
    assert not overflow(page), "it is wider than its window"
    if scheme == "light" and size == "desktop":
        assert unmarked(page) == []
    if scheme == "light" and size == "phone":
        page.set_viewport_size({"width": _NARROWEST, "height": 640})
        assert not overflow(page), "it is wider than the narrowest window"


def shoot(page: Page, path: Path) -> None:
    """Take a screenshot of a page, down to where it becomes too tall to look at."""
    page.evaluate("scrollTo(0, 0)")
    pictures_there(page)
    wide, tall = page.evaluate("() => [innerWidth, document.documentElement.scrollHeight]")
    page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": wide, "height": min(tall, _TALLEST)})


def pictures_there(page: Page) -> None:
    """Wait until all pictures are there that are to be seen just now."""
    page.evaluate("""async () => {
        const seen = [...document.images].filter((image) => {
            const { top, bottom, width } = image.getBoundingClientRect(); // one that is out of sight may never come
            return width > 0 && bottom > 0 && top < innerHeight && image.checkVisibility();
        });
        await Promise.all(seen.map((image) => image.decode().catch(() => {})));
    }""")


def unmarked(page: Page, most: int = 40) -> list[str]:
    """Go through a page by Tab, and return what one does not see to have the focus, or to have it out of sight."""
    found = []
    for _ in range(most):
        page.keyboard.press("Tab")
        said = page.evaluate("""() => {
            const at = document.activeElement, around = at.matches("[type=file]") ? at.parentElement : at;
            if (at === document.body) return "the end";
            const marks = [at, ...around.querySelectorAll(".soft")].map((each) => getComputedStyle(each));
            const box = around.getBoundingClientRect();
            const marked = marks.some((style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2)
                || at.matches("[type=date]:not(:focus-visible)"); // the browser marks its button for the calendar
            const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
            return marked && seen ? "" : `${marked ? "out of sight" : "no mark"}: ${at.outerHTML.slice(0, 160)}`;
        }""")
        if said == "the end":
            break
        if said:
            found.append(said)
    return found


def overflow(page: Page) -> int:
    """Return by how many pixels a page is wider than its window."""
    wider: int = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wider
