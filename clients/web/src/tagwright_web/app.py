"""The pages as one application: every address, who may ask for it, and what stands around all of them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from tagwright_client import ArgumentInvalid, Client, TagwrightError, TokenInvalid
from tagwright_web import sessions
from tagwright_web.archives import Archives
from tagwright_web.clients import Clients
from tagwright_web.durations import Durations, Timed
from tagwright_web.failures import Failure, failure_of
from tagwright_web.headers import BodyLimit, SecurityHeaders
from tagwright_web.pages import Pages, Static, here
from tagwright_web.settings import Settings, SettingsError
from tagwright_web.views import account, admin, home, photos, search, sign_in, tags, uploads
from tagwright_web.visits import Threads, View, anyone, signed_in, visitor_of, wants_part

log = logging.getLogger(__name__)

_THREADS = 64  # calls of the SDK at once; a grid asks for some dozens of thumbnails
_SLOW_THREADS, _GUEST_THREADS = 32, 16
_FORM_BYTES = 1024 * 1024  # room for what is filled in beside the photos
_WITHOUT_NAVIGATION = (401, 429)  # and with a server that fails: asking it who is there would be no better
_PHOTOS_A_FORM = 20  # without JavaScript all photos of an upload come in one


def create_app(settings: Settings, *, address: str = "") -> Starlette:
    """Return the application; `address` is where it is said to be when it starts.

    Raises SettingsError where the server's address or its authority makes no sense.
    """

    os.environ.pop("TAGWRIGHT_TOKEN", None)  # the SDK would take it where a visitor has none

    def connect(token: str | None, forwarded_for: str | None) -> Client:
        return Client.connect(
            settings.server,
            token=token,
            ca_file=settings.server_ca_file,
            insecure=settings.server_insecure,
            forwarded_for=forwarded_for,
        )

    try:
        with connect(None, None) as client:  # reaches for nobody yet
            url = client.url
    except ArgumentInvalid as err:
        raise SettingsError(str(err)) from err
    clients = Clients(connect)
    archives = Archives(connect)
    durations = Durations()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        log.info("pages on %s, of the server at %s", address, url)
        yield
        archives.close()
        clients.close()

    static = Static()
    app = Starlette(
        routes=_routes(static),
        middleware=[
            Middleware(Timed, durations=durations),
            Middleware(SecurityHeaders),
            Middleware(
                BodyLimit,
                most=settings.photo_bytes_max + _FORM_BYTES,
                most_at={
                    "/upload": _PHOTOS_A_FORM * settings.photo_bytes_max + _FORM_BYTES,
                    "/admin/uploads/archive": settings.archive_bytes_max + _FORM_BYTES,
                },
            ),
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=6),
        ],
        exception_handlers={
            TagwrightError: _sdk_error,
            Failure: _failure,
            HTTPException: _http_error,
        },
        lifespan=lifespan,
    )
    app.state.clients = clients
    app.state.archives = archives
    app.state.durations = durations
    app.state.threads = Threads(CapacityLimiter(_SLOW_THREADS), CapacityLimiter(_GUEST_THREADS))
    app.state.pages = Pages(static, settings.photo_bytes_max)
    return app


def _routes(static: Static) -> list[BaseRoute]:
    def get(path: str, view: View, *, admin: bool = False, slow: bool = False) -> Route:
        return Route(path, signed_in(view, admin=admin, slow=slow), methods=["GET"])

    def post(path: str, view: View, *, admin: bool = False, slow: bool = False) -> Route:
        return Route(path, signed_in(view, admin=admin, slow=slow), methods=["POST"])

    return [
        Mount("/static", static),
        Route("/sign-in", anyone(sign_in.show), methods=["GET"]),
        Route("/sign-in", anyone(sign_in.sign_in, out_of_date=sign_in.ask_again), methods=["POST"]),
        post("/sign-out", sign_in.sign_out),
        get("/session", sign_in.session),
        get("/", home.show),
        get("/mine", home.mine),
        get("/upload", uploads.show),
        post("/upload", uploads.upload, slow=True),
        post("/upload/photo", uploads.upload_one, slow=True),
        get("/photos/{id}", photos.show),
        post("/photos/{id}", photos.change),
        get("/photos/{id}/content", photos.content),
        get("/photos/{id}/thumbnail", photos.thumbnail),
        get("/photos/{id}/refinement", photos.refinement, slow=True),
        get("/photos/{id}/similar", photos.similar),
        post("/photos/{id}/tags", photos.review),
        get("/search", search.show),
        post("/search", search.by_photo, slow=True),
        get("/suggest", search.suggest),
        get("/tags", tags.show_all),
        get("/tags/{name:path}", tags.show),
        get("/account", account.show),
        post("/account/password", account.change_password, slow=True),
        post("/account/keys", account.create_key),
        post("/account/keys/{id}/revoke", account.revoke_key),
        *admin.routes(get, post),
    ]


async def _sdk_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TagwrightError)
    if isinstance(error, TokenInvalid):
        return await _ask_to_sign_in(request, error)
    return await _failure(request, failure_of(error))


async def _ask_to_sign_in(request: Request, error: TokenInvalid) -> Response:
    """Have the visitor sign in and come back. What was to be changed is not changed: that has to be said."""
    token = sessions.token_of(request)
    request.app.state.clients.forget(token)
    if request.url.path == "/sign-out":  # the session is gone already; the cookie and what was seen go as well
        left = RedirectResponse("/sign-in?left=1", 303)
        sessions.end(request, left)
        return left
    if request.headers.get("sec-fetch-dest") == "image":
        return Response(status_code=401)  # a form to sign in is no picture, and would make an open one out of date
    if wants_part(request) and request.method == "GET":
        page = urlsplit(request.headers.get("hx-current-url", ""))
        back = page.path + (f"?{page.query}" if page.query else "")
        return Response(status_code=401, headers={"hx-redirect": here("/sign-in", next=back, ended=1)})
    if request.method == "GET":
        path = request.scope.get("raw_path", b"/").decode("ascii", "replace").partition("?")[0]
        back = path + (f"?{request.url.query}" if request.url.query else "")
        ended = 1 if token is not None else None
        return RedirectResponse(here("/sign-in", next="" if back == "/" else back, ended=ended), 303)
    return await _failure(request, failure_of(error))  # what was filled in stays, for after signing in elsewhere


async def _failure(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)
    pages: Pages = request.app.state.pages
    if wants_part(request) or request.headers.get("x-form-token") is not None:
        return pages.fail(error, {}, part=True)
    user = None if error.status in _WITHOUT_NAVIGATION or error.status >= 500 else await visitor_of(request)
    form_token = sessions.form_token(sessions.token_of(request) or "")
    return pages.fail(error, {"user": user, "form_token": form_token, "back": _form_of(request)}, part=False)


def _form_of(request: Request) -> str:
    """Return where the form is that was sent: loaded anew by a link, as the browser would send the old one again."""
    page = urlsplit(request.headers.get("referer", ""))
    if request.method != "POST" or page.netloc != request.headers.get("host"):
        return ""
    return sign_in.local(page.path + (f"?{page.query}" if page.query else ""))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return await _failure(request, Failure(404, "Not found", "There is no page at this address."))
    if error.status_code == 405:
        return await _failure(request, Failure(405, "Not here", "This address takes no such request."))
    return await _failure(request, Failure(error.status_code, "That cannot be done", error.detail))
