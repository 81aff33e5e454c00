"""Signing in and out. The session is the server's: it begins and ends there."""

from __future__ import annotations

import re
from contextlib import suppress

from starlette.responses import JSONResponse, RedirectResponse, Response

from tagwright_client import LoginFailed, Overloaded, RateLimited, TagwrightError
from tagwright_web import sessions
from tagwright_web.clients import Clients
from tagwright_web.failures import Failure, failure_of
from tagwright_web.visits import Visit, address_of


def show(visit: Visit) -> Response:
    """Ask for name and password."""
    return _ask(visit)


def sign_in(visit: Visit) -> Response:
    """Begin a session."""
    try:
        login = visit.client.login(visit.given("username"), visit.secret_given("password"))
    except (LoginFailed, RateLimited, Overloaded) as err:
        return _ask(visit, failure_of(err))
    _end(visit, sessions.token_of(visit.request))
    response = RedirectResponse(local(visit.given("next")), status_code=303)
    sessions.begin(visit.request, response, login.access_token)
    return response


def ask_again(visit: Visit) -> Response:
    """Ask once more: another tab has signed in or out since the form was made."""
    text = "Somebody has signed in or out in another tab since. The password once more, please."
    return _ask(visit, Failure(403, "Not signed in yet", text))


def sign_out(visit: Visit) -> Response:
    """End the session, at the server first."""
    visit.client.logout()
    visit.request.app.state.clients.forget(sessions.token_of(visit.request))
    response = RedirectResponse("/sign-in?left=1", status_code=303)
    sessions.end(visit.request, response)
    return response


def session(visit: Visit) -> Response:
    """Tell a page whose session ended in between whether there is one again, and what its forms carry now."""
    return JSONResponse({"username": visit.user.username, "form_token": visit.form_token})


def local(path: str) -> str:
    """Return an address to go on to after signing in: ours, whatever it says."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and not re.search(r"[\x00-\x20\x7f]", path)
    return path if ours else "/"


def _end(visit: Visit, token: str | None) -> None:
    """End the session that the browser had before: whoever signs in anew has no use for it."""
    if token is None:
        return
    clients: Clients = visit.request.app.state.clients
    with suppress(TagwrightError), clients.lend(token, address_of(visit.request)) as before:
        before.logout()
    clients.forget(token)


def _ask(visit: Visit, failure: Failure | None = None) -> Response:
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
