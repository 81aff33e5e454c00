"""How the server is, at a glance: whether it answers and how fast, what it does, and what was done last."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.responses import Response

from tagwright_client import PhotoTags, ServedModels, TagwrightError, Timings, TokenInvalid
from tagwright_web.durations import Durations
from tagwright_web.failures import Failure, failure_of
from tagwright_web.pages import STATIC
from tagwright_web.visits import Visit

_T = TypeVar("_T")
_TIMEOUT_S = 5.0  # a page about what does not answer must come soon
_EVENTS = 8
_ACCOUNTS = 1000  # counted up to here
_STAGES = ("decode", "queue", "inference", "refinement", "search", "store")


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether one kind of work is done, tried on `what`, and how long that took."""

    work: str
    what: str
    took_ms: float
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the time that a call took; `x` and `width` are its place in a bar, in percent."""

    name: str
    took_ms: float
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Tried:
    """What the model said of the test picture, and where the time went."""

    tags: PhotoTags
    stages: tuple[Stage, ...]


def show(visit: Visit) -> Response:
    """Show how the server is."""
    return _show(visit)


def try_model(visit: Visit) -> Response:
    """Have a model look at the test picture, which is not kept."""
    tags = visit.client.tag(_picture(), model=visit.given("model") or None)
    tried = Tried(tags, stages(tags.timings))
    if visit.part_wanted:
        return visit.show("admin/parts/tried.html", tried=tried)
    return _show(visit, tried)


def stages(timings: Timings) -> tuple[Stage, ...]:
    """Return where the time of a call went, in the order in which it does."""
    took = [(name, getattr(timings, f"{name}_ms") or 0.0) for name in _STAGES]
    took.append(("network", max(timings.total_ms - sum(each for _, each in took), 0.0)))
    all_ms = sum(each for _, each in took) or 1.0
    found: list[Stage] = []
    x = 0.0
    for name, took_ms in took:
        width = 100 * took_ms / all_ms
        if took_ms > 0:
            found.append(Stage(name, took_ms, round(x, 2), round(width, 2)))
        x += width
    return tuple(found)


def _show(visit: Visit, tried: Tried | None = None) -> Response:
    client = visit.client
    tagged, _ = _asked("Tagging", "the test picture", lambda: client.tag(_picture(), timeout_s=_TIMEOUT_S))
    searched, photos = _asked(
        "Searching", "all photos", lambda: client.search("", page_size=1, timeout_s=_TIMEOUT_S).total_count
    )
    served = _or_none(lambda: client.models(timeout_s=_TIMEOUT_S))
    running = _or_none(
        lambda: [each for each in client.operations(timeout_s=_TIMEOUT_S).next_page() if not each.finished]
    )
    durations: Durations = visit.request.app.state.durations
    return visit.show(
        "admin/health.html",
        answers=(tagged, searched),
        served=served,
        default=_default(served),
        photos=photos,
        accounts=_or_none(lambda: _counted(visit)),
        running=running,
        events=_or_none(lambda: client.list_audit_events(page_size=_EVENTS, timeout_s=_TIMEOUT_S).next_page()),
        lasted=durations.lasted(),
        tried=tried,
    )


def _picture() -> bytes:
    return (STATIC / "sample.jpg").read_bytes()


def _asked(work: str, what: str, ask: Callable[[], _T]) -> tuple[Answer, _T | None]:
    start_s = time.perf_counter()
    try:
        said = ask()
    except TokenInvalid:
        raise
    except TagwrightError as err:
        return Answer(work, what, _since_ms(start_s), failure_of(err)), None
    return Answer(work, what, _since_ms(start_s)), said


def _or_none(ask: Callable[[], _T]) -> _T | None:
    """Return an answer; None where there is none, as the rest of the page is worth showing all the same."""
    try:
        return ask()
    except TokenInvalid:
        raise
    except TagwrightError:
        return None


def _counted(visit: Visit) -> str:
    listed = visit.client.list_users(page_size=_ACCOUNTS, timeout_s=_TIMEOUT_S)
    count = len(listed.next_page())
    return f"{count:,}{' or more' if listed.next_page_token else ''}"


def _default(served: ServedModels | None) -> str:
    return next((model.id for model in served or () if model.is_default), "")


def _since_ms(start_s: float) -> float:
    return (time.perf_counter() - start_s) * 1000
