"""Between the contract's accounts, keys and audit events and the store's, both ways; nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping

from tagwright.v1 import api_key_pb2, audit_pb2, user_pb2
from tagwright_server.errors import ArgumentInvalid
from tagwright_server.store.records import Account, ApiKey, AuditEvent, Role
from tagwright_server.transport.moments import from_time

_ROLES: Mapping[Role, user_pb2.Role.ValueType] = {Role.USER: user_pb2.ROLE_USER, Role.ADMIN: user_pb2.ROLE_ADMIN}


def to_role(said: user_pb2.Role.ValueType) -> Role:
    """Read a role. Raises ArgumentInvalid."""
    found = next((role for role, number in _ROLES.items() if number == said), None)
    if found is None:
        raise ArgumentInvalid("must be ROLE_USER or ROLE_ADMIN", field="role")
    return found


def from_role(role: Role) -> user_pb2.Role.ValueType:
    """Write a role."""
    return _ROLES[role]


def user(account: Account) -> user_pb2.User:
    """Write one account."""
    return user_pb2.User(
        id=account.id,
        username=account.username,
        role=from_role(account.role),
        disabled=account.disabled,
        create_time=from_time(account.created),
        update_time=from_time(account.updated),
        last_login_time=from_time(account.last_login),
    )


def api_key(key: ApiKey) -> api_key_pb2.ApiKey:
    """Write one key, as far as it may be shown."""
    return api_key_pb2.ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=sorted(scope.value for scope in key.scopes),
        username=key.username,
        create_time=from_time(key.created),
        expire_time=from_time(key.expires),
        last_use_time=from_time(key.used),
        revoke_time=from_time(key.revoked),
    )


def audit_event(event: AuditEvent) -> audit_pb2.AuditEvent:
    """Write one event of the audit log."""
    return audit_pb2.AuditEvent(
        id=event.id,
        time=from_time(event.time),
        actor=event.actor,
        credential=event.credential,
        peer=event.peer,
        action=event.action,
        target=event.target,
        details=dict(event.details),
    )
