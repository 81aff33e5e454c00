"""Accounts: who may sign in, as what, and their keys."""

from __future__ import annotations

from starlette.responses import Response

from tagwright_web.failures import Failure
from tagwright_web.visits import Visit

_A_PAGE = 200
_DELETE_TIMEOUT_S = 120.0  # an account's photos go with it


def show_all(visit: Visit) -> Response:
    """Show the accounts, by name."""
    listed = visit.client.list_users(page_size=_A_PAGE, page_token=visit.asked("page"))
    accounts = listed.next_page()
    return visit.show("admin/users.html", accounts=accounts, following=listed.next_page_token)


def create(visit: Visit) -> Response:
    """Make an account."""
    made = visit.client.create_user(visit.given("username"), _password(visit), role=visit.given("role") or "USER")
    return visit.go("/admin/users", done="created", name=made.username)


def show(visit: Visit) -> Response:
    """Show one account, and what can be done about it."""
    account = visit.client.get_user(visit.asked("name"))
    keys = visit.client.list_api_keys(username=account.username)
    return visit.show(
        "admin/user.html",
        account=account,
        keys=[each for each in keys if each.revoke_time is None],
        own=account.username == visit.user.username,
    )


def change(visit: Visit) -> Response:
    """Change one account, or delete it; nobody locks themselves out here."""
    name, action = visit.given("username"), visit.given("action")
    if name == visit.user.username and action in ("disable", "delete", "role"):
        raise Failure(400, "That cannot be done", "This is your own account. Another administrator can do that.")
    match action:
        case "disable" | "enable":
            visit.client.update_user(name, disabled=action == "disable")
        case "role":
            visit.client.update_user(name, role=visit.given("role"))
        case "password":
            visit.client.update_user(name, password=_password(visit))
        case "revoke":
            visit.client.revoke_api_key(visit.given("key"))
        case "delete":
            visit.client.delete_user(name, timeout_s=_DELETE_TIMEOUT_S)
        case other:
            raise Failure(400, "That cannot be done", f"An account cannot be {other!r}.")
    if action == "delete" or visit.given("from") == "list":
        return visit.go("/admin/users", done=action, name=name)
    return visit.go("/admin/users/account", name=name, done=action)


def _password(visit: Visit) -> str:
    password = visit.secret_given("password")
    if password != visit.secret_given("repeated"):
        raise Failure(400, "Nothing was changed", "The password was typed in two different ways.")
    return password
