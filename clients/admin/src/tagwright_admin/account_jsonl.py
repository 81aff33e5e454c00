"""JSON lines about accounts, keys and what was done. Keys are added, never changed; times are ISO 8601 in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tagwright_admin.jsonl import line
from tagwright_client import ApiKey, AuditEvent, Login, NewApiKey, User, WhoAmI


def login(session: Login, *, url: str) -> str:
    """Return the line of a new session, without its token: that is in the file of credentials."""
    return line(
        {
            "url": url,
            "username": session.user.username,
            "role": session.user.role,
            "expire_time": _time(session.expire_time),
            "idle_timeout_s": session.idle_timeout_s,
        }
    )


def logout(*, url: str) -> str:
    """Return the line of a session that ended."""
    return line({"url": url, "signed_in": False})


def password_changed(*, url: str) -> str:
    """Return the line of a password that was changed."""
    return line({"url": url, "password_changed": True})


def who_am_i(me: WhoAmI, *, url: str) -> str:
    """Return the line of whoever asks."""
    return line(
        {
            "url": url,
            "username": me.user.username,
            "role": me.role,
            "scopes": list(me.scopes),
            "expire_time": _time(me.expire_time),
            "api_key": _api_key(me.api_key) if me.api_key is not None else None,
            "user": _user(me.user),
        }
    )


def user(shown: User) -> str:
    """Return the line of one account."""
    return line(_user(shown))


def user_deleted(username: str) -> str:
    """Return the line of an account that is gone."""
    return line({"username": username, "deleted": True})


def api_key(shown: ApiKey) -> str:
    """Return the line of one key, which the key itself is not in."""
    return line(_api_key(shown))


def new_api_key(made: NewApiKey) -> str:
    """Return the line of a new key: the key itself beside what is known of it."""
    return line({"key": made.key, **_api_key(made.api_key)})


def audit_event(event: AuditEvent) -> str:
    """Return the line of one thing that was done."""
    return line(
        {
            "id": event.id,
            "time": _time(event.time),
            "actor": event.actor,
            "credential": event.credential,
            "peer": event.peer,
            "action": event.action,
            "target": event.target,
            "details": dict(event.details),
        }
    )


def _user(shown: User) -> dict[str, Any]:
    return {
        "id": shown.id,
        "username": shown.username,
        "role": shown.role,
        "disabled": shown.disabled,
        "create_time": _time(shown.create_time),
        "update_time": _time(shown.update_time),
        "last_login_time": _time(shown.last_login_time),
    }


def _api_key(shown: ApiKey) -> dict[str, Any]:
    return {
        "id": shown.id,
        "name": shown.name,
        "prefix": shown.prefix,
        "scopes": list(shown.scopes),
        "username": shown.username,
        "create_time": _time(shown.create_time),
        "expire_time": _time(shown.expire_time),
        "last_use_time": _time(shown.last_use_time),
        "revoke_time": _time(shown.revoke_time),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
