"""What a browser is known by: a cookie with the server's session token, and tokens that no other site can forge.

The session's token is in a cookie that scripts cannot read and other sites cannot send along with a form. Each form
carries a second token, made from the first (or from a guest's random cookie, before signing in): HMAC-SHA256 under a
fresh nonce, so that no two pages have the same one and compression tells nothing of it (BREACH).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from starlette.requests import Request
from starlette.responses import Response

_SESSION, _GUEST = "tagwright_session", "tagwright_guest"
_NONCE_BYTES = 9


def token_of(request: Request) -> str | None:
    """Return the token of the session that the browser has, or had."""
    return request.cookies.get(_name(request, _SESSION)) or None


def guest_of(request: Request) -> str | None:
    """Return what a browser is known by that has not signed in."""
    return request.cookies.get(_name(request, _GUEST)) or None


def begin(request: Request, response: Response, token: str) -> None:
    """Sign the browser in; the server, not the cookie, says how long that lasts."""
    _set(request, response, _SESSION, token)
    response.delete_cookie(_name(request, _GUEST), secure=_secure(request), httponly=True, samesite="lax")


def end(request: Request, response: Response) -> None:
    """Sign the browser out, and have it forget the photos that it saw."""
    response.delete_cookie(_name(request, _SESSION), secure=_secure(request), httponly=True, samesite="lax")
    response.headers["clear-site-data"] = '"cache"'


def make_guest(request: Request, response: Response, guest: str) -> None:
    """Know a browser that has not signed in."""
    _set(request, response, _GUEST, guest)


def new_guest() -> str:
    """Return what to know a browser by."""
    return secrets.token_urlsafe(24)


def fingerprint(secret: str) -> str:
    """Return what tells the pages of one session from those of another, and nothing of the session."""
    return _sign(secret, "page")


def form_token(secret: str) -> str:
    """Return a token for the forms of whoever has this secret."""
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    return f"{nonce}.{_sign(secret, nonce)}"


def is_form_token(secret: str, token: str) -> bool:
    """Whether a form comes from a page that was made for whoever has this secret."""
    nonce, _, signature = token.partition(".")
    return hmac.compare_digest(_sign(secret, nonce).encode(), signature.encode("utf-8", "surrogatepass"))


def comes_from_elsewhere(request: Request) -> bool:
    """Whether the browser says that another site's page sent this; old browsers may not say."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host', '')}"


def _sign(secret: str, nonce: str) -> str:
    return hmac.new(secret.encode(), nonce.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _set(request: Request, response: Response, name: str, value: str) -> None:
    response.set_cookie(
        _name(request, name), value, path="/", secure=_secure(request), httponly=True, samesite="lax"
    )  # lax: an address of a search that somebody was sent opens signed in


def _name(request: Request, name: str) -> str:
    return f"__Host-{name}" if _secure(request) else name  # no other host of the domain can set that one


def _secure(request: Request) -> bool:
    return request.url.scheme == "https"
