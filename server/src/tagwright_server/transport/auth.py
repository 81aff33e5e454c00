"""AuthService: each method converts in, calls one function of the domain, converts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1.auth_service_pb2_grpc import AuthServiceServicer
from tagwright_server.domain.access import Caller
from tagwright_server.domain.accounts import Accounts, check_name
from tagwright_server.domain.api_keys import ApiKeys
from tagwright_server.domain.passwords import Passwords, check_new
from tagwright_server.domain.replies import Replies
from tagwright_server.domain.sign_in import NewPassword, SignIn
from tagwright_server.store.audit import Audit
from tagwright_server.store.records import Account, ApiKey, AuditEvent, Role
from tagwright_server.transport import call
from tagwright_server.transport import convert_accounts as convert
from tagwright_server.transport.moments import from_time, moment
from tagwright_server.transport.once import answer_once, nothing
from tagwright_server.transport.paging import page_after, to_moment_and_id, to_number
from tagwright_server.transport.peer import throttle_group


@dataclass(frozen=True, slots=True)
class AuthParts:
    """What the service calls."""

    sign_in: SignIn
    accounts: Accounts
    api_keys: ApiKeys
    passwords: Passwords
    audit: Audit
    replies: Replies


class AuthService(AuthServiceServicer):
    """Accounts, sessions and keys, over gRPC. Who may make which call, the gate has decided."""

    def __init__(self, parts: AuthParts) -> None:
        self._parts = parts

    def Login(self, request: pb.LoginRequest, context: grpc.ServicerContext) -> pb.LoginResponse:
        """Make a session."""
        now = call.current()
        made = self._parts.sign_in.login(
            request.username, request.password, peer=now.peer, group=throttle_group(now.peer), deadline=now.deadline
        )
        response = pb.LoginResponse(
            access_token=made.token,
            expire_time=from_time(made.session.expires),
            user=convert.user(made.account),
        )
        response.idle_timeout.FromTimedelta(self._parts.sign_in.lifetime.idle)
        return response

    def Logout(self, request: pb.LogoutRequest, context: grpc.ServicerContext) -> pb.LogoutResponse:
        """End the session."""
        self._parts.sign_in.logout(call.current().caller)
        return pb.LogoutResponse()

    def WhoAmI(self, request: pb.WhoAmIRequest, context: grpc.ServicerContext) -> pb.WhoAmIResponse:
        """Tell whose token it is."""
        caller = call.current().caller
        token = caller.session or caller.api_key
        return pb.WhoAmIResponse(
            user=convert.user(caller.account),
            role=convert.from_role(caller.account.role),
            scopes=sorted(scope.value for scope in caller.scopes),
            expire_time=from_time(token.expires if token is not None else None),
            api_key=convert.api_key(caller.api_key) if caller.api_key is not None else None,
        )

    def ChangePassword(
        self, request: pb.ChangePasswordRequest, context: grpc.ServicerContext
    ) -> pb.ChangePasswordResponse:
        """Change one's own password."""
        now = call.current()

        def prepare() -> NewPassword:
            return self._parts.sign_in.check_change(
                now.caller,
                current=request.current_password,
                new=request.new_password,
                group=throttle_group(now.peer),
                deadline=now.deadline,
            )

        def work(password: NewPassword, caller: Caller) -> pb.ChangePasswordResponse:
            self._parts.sign_in.change(caller, password)
            return pb.ChangePasswordResponse()

        return answer_once(self._parts.replies, request, pb.ChangePasswordResponse, prepare=prepare, work=work)

    def CreateUser(self, request: pb.CreateUserRequest, context: grpc.ServicerContext) -> pb.CreateUserResponse:
        """Make an account."""
        role = convert.to_role(request.role) if request.role else Role.USER

        def prepare() -> str:
            check_name(request.username)
            return self._hashed(request.password, username=request.username)

        def work(password_hash: str, caller: Caller) -> pb.CreateUserResponse:
            account = self._parts.accounts.create(
                request.username, password_hash=password_hash, role=role, by=caller.actor
            )
            return pb.CreateUserResponse(user=convert.user(account))

        return answer_once(self._parts.replies, request, pb.CreateUserResponse, prepare=prepare, work=work)

    def GetUser(self, request: pb.GetUserRequest, context: grpc.ServicerContext) -> pb.GetUserResponse:
        """Return one account."""
        return pb.GetUserResponse(user=convert.user(self._parts.accounts.get(request.username)))

    def ListUsers(self, request: pb.ListUsersRequest, context: grpc.ServicerContext) -> pb.ListUsersResponse:
        """List the accounts by name."""

        def following(after: str | None, limit: int) -> Sequence[Account]:
            return self._parts.accounts.page(after=after, limit=limit)

        accounts, token = page_after(
            following,
            place=lambda account: account.username,
            page_size=request.page_size,
            page_token=request.page_token,
            bound_to="ListUsers",
        )
        return pb.ListUsersResponse(users=map(convert.user, accounts), next_page_token=token)

    def UpdateUser(self, request: pb.UpdateUserRequest, context: grpc.ServicerContext) -> pb.UpdateUserResponse:
        """Change an account."""
        role = convert.to_role(request.role) if request.HasField("role") else None

        def prepare() -> str | None:
            self._parts.accounts.get(request.username)  # before its new password costs anything
            has_password = request.HasField("password")
            return self._hashed(request.password, username=request.username) if has_password else None

        def work(password_hash: str | None, caller: Caller) -> pb.UpdateUserResponse:
            account = self._parts.accounts.update(
                request.username,
                role=role,
                disabled=request.disabled if request.HasField("disabled") else None,
                password_hash=password_hash,
                by=caller.actor,
                own_session=caller.session_id,
            )
            return pb.UpdateUserResponse(user=convert.user(account))

        return answer_once(self._parts.replies, request, pb.UpdateUserResponse, prepare=prepare, work=work)

    def DeleteUser(self, request: pb.DeleteUserRequest, context: grpc.ServicerContext) -> pb.DeleteUserResponse:
        """Remove an account."""

        def work(_: None, caller: Caller) -> pb.DeleteUserResponse:
            self._parts.accounts.delete(request.username, by=caller.actor)
            return pb.DeleteUserResponse()

        def prepare() -> None:
            self._parts.accounts.make_small(request.username, by=call.current().caller.actor)

        return answer_once(self._parts.replies, request, pb.DeleteUserResponse, prepare=prepare, work=work)

    def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: grpc.ServicerContext) -> pb.CreateApiKeyResponse:
        """Make a key."""
        expires = moment(request, "expire_time")

        def work(_: None, caller: Caller) -> pb.CreateApiKeyResponse:
            made = self._parts.api_keys.create(request.name, request.scopes, expires=expires, by=caller)
            return pb.CreateApiKeyResponse(key=made.token, api_key=convert.api_key(made.api_key))

        return answer_once(self._parts.replies, request, pb.CreateApiKeyResponse, prepare=nothing, work=work)

    def ListApiKeys(self, request: pb.ListApiKeysRequest, context: grpc.ServicerContext) -> pb.ListApiKeysResponse:
        """List keys, the newest first."""
        caller = call.current().caller

        def following(after: str | None, limit: int) -> Sequence[ApiKey]:
            before = to_moment_and_id(after) if after is not None else None
            return self._parts.api_keys.page(request.username, before=before, limit=limit, by=caller)

        keys, token = page_after(
            following,
            place=lambda key: f"{key.created.isoformat()} {key.id}",
            page_size=request.page_size,
            page_token=request.page_token,
            bound_to=f"ListApiKeys {caller.account.id} {request.username}",
        )
        return pb.ListApiKeysResponse(api_keys=map(convert.api_key, keys), next_page_token=token)

    def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: grpc.ServicerContext) -> pb.RevokeApiKeyResponse:
        """Make a key invalid."""

        def work(_: None, caller: Caller) -> pb.RevokeApiKeyResponse:
            return pb.RevokeApiKeyResponse(api_key=convert.api_key(self._parts.api_keys.revoke(request.id, by=caller)))

        return answer_once(self._parts.replies, request, pb.RevokeApiKeyResponse, prepare=nothing, work=work)

    def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: grpc.ServicerContext
    ) -> pb.ListAuditEventsResponse:
        """List the audit log, the latest first."""
        start, end = moment(request, "start_time"), moment(request, "end_time")

        def following(after: str | None, limit: int) -> Sequence[AuditEvent]:
            return self._parts.audit.page(
                before=to_number(after) if after is not None else None,
                limit=limit,
                actor=request.actor,
                action=request.action,
                start=start,
                end=end,
            )

        events, token = page_after(
            following,
            place=lambda event: str(event.id),
            page_size=request.page_size,
            page_token=request.page_token,
            bound_to=f"ListAuditEvents {request.actor}\0{request.action}\0{start}\0{end}",
        )
        return pb.ListAuditEventsResponse(events=map(convert.audit_event, events), next_page_token=token)

    def _hashed(self, password: str, *, username: str) -> str:
        check_new(password, username=username, field="password")
        return self._parts.passwords.in_turn(lambda: self._parts.passwords.hash(password), call.current().deadline)
