"""What the store keeps, as plain values. All times are in UTC, to the microsecond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class Role(Enum):
    """The kind of an account."""

    USER = "user"
    ADMIN = "admin"


class Scope(Enum):
    """What a token may do."""

    TAGGING_READ = "tagging:read"
    TAGGING_WRITE = "tagging:write"
    SEARCH = "search"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Account:
    """One account. `id` is a UUID in hexadecimal and never comes back; `username` is as it was written."""

    id: str
    username: str
    role: Role
    disabled: bool
    created: datetime
    updated: datetime
    last_login: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in session. `token_hash` is the SHA-256 of its token; the token itself is nowhere."""

    id: str
    account_id: str
    token_hash: bytes
    created: datetime
    used: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of a backend service. `token_hash` is the SHA-256 of the key, `prefix` how it begins."""

    id: str
    account_id: str
    username: str
    name: str
    prefix: str
    token_hash: bytes = field(repr=False)
    scopes: frozenset[Scope]
    created: datetime
    expires: datetime | None = None
    used: datetime | None = None
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that was done or tried. `id` is 0 until it is stored, then greater than that of every earlier one."""

    time: datetime
    actor: str
    credential: str
    peer: str
    action: str
    target: str
    details: Mapping[str, str] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """The first answer to a request that names itself: both hashes are keyed, the answer is sealed."""

    id: bytes
    content: bytes
    sealed: bytes
    created: datetime


@dataclass(frozen=True, slots=True)
class Failures:
    """How full a bucket of failed logins was at a moment."""

    level: float
    at: datetime
