"""How a page is made: templates in which all text is escaped, static files with their digest, an ETag for each page."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from tagwright_web.failures import Failure
from tagwright_web.queries import word

STATIC = Path(__file__).parent / "static"
_FOR_EVER = "public, max-age=31536000, immutable"


class Static(StaticFiles):
    """The pages' own files; under an address with their digest they never change."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)
        self._digests = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in STATIC.iterdir() if path.is_file()
        }

    def address(self, name: str) -> str:
        """Return where a file of the pages is; KeyError: there is none of that name."""
        return f"/static/{name}?v={self._digests[name]}"

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, to be kept by the browser where the address says which version it is."""
        response = await super().get_response(path, scope)
        versioned = scope["query_string"] == f"v={self._digests.get(path)}".encode()
        response.headers["cache-control"] = _FOR_EVER if versioned else "no-cache"
        return response


class Pages:
    """The templates; `static` says where their files are, `photo_bytes_max` how large a photo may be."""

    def __init__(self, static: Static, photo_bytes_max: int) -> None:
        self._templates = Environment(
            loader=PackageLoader("tagwright_web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {
            "asset": static.address,
            "here": here,
            "photo_bytes_max": photo_bytes_max,
            "word": word,
        }
        self._templates.filters |= {
            "bytes": bytes_in_words,
            "moment": moment,
            "second": second,
            "span": span,
            "iso": iso,
            "percent": percent,
            "segment": segment,
            "tagged": tagged,
            "number": number,
        }

    def text(self, template: str, values: Mapping[str, Any]) -> str:
        """Return what a template makes of these values."""
        return self._templates.get_template(template).render(**values)

    def show(
        self,
        template: str,
        values: Mapping[str, Any],
        *,
        form_token: str = "",
        session: str = "",
        if_none_match: str = "",
    ) -> Response:
        """Return a page that the browser may keep, if it asks each time whether it is still the same.

        The token of its forms differs each time and does not count: an older one of the same `session` is as good.
        """
        text = self.text(template, values)
        plain = session + (text.replace(form_token, "") if form_token else text)
        etag = f'W/"{hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:32]}"'
        headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "Cookie, HX-Request, HX-Target"}
        if etag in (each.strip() for each in if_none_match.split(",")):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(text, headers=headers)

    def fail(self, failure: Failure, values: Mapping[str, Any], *, part: bool) -> Response:
        """Return what went wrong: as a page, or as a notice in the page that is there."""
        text = self.text("parts/notice.html" if part else "failure.html", {**values, "failure": failure})
        return HTMLResponse(text, status_code=failure.status, headers={**failure.headers, "vary": "HX-Request"})


def here(path: str, **query: object) -> str:
    """Return an address of ours; what is None or empty is left out."""
    given = {name: str(value) for name, value in query.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(given, errors='replace')}" if given else path


def segment(text: str) -> str:
    """Return a name as one part of a path; browsers take a part of nothing but dots for a way up, however written."""
    return quote(text, safe="", errors="replace")


def tagged(tag: str) -> str:
    """Return where a tag is shown: where its name is nothing but dots, which is no part of a path, its search is."""
    return here("/search", q=word(tag)) if not tag.strip(".") else f"/tags/{segment(tag)}"


def percent(score: float | None) -> str:
    """Return a score in words; no score but 1 is 100 %."""
    if score is None:
        return "not judged"
    return "100 %" if score >= 1 else f"{min(math.floor(score * 100 + 0.5), 99)} %"


def moment(time: datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    return "" if time is None else f"{time.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def second(time: datetime | None) -> str:
    """Return a time in UTC, to the second, where it is clear that it is in UTC."""
    return "" if time is None else f"{time.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"


def span(seconds: float) -> str:
    """Return how long something takes, roughly: its two largest units."""
    left = max(round(seconds), 0)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size or parts:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def iso(time: datetime | None) -> str:
    """Return a time for programs."""
    return "" if time is None else time.astimezone(timezone.utc).isoformat(timespec="seconds")


def bytes_in_words(size: float) -> str:
    """Return a size, such as 1.5 MiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError


def number(value: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,.0f}"
