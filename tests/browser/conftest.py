"""One server and its pages for all of these tests, one Chromium a module; nothing unexpected may happen in it.

Without playwright or a Chromium the whole tier is skipped. Screenshots are kept in the folder that
TAGWRIGHT_SCREENSHOTS names, else in one of pytest's own.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websites import Site, Somebody, website

if TYPE_CHECKING:  # playwright may be missing, and then the tests say so
    from browsing import Watch
    from playwright.sync_api import Browser, Page

PHOTOS = 150  # more than three pages of a grid

Opening = Callable[..., "Page"]


class _Skipped(pytest.Module):
    def collect(self) -> Any:
        pytest.skip("playwright is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if importlib.util.find_spec("playwright") is not None:
        return None
    skipped: pytest.Module = _Skipped.from_parent(parent, path=module_path)
    return skipped


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is; without one, the tests are skipped."""
    from browsing import find_chromium
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = find_chromium(playwright)
    if path is None:
        pytest.skip("there is no Chromium: install one, or name one in TAGWRIGHT_BROWSER")
    return path


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Browser]:
    """One browser for all tests of a module, each of which has a context of its own.

    While playwright runs, so does its event loop in this thread, where tests of other tiers start their own.
    """
    from browsing import PATIENCE_MS, launch
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = launch(playwright, chromium_path)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with photos that everybody sees, and its pages, one for all tests that bring their own people."""
    with website(tmp_path_factory.mktemp("site"), photos=PHOTOS) as site:
        yield site


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept."""
    named = os.environ.get("TAGWRIGHT_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(params=["phone", "desktop"])
def size(request: pytest.FixtureRequest) -> str:
    """How large the window is: a phone to be touched, a desktop with mouse and keys."""
    return str(request.param)


@pytest.fixture
def watch(site: Site) -> Iterator[Watch]:
    """What may not happen in any page; a test says what it expects all the same."""
    from browsing import Watch

    watch, before = Watch(site.address), len(site.failures())
    yield watch
    watch.check()
    assert not site.failures()[before:], "the pages logged:\n" + "\n".join(site.failures()[before:])


@pytest.fixture
def browse(chromium: Browser, watch: Watch) -> Iterator[Opening]:
    """Open a page of a browser of its own; `token`, `size` and what a context of Playwright takes."""
    from browsing import opened

    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(opened(chromium, watch, **options))


@pytest.fixture
def ann(site: Site) -> Somebody:
    """Somebody new, with an account."""
    return site.somebody()


@pytest.fixture
def page(browse: Opening, ann: Somebody, size: str) -> Page:
    """A page in which Ann has signed in, at each size."""
    return browse(token=ann.token, size=size)
