"""A tab of a real Chromium: what in_page.js sees in it, and what comes over the wire.

What is measured is measured by the browser's own clock. The tab is asked over its debugging protocol, which the pages'
policy against scripts of others lets alone; keys, wheel and dropped files are events as a person makes them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .serving import NotServed

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser, BrowserContext, Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest has it

_IN_PAGE = Path(__file__).with_name("in_page.js")
WINDOW = 1280, 800
_SESSION = "tagwright_session"
_PATIENCE_MS = 60_000.0


class NotSeen(Exception):
    """Something that was waited for did not come in the browser; the text says what."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser without a window for as long as the block runs; raises NotServed where there is none."""
    if find_spec("playwright") is None:
        raise NotServed("Playwright is not installed")
    from browsing import find_chromium, launch
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            raise NotServed("there is no Chromium: install one, or name one in TAGWRIGHT_BROWSER")
        try:
            browser = launch(playwright, path)
        except Error as err:
            raise NotServed(f"{path} does not start: {err.message.splitlines()[0]}") from err
        try:
            yield browser
        finally:
            with suppress(Error):  # Ctrl-C reaches it as well
                browser.close()


@dataclass
class Wire:
    """What came over the wire: bytes with their headers, by what was asked for. What the browser had kept is none."""

    urls: dict[str, str] = field(default_factory=dict)  # by the protocol's number of the request
    sizes: dict[str, float] = field(default_factory=dict)
    _kept: set[str] = field(default_factory=set)

    def asked(self, event: Mapping[str, Any]) -> None:
        """Hear of a request."""
        if event["request"]["url"].startswith("http"):  # else it is a preview
            self.urls[event["requestId"]] = event["request"]["url"]

    def answered(self, event: Mapping[str, Any]) -> None:
        """Hear of the head of an answer."""
        if event["response"].get("fromDiskCache"):
            self._kept.add(event["requestId"])

    def was_kept(self, event: Mapping[str, Any]) -> None:
        """Hear that the browser had the answer in memory."""
        self._kept.add(event["requestId"])

    def ended(self, event: Mapping[str, Any]) -> None:
        """Hear of the end of an answer."""
        self.sizes[event["requestId"]] = event["encodedDataLength"]

    def weight(self, *, photos: bool) -> tuple[float, int]:
        """Return kilobytes and requests, of the photos or of all else."""
        sizes = [
            self.sizes.get(id, 0.0)
            for id, url in self.urls.items()
            if id not in self._kept and url.endswith("/thumbnail") == photos
        ]
        return sum(sizes) / 1000, len(sizes)


class Tab:
    """One tab."""

    def __init__(self, context: BrowserContext) -> None:
        context.set_default_timeout(_PATIENCE_MS)
        self.page: Page = context.new_page()
        self._protocol = context.new_cdp_session(self.page)
        self._protocol.send("Page.enable")
        self._protocol.send("Page.addScriptToEvaluateOnNewDocument", {"source": _IN_PAGE.read_text(encoding="utf-8")})

    def ask(self, expression: str) -> Any:
        """Return what an expression gives in the page, when it is there; raises NotSeen."""
        answer = self._protocol.send(
            "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
        )
        if "exceptionDetails" in answer:
            failed = answer["exceptionDetails"].get("exception", {}).get("description", answer["exceptionDetails"])
            raise NotSeen(str(failed).splitlines()[0])
        return answer["result"].get("value")

    def arrive(self, address: str) -> dict[str, Any]:
        """Go to a page as by its address; return when what of it was there, in milliseconds, and its `wire`."""
        wire = Wire()
        heard = {
            "Network.requestWillBeSent": wire.asked,
            "Network.responseReceived": wire.answered,
            "Network.requestServedFromCache": wire.was_kept,
            "Network.loadingFinished": wire.ended,
        }
        for name, hear in heard.items():
            self._protocol.on(name, hear)
        self._protocol.send("Network.enable")
        self._open(address)
        arrived = self.ask("bench.arrived()")
        self.ask("bench.quiet()")
        self._protocol.send("Network.disable")
        for name, hear in heard.items():
            self._protocol.remove_listener(name, hear)
        return {**arrived, "wire": wire}

    def go(self, address: str) -> None:
        """Go to a page and wait until all of it is there."""
        self._open(address)
        self.ask("bench.quiet()")

    def _open(self, address: str) -> None:
        answer = self.page.goto(address, wait_until="load")
        if answer is not None and not (answer.ok or answer.status == 304):
            raise NotSeen(f"{address} answers {answer.status}")

    def empty(self, field: str) -> None:
        """Empty a field by keys, and wait until all that this brings is there."""
        self.page.locator(field).click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        self.ask("bench.quiet()")

    def forget(self) -> None:
        """Have the browser forget the photos that it has seen."""
        self._protocol.send("Network.clearBrowserCache")

    def press(self, key: str, wait_for: str) -> dict[str, Any]:
        """Press a key; return what was seen of what it is to bring."""
        self.ask(f"bench.wait({wait_for!r})")
        self.page.keyboard.press(key)
        return dict(self.ask("bench.done()"))

    def drop(self, file: Path, onto: str) -> dict[str, Any]:
        """Drop a file, as from a folder's window; return what was seen of its card."""
        box = self.page.locator(onto).bounding_box()
        if box is None:
            raise NotSeen(f"there is no {onto} to drop a photo on")
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver"):
            self._protocol.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
        self.ask("bench.wait('drop')")
        self._protocol.send("Input.dispatchDragEvent", {"type": "drop", **at, "data": data})
        return dict(self.ask("bench.done()"))


@contextmanager
def opened(browser: Browser, address: str, session: str) -> Iterator[Tab]:
    """Open a tab of a browser that knows nothing but a session, for as long as the block runs; raises NotSeen."""
    from playwright.sync_api import Error

    try:
        context = browser.new_context(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        try:
            context.add_cookies([{"name": _SESSION, "value": session, "url": address, "httpOnly": True}])
            yield Tab(context)
        finally:
            context.close()
    except Error as err:
        raise NotSeen(err.message.splitlines()[0]) from err
