"""One's own account: its password, and keys for programs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from starlette.responses import Response

from tagwright_client import LoginFailed, NewApiKey
from tagwright_web.failures import Failure
from tagwright_web.visits import Visit

SCOPES = {
    "tagging:read": "look at photos and tags, tag without keeping",
    "tagging:write": "keep, change and delete photos and tags",
    "search": "search",
    "admin": "administer the server",
}
LIFETIMES = {"30": "30 days", "90": "90 days", "365": "a year", "": "for ever"}


def show(visit: Visit) -> Response:
    """Show who one is, and one's keys."""
    return _show(visit)


def change_password(visit: Visit) -> Response:
    """Change the password; other sessions end, this one goes on."""
    new = visit.secret_given("new_password")
    if new != visit.secret_given("repeated"):
        raise Failure(400, "The password was not changed", "The new password was typed in two different ways.")
    try:
        visit.client.change_password(visit.secret_given("current_password"), new)
    except LoginFailed:
        raise Failure(400, "The password was not changed", "The current password is not right.") from None
    return visit.go("/account", done="password")


def create_key(visit: Visit) -> Response:
    """Make a key, and show it this once."""
    days = visit.given("days")
    if days not in LIFETIMES or not visit.was_given("days"):
        raise Failure(400, "No key was made", "Say when it ends.")
    expires = datetime.now(timezone.utc) + timedelta(days=int(days)) if days else None
    made = visit.client.create_api_key(visit.given("name"), visit.all_given("scope"), expire_time=expires)
    return _show(visit, made)


def revoke_key(visit: Visit) -> Response:
    """Make a key useless, at once."""
    visit.client.revoke_api_key(visit.path("id"))
    return visit.go("/account", done="revoked")


def _show(visit: Visit, made: NewApiKey | None = None) -> Response:
    response = visit.show(
        "account.html",
        keys=[key for key in visit.client.list_api_keys() if key.revoke_time is None],
        made=made,
        scopes={scope: what for scope, what in SCOPES.items() if scope != "admin" or visit.is_admin},
        lifetimes=LIFETIMES,
        now=datetime.now(timezone.utc),
    )
    response.headers["cache-control"] = "private, no-store"
    return response
