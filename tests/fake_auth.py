"""An AuthService of a few lines on a free port, for tests of what talks to a server: accounts in a dictionary.

It keeps to the contract as far as clients can see it: tokens, roles, pages, request ids. What else a call shall meet
(a failure, a wait) a test says with `behave`. A FakeTagging beside it answers whoever asks, and writes down with what.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
from fake_tagging import FakeTagging, abort, status
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tagwright.v1 import api_key_pb2, audit_pb2, user_pb2
from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1.auth_service_pb2_grpc import AuthServiceServicer, add_AuthServiceServicer_to_server
from tagwright.v1.tagging_service_pb2_grpc import add_TaggingServiceServicer_to_server

PASSWORD = "correct horse battery"
EXPIRES = datetime(2027, 1, 31, 12, 30, tzinfo=timezone.utc)
MADE = datetime(2026, 11, 1, 8, 0, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Call:
    """What came: the call's name, its message and its metadata."""

    name: str
    request: Any
    metadata: dict[str, Any]

    @property
    def token(self) -> str:
        return str(self.metadata.get("authorization", "")).removeprefix("Bearer ")


@dataclass
class FakeAuth(AuthServiceServicer):
    """The accounts, what the server saw, and what it shall do next. `ada` is an administrator, `bob` is not."""

    url: str = ""
    tagging: FakeTagging = field(default_factory=FakeTagging)
    users: dict[str, user_pb2.User] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    keys: dict[str, api_key_pb2.ApiKey] = field(default_factory=dict)
    events: list[audit_pb2.AuditEvent] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    page_size: int = 2
    behave: Callable[[Call, int, grpc.ServicerContext], None] = lambda call, attempt, context: None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._add("ada", PASSWORD, user_pb2.ROLE_ADMIN)
        self._add("bob", PASSWORD, user_pb2.ROLE_USER)

    def called(self, name: str) -> list[Call]:
        """The calls of that name so far."""
        return [call for call in self.calls if call.name == name]

    def session(self, username: str) -> str:
        """A token of that user's."""
        token = f"tws_{secrets.token_urlsafe(32)}"
        self.tokens[token] = username
        return token

    def Login(self, request: pb.LoginRequest, context: Any) -> pb.LoginResponse:
        self._note("Login", request, context)
        user = self.users.get(request.username)
        if user is None or user.disabled or self.passwords[request.username] != request.password:
            abort(context, status(16, "the user name or the password is wrong", reason="LOGIN_FAILED"))
        assert user is not None
        token = self.session(request.username)
        return pb.LoginResponse(
            access_token=token, expire_time=_stamp(EXPIRES), user=user, idle_timeout=Duration(seconds=1800)
        )

    def Logout(self, request: pb.LogoutRequest, context: Any) -> pb.LogoutResponse:
        call = self._note("Logout", request, context)
        self._caller(call, context)
        del self.tokens[call.token]
        return pb.LogoutResponse()

    def WhoAmI(self, request: pb.WhoAmIRequest, context: Any) -> pb.WhoAmIResponse:
        call = self._note("WhoAmI", request, context)
        user = self._caller(call, context)
        key = self.keys.get(call.token)
        scopes = key.scopes if key is not None else ["tagging:read", "tagging:write"]
        expire_time = _stamp(EXPIRES) if key is None else None
        return pb.WhoAmIResponse(user=user, role=user.role, scopes=scopes, expire_time=expire_time, api_key=key)

    def ChangePassword(self, request: pb.ChangePasswordRequest, context: Any) -> pb.ChangePasswordResponse:
        call = self._note("ChangePassword", request, context)
        user = self._caller(call, context)
        if self.passwords[user.username] != request.current_password:
            abort(context, status(16, "the current password is wrong", reason="LOGIN_FAILED"))
        self.passwords[user.username] = request.new_password
        return pb.ChangePasswordResponse()

    def CreateUser(self, request: pb.CreateUserRequest, context: Any) -> pb.CreateUserResponse:
        call = self._note("CreateUser", request, context)
        self._caller(call, context, admin=True)
        with self._lock:
            if request.request_id in self.answers:
                return pb.CreateUserResponse(user=self.answers[request.request_id])
            if request.username in self.users:
                abort(context, status(6, f"there is a {request.username} already", reason="NAME_TAKEN"))
            user = self._add(request.username, request.password, request.role or user_pb2.ROLE_USER)
            self.answers[request.request_id] = user
        return pb.CreateUserResponse(user=user)

    def GetUser(self, request: pb.GetUserRequest, context: Any) -> pb.GetUserResponse:
        self._caller(self._note("GetUser", request, context), context, admin=True)
        return pb.GetUserResponse(user=self._user(request.username, context))

    def ListUsers(self, request: pb.ListUsersRequest, context: Any) -> pb.ListUsersResponse:
        self._caller(self._note("ListUsers", request, context), context, admin=True)
        page, following = self._page([self.users[name] for name in sorted(self.users)], request)
        return pb.ListUsersResponse(users=page, next_page_token=following)

    def UpdateUser(self, request: pb.UpdateUserRequest, context: Any) -> pb.UpdateUserResponse:
        self._caller(self._note("UpdateUser", request, context), context, admin=True)
        user = self._user(request.username, context)
        if request.HasField("role"):
            if request.role != user_pb2.ROLE_ADMIN and user.username == "ada":
                abort(context, status(9, "nobody would be left", reason="LAST_ADMINISTRATOR"))
            user.role = request.role
        if request.HasField("disabled"):
            user.disabled = request.disabled
        if request.HasField("password"):
            self.passwords[request.username] = request.password
        return pb.UpdateUserResponse(user=user)

    def DeleteUser(self, request: pb.DeleteUserRequest, context: Any) -> pb.DeleteUserResponse:
        self._caller(self._note("DeleteUser", request, context), context, admin=True)
        self._user(request.username, context)
        del self.users[request.username]
        return pb.DeleteUserResponse()

    def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Any) -> pb.CreateApiKeyResponse:
        call = self._note("CreateApiKey", request, context)
        user = self._caller(call, context)
        key = f"twk_{secrets.token_urlsafe(32)}"
        known = api_key_pb2.ApiKey(
            id=f"key-{len(self.keys) + 1}",
            name=request.name,
            prefix=key[:12],
            scopes=request.scopes,
            username=user.username,
            create_time=_stamp(MADE),
            expire_time=request.expire_time if request.HasField("expire_time") else None,
        )
        self.keys[key] = known
        self.tokens[key] = user.username
        return pb.CreateApiKeyResponse(key=key, api_key=known)

    def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Any) -> pb.ListApiKeysResponse:
        call = self._note("ListApiKeys", request, context)
        name = request.username or self._caller(call, context).username
        keys = [key for key in self.keys.values() if key.username == name]
        page, following = self._page(keys[::-1], request)
        return pb.ListApiKeysResponse(api_keys=page, next_page_token=following)

    def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Any) -> pb.RevokeApiKeyResponse:
        self._caller(self._note("RevokeApiKey", request, context), context)
        for key, known in self.keys.items():
            if known.id == request.id:
                known.revoke_time.CopyFrom(_stamp(MADE + timedelta(days=1)))
                self.tokens.pop(key, None)
                return pb.RevokeApiKeyResponse(api_key=known)
        abort(context, status(5, "no such key", reason="NOT_FOUND"))
        raise AssertionError

    def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Any) -> pb.ListAuditEventsResponse:
        self._caller(self._note("ListAuditEvents", request, context), context, admin=True)
        page, following = self._page(self.events, request)
        return pb.ListAuditEventsResponse(events=page, next_page_token=following)

    def _note(self, name: str, request: Any, context: Any) -> Call:
        with self._lock:
            call = Call(name, request, dict(context.invocation_metadata()))
            attempt = len(self.called(name))
            self.calls.append(call)
        self.behave(call, attempt, context)
        return call

    def _caller(self, call: Call, context: Any, *, admin: bool = False) -> user_pb2.User:
        name = self.tokens.get(call.token)
        if name is None:
            abort(context, status(16, "the token is missing or not valid", reason="TOKEN_INVALID"))
        user = self.users[str(name)]
        if admin and user.role != user_pb2.ROLE_ADMIN:
            abort(context, status(7, "this takes an administrator", reason="SCOPE_MISSING"))
        return user

    def _user(self, name: str, context: Any) -> user_pb2.User:
        if name not in self.users:
            abort(context, status(5, "no such user", reason="NOT_FOUND"))
        return self.users[name]

    def _page(self, everything: list[Any], request: Any) -> tuple[list[Any], str]:
        start = int(request.page_token or 0)
        end = start + (request.page_size or self.page_size)
        return everything[start:end], str(end) if end < len(everything) else ""

    def _add(self, name: str, password: str, role: user_pb2.Role.ValueType) -> user_pb2.User:
        user = user_pb2.User(id=f"id-{name}", username=name, role=role, create_time=_stamp(MADE))
        self.users[name], self.passwords[name] = user, password
        return user


@contextmanager
def serving(
    fake: FakeAuth | None = None,
    *,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
    host: str = "127.0.0.1",
) -> Iterator[FakeAuth]:
    """Serve `fake` while the block runs, with TLS where there are `credentials`; its `url` says where."""
    fake = fake or FakeAuth()
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
    add_AuthServiceServicer_to_server(fake, server)
    add_TaggingServiceServicer_to_server(fake.tagging, server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    scheme = "grpcs" if credentials else "grpc"
    fake.url = address if address.startswith("unix:") else f"{scheme}://{host}:{port}"
    try:
        yield fake
    finally:
        server.stop(grace=0).wait()


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
