"""Signing in and out. The session is the server's: it begins and ends there."""

from __future__ import annotations

from starlette.responses import JSONResponse, RedirectResponse, Response

from tagwright_client import LoginFailed, Overloaded, RateLimited, TagwrightError
from tagwright_web import sessions
from tagwright_web.failures import failure_of
from tagwright_web.visits import Visit


def show(visit: Visit) -> Response:
    """Ask for name and password."""
    return _ask(visit)


def sign_in(visit: Visit) -> Response:
    """Begin a session."""
    try:
        login = visit.client.login(visit.given("username"), visit.secret_given("password"))
    except (LoginFailed, RateLimited, Overloaded) as err:
        return _ask(visit, error=err)
    response = RedirectResponse(local(visit.given("next")), status_code=303)
    sessions.begin(visit.request, response, login.access_token)
    return response


def sign_out(visit: Visit) -> Response:
    """End the session, at the server first."""
    visit.client.logout()
    response = RedirectResponse("/sign-in?left=1", status_code=303)
    sessions.end(visit.request, response)
    return response


def session(visit: Visit) -> Response:
    """Tell a page whose session ended in between whether there is one again, and what its forms carry now."""
    return JSONResponse({"username": visit.user.username, "form_token": visit.form_token})


def local(path: str) -> str:
    """Return an address to go on to after signing in: ours, whatever it says."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if ours else "/"


def _ask(visit: Visit, error: TagwrightError | None = None) -> Response:
    failure = None if error is None else failure_of(error)
    response = visit.show(
        "sign_in.html",
        guest=True,
        failure=failure,
        username=visit.given("username"),
        next=visit.given("next") or visit.asked("next"),
        ended=bool(visit.asked("ended")),
        left=bool(visit.asked("left")),
    )
    if failure is not None:
        response.status_code = failure.status
        response.headers.update(failure.headers)
    response.headers["cache-control"] = "private, no-store"
    return response
