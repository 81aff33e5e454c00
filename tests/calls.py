"""AuthService as tests call it: as somebody, with requests of a line."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from servers import PASSWORD, PATIENCE_S, Failure, Running, bearer, failure_of

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub


@dataclass
class As:
    """AuthService as somebody else calls it."""

    server: Running
    token: str | None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(AuthServiceStub(self.server.stranger), name)
        metadata = bearer(self.token) if self.token is not None else ()
        return lambda request, **options: method(request, **{"timeout": PATIENCE_S, "metadata": metadata, **options})


def login(server: Running, username: str, password: str = PASSWORD) -> pb.LoginResponse:
    answer: pb.LoginResponse = As(server, None).Login(pb.LoginRequest(username=username, password=password))
    return answer


def failed_login(server: Running, username: str, password: str = "not the password", **options: Any) -> Failure:
    return failure_of(As(server, None).Login, pb.LoginRequest(username=username, password=password), **options)


def valid(server: Running, token: str) -> bool:
    try:
        As(server, token).WhoAmI(pb.WhoAmIRequest())
    except grpc.RpcError as err:
        if err.code() != grpc.StatusCode.UNAUTHENTICATED:
            raise
        return False
    return True


def called(server: Running, token: str, name: str) -> Callable[..., Any]:
    """A method of AuthService as the owner of a token calls it."""
    method = getattr(AuthServiceStub(server.stranger), name)
    return lambda request, **options: method(request, **{"timeout": PATIENCE_S, "metadata": bearer(token), **options})


def new_user(username: str, **more: Any) -> pb.CreateUserRequest:
    return pb.CreateUserRequest(username=username, password=PASSWORD, **more)


def new_key(**more: Any) -> pb.CreateApiKeyRequest:
    return pb.CreateApiKeyRequest(**{"name": "uploader", "scopes": ["tagging:read"], **more})


def names(server: Running, **page: Any) -> list[str]:
    return [user.username for user in server.auth.ListUsers(pb.ListUsersRequest(**page)).users]


def new_id() -> str:
    return str(uuid.uuid4())
