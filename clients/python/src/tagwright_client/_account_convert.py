"""Between the account messages of the contract and this client's values."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timezone

from google.protobuf.timestamp_pb2 import Timestamp

from tagwright.v1 import api_key_pb2, audit_pb2, auth_service_pb2, user_pb2

from . import _account_values as values
from ._errors import InternalError
from ._security import refused

_ROLE_PREFIX = "ROLE_"
_ROLES = {
    name.removeprefix(_ROLE_PREFIX): number
    for name, number in user_pb2.Role.items()
    if number != user_pb2.ROLE_UNSPECIFIED
}


def text(field: str, value: str | None) -> str:
    """Return what a text field takes; None: empty. The text itself is in no error: it may be a password."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{field} is a string, not {type(value).__name__}")
    if any("\ud800" <= char <= "\udfff" for char in value):  # such as bytes of a command line that are no UTF-8
        raise refused(field, "it is no valid Unicode text")
    return value


def texts(field: str, given: Iterable[str]) -> list[str]:
    """Return what a field of several texts takes."""
    if isinstance(given, str):  # a string is an iterable of strings too
        raise TypeError(f"{field} takes several, such as [{given!r}], not a string")
    return [text(field, value) for value in given]


def role(value: str) -> user_pb2.Role.ValueType:
    """Return the contract's number of "USER" or "ADMIN"."""
    if value not in _ROLES:
        raise refused("role", f"it is one of {', '.join(_ROLES)}, not {value!r}")
    return _ROLES[value]


def timestamp(field: str, value: datetime | None) -> Timestamp | None:
    """Return a moment as the contract has it; one without a time zone could mean any, and is refused."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"{field} is a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise refused(field, "it has no time zone, as datetime.now(timezone.utc) has")
    message = Timestamp()
    try:
        message.FromDatetime(value)
    except (ValueError, OverflowError) as err:
        raise refused(field, f"it is beyond what the contract can say: {value}") from err
    return message


def request_id(given: str | None) -> str:
    """Return the id of a call that changes something: the caller's, or a new one."""
    if given is None:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(given))
    except (ValueError, AttributeError, TypeError) as err:
        raise refused("request_id", "it is a UUID, such as str(uuid.uuid4())") from err


def user(message: user_pb2.User) -> values.User:
    """Return one account."""
    return values.User(
        id=message.id,
        username=message.username,
        role=_role_name(message.role),
        disabled=message.disabled,
        create_time=_time(message, "create_time"),
        update_time=_time(message, "update_time"),
        last_login_time=_time(message, "last_login_time"),
    )


def login(message: auth_service_pb2.LoginResponse) -> values.Login:
    """Return a new session."""
    return values.Login(
        access_token=message.access_token,
        expire_time=_time(message, "expire_time"),
        idle_timeout_s=message.idle_timeout.ToNanoseconds() / 1e9,
        user=user(message.user),
    )


def who_am_i(message: auth_service_pb2.WhoAmIResponse) -> values.WhoAmI:
    """Return whose token it is."""
    return values.WhoAmI(
        user=user(message.user),
        role=_role_name(message.role),
        scopes=tuple(message.scopes),
        expire_time=_time(message, "expire_time"),
        api_key=api_key(message.api_key) if message.HasField("api_key") else None,
    )


def api_key(message: api_key_pb2.ApiKey) -> values.ApiKey:
    """Return what is known of a key."""
    return values.ApiKey(
        id=message.id,
        name=message.name,
        prefix=message.prefix,
        scopes=tuple(message.scopes),
        username=message.username,
        create_time=_time(message, "create_time"),
        expire_time=_time(message, "expire_time"),
        last_use_time=_time(message, "last_use_time"),
        revoke_time=_time(message, "revoke_time"),
    )


def audit_event(message: audit_pb2.AuditEvent) -> values.AuditEvent:
    """Return one thing that was done."""
    return values.AuditEvent(
        id=message.id,
        time=_time(message, "time"),
        actor=message.actor,
        credential=message.credential,
        peer=message.peer,
        action=message.action,
        target=message.target,
        details=dict(message.details),
    )


def _role_name(number: user_pb2.Role.ValueType) -> str:
    try:
        return user_pb2.Role.Name(number).removeprefix(_ROLE_PREFIX)
    except ValueError:  # a newer server's word
        return str(number)


def _time(
    message: user_pb2.User
    | api_key_pb2.ApiKey
    | audit_pb2.AuditEvent
    | auth_service_pb2.LoginResponse
    | auth_service_pb2.WhoAmIResponse,
    field: str,
) -> datetime | None:
    if not any(present.name == field for present, _ in message.ListFields()):
        return None
    moment: Timestamp = getattr(message, field)
    try:
        return moment.ToDatetime(tzinfo=timezone.utc)
    except (ValueError, OverflowError) as err:
        raise InternalError(f"the server's answer makes no sense: its {field} is no moment in time") from err
