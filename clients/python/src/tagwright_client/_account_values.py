"""What the account calls return: frozen values in plain Python types. No secret shows in their repr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class User:
    """One account. `role` is "USER" or "ADMIN"; `last_login_time` is None where nobody ever signed in.

    `id` never comes back: a later account of the same name has another one.
    """

    id: str
    username: str
    role: str
    disabled: bool
    create_time: datetime | None
    update_time: datetime | None
    last_login_time: datetime | None


@dataclass(frozen=True, slots=True)
class Login:
    """A new session: it ends at `expire_time`, or sooner when it is not used for `idle_timeout_s` seconds."""

    access_token: str = field(repr=False)  # whoever has it is the user
    expire_time: datetime | None
    idle_timeout_s: float
    user: User


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; the key itself is shown once, when it is made.

    `prefix` is how it begins, `scopes` what it may do; None as `expire_time`, `last_use_time` or `revoke_time` means
    never.
    """

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    username: str
    create_time: datetime | None
    expire_time: datetime | None
    last_use_time: datetime | None
    revoke_time: datetime | None


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made: `key` is told here and never again."""

    key: str = field(repr=False)
    api_key: ApiKey


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Whose token it is and what it may do: `api_key` is the key where it is one, None for a session's token."""

    user: User
    role: str
    scopes: tuple[str, ...]
    expire_time: datetime | None
    api_key: ApiKey | None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that was done or tried: when, by whom (`actor`, `credential`, `peer`), what, and to what.

    `actor` is empty where nobody is known, as with a failed login.
    """

    id: int
    time: datetime | None
    actor: str
    credential: str
    peer: str
    action: str
    target: str
    details: Mapping[str, str]
