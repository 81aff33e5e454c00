"""The web pages in a real Chromium, of a library that is made up (synthetic.py): upload, first page, search, scrolling.

How to read it: "on screen" is when a frame with it has been drawn, by the browser's own clock. Median and p95 are of
--web-rounds rounds, after one that does not count. Server, pages, browser and bench share this machine's cores, and the
browser draws without a GPU.

What is synthetic: the rows of the library. Its thumbnails are really made by the server, from 24 JPEGs of 500 x 375
that many photos share; their bytes are in the system's cache, as those of a server that is used. Who looks is one
account, which sees its own photos and the shared ones, a third of all. The photo that is dropped is real, each time
with another corner so that the server has never had it; it is deleted before the next one. What is typed are tags of
the library, as often as photos have them: the first letter brings completions, the last one results.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwright_client import Client

from .. import photos as photo_sets
from ..figures import Aim, Note, Row, middle, shares, spread
from ..made_up import await_looks, await_search, member, source
from ..pages import pages
from ..scenario import Yielded
from ..serving import NotServed, serve
from ..setup import Setup
from ..synthetic import Picture, fill, lay
from ..tab import WINDOW, NotSeen, Tab, chromium, opened

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser

NAME = "web"
TITLE = "the web pages in a browser: from a drop to tags, first page, search, scrolling"
ORDER = 80

_DEMO = Path(__file__).resolve().parents[3] / "demo" / "photos"
_DROP, _HOME, _WIRE = "From a drop to tags on screen", "The first page", "The first page over the wire"
_SEARCH, _SCROLL = "From a keystroke to what it brings", "Scrolling through an endless grid"
_PHOTO_BYTES_MAX = 3_000_000
_KB_AIM = 100.0
_SCROLLED = 1_000  # photos
_WHEEL_PX, _WHEEL_S = 100, 1 / 30  # 3,000 pixels a second: somebody in a hurry
_WHEELS = 15  # between two looks at how far one is
_SLOW_MS = 50.0
_COMMON = 200  # tags that are typed, at most
_TYPED = re.compile(r"[a-z]{4,12}")
_KEY_MS = 40
_TAGGED: dict[str, Any] = {"include_evidence": True, "use_embedded_tags": True}  # what the pages ask for, views/ has it
_FOUND: dict[str, Any] = {"include_tags": True, "include_facets": True, "max_facets": 16, "page_size": 48}
_SUGGESTIONS = 8

Seen = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _World:
    setup: Setup
    browser: Browser
    address: str
    session: str
    client: Client  # of the same account: the same without pages

    def rounds(self, what: str) -> Iterator[int]:
        """Count the rounds; what is seen in the first one, 0, does not count."""
        for at in range(self.setup.web_rounds + 1):
            self.setup.step(f"{NAME}: {what}, " + (f"round {at} of {self.setup.web_rounds}" if at else "to warm up"))
            yield at

    def tab(self) -> AbstractContextManager[Tab]:
        """Open a tab of a fresh browser in which somebody has signed in."""
        return opened(self.browser, self.address, self.session)


def run(setup: Setup) -> Iterator[Yielded]:
    """Measure with the first engine."""
    try:
        with chromium() as browser:
            yield from _measure(setup, browser)
    except NotServed as err:
        yield Row(_DROP, "all", not_measured=str(err))


def _measure(setup: Setup, browser: Browser) -> Iterator[Yielded]:
    made, count = source(setup), setup.web_photos
    (setup.scratch / NAME).mkdir()
    pictures = [Picture.of(file) for file in photo_sets.generate(_DEMO, setup.scratch / NAME).files]

    def prepare(data: Path) -> None:
        setup.step(f"{NAME}: {count:,} photos are made up")
        url = f"sqlite://{data / 'tagwright.sqlite3'}"
        fill(url, made.seed, photos=count, labels=made.labels, model_version=made.model, pictures=pictures)
        lay(data / "photos", pictures, count)

    flags = [f"--default-model={setup.model.parent.name}"]
    with serve(setup.engines[0], setup.repository, flags, prepare=prepare) as serving:
        setup.step(f"{NAME}: the indexes are made")
        await_search(serving)
        await_looks(serving, setup.photos.files[0].read_bytes(), count + len(made.seed.tags))
        who = member(serving, ["tagging:read", "tagging:write", "search"])
        with (
            pages(serving.address) as address,
            Client.connect(f"grpc://{serving.address}", token=who.token) as client,
            Client.connect(f"grpc://{serving.address}") as visitor,
        ):
            world = _World(setup, browser, address, visitor.login(who.name, who.password).access_token, client)
            for table, part in ((_DROP, _drop), (_HOME, _home), (_SEARCH, _search), (_SCROLL, _scroll)):
                try:
                    yield from part(world)
                except NotSeen as err:
                    yield Row(table, "all", not_measured=f"in the browser: {err}")
            total = client.search(ranking="newest").total_count
    yield Note(
        f"Chromium {browser.version}, {serving.engine}; {count:,} photos, made up (tests/load/synthetic.py), of which "
        f"the visitor sees {total:,}; {setup.web_rounds} rounds."
    )


def _drop(world: _World) -> Iterator[Yielded]:
    """Drop a photo on the page for uploads; in turns with that, the SDK alone sends one."""
    file = photo_sets.largest(world.setup.data or _DEMO, _PHOTO_BYTES_MAX)
    fresh = photo_sets.versions(file, world.setup.scratch)

    def by_pages() -> Seen:
        tab.go(f"{world.address}/upload")
        return tab.drop(next(fresh), onto="#drop")

    def by_sdk(**options: Any) -> Seen:
        data = next(fresh).read_bytes()
        begun_s = time.monotonic()
        kept = world.client.tag(data, store=True, **options)
        return {"id": kept.image_id, "began_ms": 0.0, "shown_ms": (time.monotonic() - begun_s) * 1000}

    ways: list[Callable[[], Seen]] = [by_pages, by_sdk, lambda: by_sdk(**_TAGGED)]
    rounds: list[list[Seen]] = []
    with world.tab() as tab:
        for at in world.rounds("dropping a photo"):
            seen: dict[int, Seen] = {}
            for way in (*range(at % 3, 3), *range(at % 3)):
                seen[way] = ways[way]()
                world.client.delete_image(seen[way]["id"])
            rounds.append([seen[way] for way in range(3)])
    if not any(each["tags_in_view"] for each, *_ in rounds):
        raise NotSeen(f"{file.name} gets no tags that are in view")
    dropped, alone, alike = zip(*rounds[1:], strict=True)
    whole = _between(dropped, "began", "shown")
    ratio = {
        "times_the_SDK": middle(shares(whole, _between(alone, "began", "shown"))),
        "times_asked_the_same": middle(shares(whole, _between(alike, "began", "shown"))),
    }
    yield Row(_DROP, "pages: drop to tags on screen", {**spread(whole, "ms"), **ratio})
    yield _row(_DROP, "  until it is sent", dropped, "began", "asked")
    yield _row(_DROP, "  until the answer is there", dropped, "asked", "answered")
    yield _row(_DROP, "  until that is on screen", dropped, "answered", "shown")
    yield _row(_DROP, "SDK: tag(store=True)", alone, "began", "shown")
    yield _row(_DROP, "SDK, asked as by the pages", alike, "began", "shown")
    photo = Picture.of(file)
    yield Note(
        f"Dropped: {file.name}, {photo.width} x {photo.height}, {photo.size_bytes / 1000:,.0f} KB; "
        f"{dropped[0]['tags']} tags. The pages also ask for reasons and the photo's keywords."
    )


def _home(world: _World) -> Iterator[Yielded]:
    """Open the first page in a browser that has none of it, then again in the same one."""
    seen: dict[str, list[Seen]] = {"cold": [], "warm": []}
    for at in world.rounds("the first page"):
        with world.tab() as tab:
            for some in seen.values():
                arrived = tab.arrive(f"{world.address}/")
                if at:
                    some.append({"began_ms": 0.0, **arrived})
                tab.page.goto("about:blank")
    for state, some in seen.items():
        yield _row(_HOME, f"{state}: first paint", some, "began", "painted")
        yield _row(_HOME, f"{state}: DOMContentLoaded", some, "began", "ready")
        yield _row(_HOME, f"{state}: load", some, "began", "load")
        yield _row(_HOME, f"{state}: all thumbnails in view", some, "began", "photos")
    for state, some in seen.items():
        for what, photos in (("all but photos", False), ("photos", True)):
            weights = [each["wire"].weight(photos=photos) for each in some]
            sizes, requests = zip(*weights, strict=True)
            yield Row(_WIRE, f"{state}: {what}", {**spread(sizes, "KB"), "median_requests": middle(requests)})
            if (state, photos) == ("cold", False):
                yield Aim("the first page without photos, cold, KB", None, middle(sizes), at_most=_KB_AIM)
    width, height = WINDOW
    yield Note(
        f"{seen['cold'][0]['photos']} thumbnails are in view, in a window of {width} x {height}; the browser loads "
        "those beneath it as well."
    )


def _search(world: _World) -> Iterator[Yielded]:
    """Type a tag into the page for searches; in turns with that, the SDK alone asks for the same."""
    tags = [tag for tag in islice(world.client.tags(order="COUNT"), _COMMON) if _TYPED.fullmatch(tag.name)]
    chance = random.Random(0)
    names = chance.choices([tag.name for tag in tags], [tag.image_count for tag in tags], k=world.setup.web_rounds + 1)
    completed: list[Seen] = []
    found: list[Seen] = []
    alone: dict[str, list[float]] = {"search": [], "server": [], "suggest": []}
    with world.tab() as tab:
        tab.go(f"{world.address}/search")
        for at, name in zip(world.rounds("typing a tag"), names, strict=True):
            if at % 2:
                _ask_sdk(world.client, name, alone)
            tab.empty("#q")
            tab.forget()
            completed.append(tab.press(name[0], "completions"))
            tab.page.keyboard.type(name[1:-1], delay=_KEY_MS)
            tab.ask("bench.quiet()")
            found.append(tab.press(name[-1], "results"))
            tab.ask("bench.quiet()")
            if at % 2 == 0:
                _ask_sdk(world.client, name, alone)
    completed, found = completed[1:], found[1:]
    yield _row(_SEARCH, "results on screen", found, "began", "shown")
    yield _row(_SEARCH, "  without the page's wait", found, "asked", "shown")
    yield _row(_SEARCH, "  of which until the answer is there", found, "asked", "answered")
    yield _row(_SEARCH, "  and all thumbnails in view", found, "began", "photos")
    yield Row(_SEARCH, "SDK: the same search", spread(alone["search"][1:], "ms"))
    yield Row(_SEARCH, "  of which the server searches", spread(alone["server"][1:], "ms"))
    yield _row(_SEARCH, "completions on screen", completed, "began", "shown")
    yield _row(_SEARCH, "  without the page's wait", completed, "asked", "shown")
    yield Row(_SEARCH, "SDK: suggest_tags", spread(alone["suggest"][1:], "ms"))


def _ask_sdk(client: Client, name: str, took_ms: dict[str, list[float]]) -> None:
    begun_s = time.monotonic()
    results = client.search(name, **_FOUND)
    results.next_page()
    took_ms["search"].append((time.monotonic() - begun_s) * 1000)
    took_ms["server"].append(results.timings.search_ms)
    begun_s = time.monotonic()
    client.suggest_tags(name[0], max_suggestions=_SUGGESTIONS)
    took_ms["suggest"].append((time.monotonic() - begun_s) * 1000)


def _scroll(world: _World) -> Iterator[Yielded]:
    """Turn the wheel over the first page until so many photos have passed."""
    seen: list[Seen] = []
    for at in world.rounds(f"scrolling through {_SCROLLED:,} photos"):
        with world.tab() as tab:  # which has none of the photos
            tab.go(f"{world.address}/")
            scrolled = _scroll_once(tab)
            if at:
                seen.append(scrolled)
    gaps = [[after - before for before, after in pairwise(each["frames_ms"])] for each in seen]
    slow = [100 * sum(gap > _SLOW_MS for gap in some) / len(some) for some in gaps]
    yield Row(_SCROLL, "frames", spread([gap for some in gaps for gap in some], "ms"))
    yield Row(_SCROLL, "longest frame of a round", spread([max(some) for some in gaps], "ms"))
    yield Row(_SCROLL, "longest task of a round", spread([max(each["tasks_ms"], default=0.0) for each in seen], "ms"))
    yield Row(_SCROLL, f"frames over {_SLOW_MS:.0f} ms", spread(slow, "percent"))
    yield Row(_SCROLL, "thumbnails, once one stops", spread([each["settled_ms"] for each in seen], "ms"))
    yield Row(_SCROLL, "the whole way", spread([each["took_s"] for each in seen], "s"))
    passed = min(each["passed"] for each in seen)
    yield Note(
        f"{passed:,} photos pass, at {_WHEEL_PX / _WHEEL_S:,.0f} pixels a second at most. "
        "A task is one that keeps the page from answering for 50 ms or more; 0: there was none."
    )


def _scroll_once(tab: Tab) -> Seen:
    tab.page.mouse.move(640, 500)
    tab.ask("bench.watchFrames()")
    begun_s = time.monotonic()
    while True:
        for _ in range(_WHEELS):
            turned_s = time.monotonic()
            tab.page.mouse.wheel(0, _WHEEL_PX)
            time.sleep(max(0.0, turned_s + _WHEEL_S - time.monotonic()))
        at = tab.ask(f"bench.scrolled({_SCROLLED})")
        if at["passed"] or at["ended"]:
            break
    took_s, frames = time.monotonic() - begun_s, tab.ask("bench.frames()")
    seen = {"took_s": took_s, "passed": min(at["photos"], _SCROLLED), "settled_ms": tab.ask("bench.settled()")}
    return {**seen, **frames}


def _row(table: str, name: str, seen: Sequence[Seen], since: str, until: str) -> Row:
    return Row(table, name, spread(_between(seen, since, until), "ms"))


def _between(seen: Sequence[Seen], since: str, until: str) -> list[float]:
    return [each[f"{until}_ms"] - each[f"{since}_ms"] for each in seen]
