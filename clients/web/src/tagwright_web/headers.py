"""What every answer says to the browser about itself, and how large a request may be."""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tagwright_web.failures import Failure

# Nothing from elsewhere, nothing in the page itself: whatever gets into a page as text stays text. blob: are previews.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_READ_AWAY_MAX, _READ_AWAY_S = 64 * 1024 * 1024, 5.0
_A_YEAR_S = 31_536_000


class SecurityHeaders:
    """Adds the headers that keep a browser from doing more than these pages need."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "private, no-store")
                if scope["scheme"] == "https":
                    headers.setdefault("strict-transport-security", f"max-age={_A_YEAR_S}")
            await send(message)

        await self._app(scope, receive, with_headers)


class BodyLimit:
    """Refuses bodies over a limit: at once where their size is told, else whoever reads them gets a Failure."""

    def __init__(self, app: ASGIApp, *, most: int, most_at: dict[str, int]) -> None:
        self._app = app
        self._most = most
        self._most_at = most_at  # by path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most_at.get(scope["path"], self._most)
        told = Headers(scope=scope).get("content-length", "0")
        if not told.isdigit() or int(told) > most:
            await _read_away(receive)
            failure = _too_large(most)
            await PlainTextResponse(f"{failure.text}\n", failure.status, failure.headers)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise _too_large(most)
            return message

        await self._app(scope, counted, send)


async def _read_away(receive: Receive) -> None:
    """Read some of a body that is refused: a browser that still sends would see a broken connection, not the answer."""
    size, more = 0, True
    with anyio.move_on_after(_READ_AWAY_S):
        while more and size < _READ_AWAY_MAX:
            message = await receive()
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)


def _too_large(most: int) -> Failure:
    return Failure(413, "Too large", f"This is larger than the {most / 1024**2:,.0f} MiB that are taken here.")
