"""One request of one visitor: who asks, with which client, and what was filled in.

A view is a plain function of a `Visit` and runs in a thread, as the SDK's calls wait. Before it is called a form has
been read and is known to come from a page of ours.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from tagwright_client import Client, TagwrightError, TokenInvalid, User
from tagwright_web import sessions
from tagwright_web.clients import Clients
from tagwright_web.failures import Failure
from tagwright_web.pages import Pages, here

FILES_MAX, FIELDS_MAX = 500, 200
_FIELD_BYTES_MAX = 64 * 1024
_READ_AWAY_MAX = 32 * 1024 * 1024  # a photo and what is filled in; whoever sends more sees the connection end

log = logging.getLogger(__name__)

View = Callable[["Visit"], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Threads:
    """How many views may be at work at once, beside the common ones: those that take long, and those of guests."""

    slow: CapacityLimiter
    guests: CapacityLimiter


class Visit:
    """A request, the client that acts for whoever made it, and what was filled in."""

    def __init__(self, request: Request, client: Client, form: FormData, secret: str) -> None:
        self.request = request
        self.client = client
        self._form = form
        self._secret = secret

    @cached_property
    def user(self) -> User:
        """Who it is. Raises TokenInvalid where the session has ended."""
        return self.client.who_am_i().user

    @cached_property
    def form_token(self) -> str:
        """What a form of ours carries."""
        return sessions.form_token(self._secret)

    @property
    def is_admin(self) -> bool:
        """Whether the visitor may administer the server."""
        return self.user.role == "ADMIN"

    @property
    def part_wanted(self) -> str:
        """Which part of the page is asked for by a page of ours that is there already; empty: the whole page."""
        headers = self.request.headers
        if headers.get("hx-history-restore-request") == "true":
            return ""
        return headers.get("hx-target", "part") if wants_part(self.request) else ""

    def path(self, name: str) -> str:
        """Return a part of the address."""
        return str(self.request.path_params[name])

    def asked(self, name: str, default: str = "") -> str:
        """Return a word of the address's query."""
        return self.request.query_params.get(name, default)

    def given(self, name: str) -> str:
        """Return what was filled in, without blanks around it; empty where nothing was."""
        value = self._form.get(name, "")
        return value.strip() if isinstance(value, str) else ""

    def was_given(self, name: str) -> bool:
        """Whether the form had such a field at all."""
        return name in self._form

    def secret_given(self, name: str) -> str:
        """Return a password as it was typed."""
        value = self._form.get(name, "")
        return value if isinstance(value, str) else ""

    def all_given(self, name: str) -> list[str]:
        """Return all that was chosen under one name."""
        return [value for value in self._form.getlist(name) if isinstance(value, str)]

    def files(self, name: str) -> list[UploadFile]:
        """Return the files that were chosen; a field that was left empty has none."""
        return [each for each in self._form.getlist(name) if isinstance(each, UploadFile) and each.filename]

    def show(self, template: str, **values: Any) -> Response:
        """Return a page, or the part of one that is wanted."""
        user = None if values.pop("guest", False) else self.user
        around = {"visit": self, "user": user, "form_token": self.form_token}
        return _pages(self.request).show(
            template,
            {**around, **values},
            form_token=self.form_token,
            session=sessions.fingerprint(self._secret),
            if_none_match=self.request.headers.get("if-none-match", ""),
        )

    def go(self, path: str, **query: object) -> Response:
        """Send the browser to another page of ours: after a form, so that loading it anew does nothing twice."""
        target = here(path, **query)
        if self.part_wanted:
            return Response(status_code=204, headers={"hx-redirect": target})
        return RedirectResponse(target, status_code=303)


def signed_in(view: View, *, admin: bool = False, slow: bool = False) -> Endpoint:
    """Return an endpoint for those who have signed in; others are asked to, and come back.

    A `slow` view waits for the model, or for a whole upload: it has threads that no other view needs.
    """

    async def endpoint(request: Request) -> Response:
        token = sessions.token_of(request)
        if token is None:
            if request.method == "POST":  # a page of another site brings no cookie, and does nothing here either
                await _read_away(request)
                _check_origin(request)
            raise TokenInvalid("Sign in first.")
        threads = _threads(request).slow if slow else None
        return await _visit(request, view, token=token, secret=token, admin=admin, threads=threads)

    return endpoint


def anyone(view: View, *, out_of_date: View | None = None) -> Endpoint:
    """Return an endpoint for whoever comes: calls are made without a token, and no number of them holds up others.

    A form that is not this browser's, or not any more, is answered by `out_of_date`.
    """

    async def endpoint(request: Request) -> Response:
        guest = sessions.guest_of(request) or sessions.new_guest()
        threads = _threads(request).guests
        response = await _visit(request, view, token=None, secret=guest, threads=threads, out_of_date=out_of_date)
        if guest != sessions.guest_of(request):
            sessions.make_guest(request, response, guest)
        return response

    return endpoint


async def visitor_of(request: Request) -> User | None:
    """Return who has signed in, for a page that no view made; None: nobody, or the server does not say."""
    token = sessions.token_of(request)
    if token is None:
        return None
    with suppress(TagwrightError):
        return await run_in_threadpool(_who, request, token)
    return None


def _who(request: Request, token: str) -> User:
    clients: Clients = request.app.state.clients
    with clients.lend(token, address_of(request)) as client:
        return client.who_am_i().user


async def _visit(
    request: Request,
    view: View,
    *,
    token: str | None,
    secret: str,
    admin: bool = False,
    threads: CapacityLimiter | None = None,
    out_of_date: View | None = None,
) -> Response:
    clients: Clients = request.app.state.clients
    form = FormData()
    user: User | None = None

    def answer() -> Response:
        with clients.lend(token, address_of(request)) as client:
            visit = Visit(request, client, form, secret)
            if user is not None:
                visit.user = user
            elif admin:
                _check_role(visit.user, admin=True)
            return view(visit)

    try:
        if request.method == "POST":
            sent = request.headers.get("x-form-token")
            try:
                _check_origin(request)
                if token is not None:  # before the form is read: some gigabytes may come
                    user = await run_in_threadpool(_who, request, token)
                    _check_role(user, admin=admin)
                if sent is not None:
                    _check_form(secret, sent)
            except (Failure, TagwrightError):
                await _read_away(request)
                raise
            form = await _read(request)
            if sent is None:
                filled_in = form.get("form_token")
                try:
                    _check_form(secret, filled_in if isinstance(filled_in, str) else "")
                except Failure:
                    if out_of_date is None:
                        raise
                    view = out_of_date
        return await anyio.to_thread.run_sync(answer, limiter=threads)
    except (Failure, TagwrightError):
        raise
    except Exception as err:
        log.exception("answering %s %s failed", request.method, request.url.path)
        raise Failure(500, "Something went wrong", "The log of the pages says what. Nothing is lost.") from err
    finally:
        await form.close()


def address_of(request: Request) -> str | None:
    """Return the address that the browser comes from, where it is one: proxies may say anything."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(request.client.host)) if request.client else None
    return None


async def _read_away(request: Request) -> None:
    """Read a form that is refused: a browser that still sends would see a broken connection in place of the answer."""
    size = 0
    with suppress(ClientDisconnect):  # nobody waits for the answer
        async for chunk in request.stream():
            size += len(chunk)
            if size > _READ_AWAY_MAX:
                return


def wants_part(request: Request) -> bool:
    """Whether a page of ours asks, for a part of itself."""
    return request.headers.get("hx-request") == "true"


async def _read(request: Request) -> FormData:
    try:
        return await request.form(max_files=FILES_MAX, max_fields=FIELDS_MAX, max_part_size=_FIELD_BYTES_MAX)
    except HTTPException as err:  # how Starlette says that a form is none, or has too many parts
        raise Failure(err.status_code, "This form cannot be read", f"{err.detail} Nothing was done.") from None
    except ClientDisconnect:  # whoever sent it went on to another page: nothing to be told of in the log
        raise Failure(400, "Broken off", "The form did not come to its end. Nothing was done.") from None
    except OSError as err:
        if err.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Failure(507, "These pages' disk is full", "What was sent could not be kept. Nothing was done.") from err


def _check_origin(request: Request) -> None:
    if sessions.comes_from_elsewhere(request):
        raise Failure(403, "Refused", "This form was sent by a page of another site. Nothing was done.")


def _check_role(user: User, *, admin: bool) -> None:
    if admin and user.role != "ADMIN":
        raise Failure(403, "Not allowed", "This page is for administrators.")


def _check_form(secret: str, token: str) -> None:
    if not sessions.is_form_token(secret, token):
        raise Failure(
            403,
            "This form is out of date",
            "It was made before you signed in, or by a page that is not ours. Nothing was done. Load the page again.",
            stale=True,
        )


def _threads(request: Request) -> Threads:
    threads: Threads = request.app.state.threads
    return threads


def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages
