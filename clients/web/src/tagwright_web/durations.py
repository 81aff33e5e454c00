"""How long these pages took to answer, by kind: the last some hundreds, for administrators to look at."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import deque
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

_KEPT = 500  # of each kind

_KINDS = {
    "/": "first page",
    "/mine": "my photos",
    "/search": "search",
    "/suggest": "completion",
    "/upload/photo": "upload of a photo",
}
_PHOTO_PARTS = {
    "thumbnail": "thumbnail",
    "content": "photo itself",
    "refinement": "refinement",
    "similar": "photos that look alike",
    "tags": "review of tags",
}


@dataclass(frozen=True, slots=True)
class Lasted:
    """What the last `count` requests of a kind took."""

    kind: str
    count: int
    median_ms: float
    p95_ms: float


class Durations:
    """The last durations of each kind; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_kind: dict[str, deque[float]] = {}

    def add(self, kind: str, took_s: float) -> None:
        """Note one."""
        with self._lock:
            self._by_kind.setdefault(kind, deque(maxlen=_KEPT)).append(took_s)

    def lasted(self) -> list[Lasted]:
        """Return what each kind took, by name."""
        with self._lock:
            copied = {kind: sorted(each) for kind, each in self._by_kind.items()}
        return [
            Lasted(
                kind=kind,
                count=len(each),
                median_ms=statistics.median(each) * 1000,
                p95_ms=each[math.ceil(len(each) * 0.95) - 1] * 1000,
            )
            for kind, each in sorted(copied.items())
        ]


class Timed:
    """Notes how long each request takes, from its head to the last byte of its answer."""

    def __init__(self, app: ASGIApp, *, durations: Durations) -> None:
        self._app = app
        self._durations = durations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        kind = kind_of(scope["path"]) if scope["type"] == "http" else ""
        if not kind:
            await self._app(scope, receive, send)
            return
        start_s = time.perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            self._durations.add(kind, time.perf_counter() - start_s)


def kind_of(path: str) -> str:
    """Return what is asked for at an address, one of a few; empty where it does not count."""
    if path in _KINDS:
        return _KINDS[path]
    match path.split("/")[1:]:
        case ["photos", _]:
            return "photo"
        case ["photos", _, part] if part in _PHOTO_PARTS:
            return _PHOTO_PARTS[part]
        case ["tags", *_]:
            return "tags"
        case _:
            return ""
