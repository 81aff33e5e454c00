"""What people see of accounts, keys and what was done: tables on standard output, times in this machine's zone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagwright_admin.screen import safe as safe
from tagwright_client import ApiKey, AuditEvent, Login, User, WhoAmI

_WIDTH = 10_000
_ROLES = {"USER": "user", "ADMIN": "administrator"}


def say(text: str) -> None:
    """Print one line about what was done."""
    _print(Text(safe(text)))


def show_login(session: Login, *, url: str) -> None:
    """Say who signed in where, and until when."""
    until = f", until {_time(session.expire_time)}" if session.expire_time else ""
    say(f"Signed in to {url} as {session.user.username} ({_role(session.user.role)}){until}")


def show_who_am_i(me: WhoAmI, *, url: str) -> None:
    """Print who asks, as what, and what that allows."""
    signed = f"key {me.api_key.prefix} ({me.api_key.name})" if me.api_key is not None else "a session"
    rows = {
        "user": f"{me.user.username} ({_role(me.role)})",
        "server": url,
        "signed in with": signed,
        "may": ", ".join(me.scopes),
        "until": _time(me.expire_time) or "never expires",
    }
    table = Table.grid(padding=(0, 2), pad_edge=False)
    for title, value in rows.items():
        table.add_row(Text(title, style="dim"), Text(safe(value)))
    _print(table)


def show_users(users: Iterable[User]) -> None:
    """Print the table of accounts."""
    table = _table("user", "role", "", "last login", "created")
    for user in users:
        state = "disabled" if user.disabled else ""
        last = _time(user.last_login_time) or "never"
        table.add_row(*_cells(user.username, _role(user.role), state, last, _day(user.create_time)))
    _print(table)


def show_keys(keys: Iterable[ApiKey], *, now: datetime) -> None:
    """Print the table of keys."""
    table = _table("key", "name", "may", "", "expires", "last used", "created", "id")
    for key in keys:
        if key.revoke_time is not None:
            state = "revoked"
        else:
            state = "expired" if key.expire_time is not None and key.expire_time <= now else ""
        times = (_time(key.expire_time) or "never", _time(key.last_use_time) or "never", _day(key.create_time))
        table.add_row(*_cells(key.prefix, key.name, ", ".join(key.scopes), state, *times, key.id))
    _print(table)


def show_audit_events(events: Iterable[AuditEvent]) -> None:
    """Print the table of what was done."""
    table = _table("time", "who", "what", "to", "from", "signed with", "details")
    for event in events:
        when = event.time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if event.time else ""
        details = ", ".join(f"{name}: {value}" for name, value in sorted(event.details.items()))
        table.add_row(
            *_cells(when, event.actor or "-", event.action, event.target, event.peer, event.credential, details)
        )
    _print(table)


def explain_new_key(key: ApiKey) -> None:
    """Say, on standard error, what the key that was just printed is."""
    until = f"until {_time(key.expire_time)}" if key.expire_time else "until it is revoked"
    text = f"Key {key.prefix} ({key.name}) may {', '.join(key.scopes)}, {until}. It is shown this once: keep it."
    _print(Text(safe(text)), to_error=True)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in titles:
        table.add_column(title, no_wrap=True)
    return table


def _cells(*values: str) -> list[Text]:
    return [Text(safe(value)) for value in values]


def _print(shown: Table | Text, *, to_error: bool = False) -> None:
    # As wide as the text is: a name that is cut cannot be copied into the next command.
    Console(stderr=to_error, highlight=False, width=_WIDTH).print(shown, soft_wrap=True)


def _role(role: str) -> str:
    return _ROLES.get(role, role)


def _time(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment is not None else ""


def _day(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d") if moment is not None else ""
