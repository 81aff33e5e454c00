"""The account calls of a client: signing in and out, accounts, keys, and the record of who changed what."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tagwright.v1 import auth_service_pb2 as pb

from . import _account_convert as convert
from ._account_values import ApiKey, AuditEvent, Login, NewApiKey, User, WhoAmI
from ._errors import ArgumentInvalid, InternalError, TokenInvalid
from ._part import CALL_TIMEOUT_S, Part
from ._results import Results
from ._token import checked

PASSWORD_TIMEOUT_S = 30.0  # the server hashes one password at a time, and each takes it a good part of a second


class Accounts(Part):
    """What every client can do about accounts.

    Calls that change something take a `request_id`, a UUID4: with the same id the server does the same thing at most
    once, so a call that failed without an answer can be made again. Without one each call makes up its own, found in
    `error.request_id`. Calls in which the server hashes a password wait while it is overloaded, as it asks, within
    `timeout_s`. Lists are read page by page, of `page_size` each, as they are gone through, `timeout_s` for each page;
    `page_token` says where to go on, from `next_page_token` of earlier results of the same arguments.
    """

    def login(self, username: str, password: str, *, timeout_s: float = PASSWORD_TIMEOUT_S) -> Login:
        """Sign in; later calls of this client carry the new session's token.

        Raises LoginFailed alike for an unknown name, a disabled account and a wrong password, and RateLimited after
        too many failures.
        """
        self._connection.keep_secret("password")
        request = pb.LoginRequest(
            username=convert.text("username", username), password=convert.text("password", password)
        )

        def attempt(left_s: float) -> pb.LoginResponse:
            return self._connection.call(self._auth.Login, request, timeout_s=left_s)

        login = convert.login(self._connection.patiently(attempt, timeout_s=timeout_s))
        try:
            self._connection.token.replace(checked(login.access_token))
        except ArgumentInvalid:
            raise InternalError("the server's answer makes no sense: its token is malformed") from None
        return login

    def logout(self, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """End the session and forget its token; also where it turns out to be invalid already (TokenInvalid)."""
        try:
            self._connection.call(self._auth.Logout, pb.LogoutRequest(), timeout_s=timeout_s)
        except TokenInvalid:
            self._connection.token.replace(None)
            raise
        self._connection.token.replace(None)

    def who_am_i(self, *, timeout_s: float = CALL_TIMEOUT_S) -> WhoAmI:
        """Return whose token this client has and what it may do."""
        return convert.who_am_i(self._connection.call(self._auth.WhoAmI, pb.WhoAmIRequest(), timeout_s=timeout_s))

    def change_password(
        self,
        current_password: str,
        new_password: str,
        *,
        request_id: str | None = None,
        timeout_s: float = PASSWORD_TIMEOUT_S,
    ) -> None:
        """Give one's own account a new password, 8 to 128 characters; all its other sessions end, keys stay valid."""
        self._connection.keep_secret("new_password")
        request = pb.ChangePasswordRequest(
            current_password=convert.text("current_password", current_password),
            new_password=convert.text("new_password", new_password),
            request_id=convert.request_id(request_id),
        )

        def attempt(left_s: float) -> pb.ChangePasswordResponse:
            return self._connection.call(
                self._auth.ChangePassword, request, timeout_s=left_s, request_id=request.request_id
            )

        self._connection.patiently(attempt, timeout_s=timeout_s)

    def create_user(
        self,
        username: str,
        password: str,
        *,
        role: str = "USER",
        request_id: str | None = None,
        timeout_s: float = PASSWORD_TIMEOUT_S,
    ) -> User:
        """Make an account; `role` is "USER" or "ADMIN". Administrators only, as all calls about other accounts."""
        self._connection.keep_secret("password")
        request = pb.CreateUserRequest(
            username=convert.text("username", username),
            password=convert.text("password", password),
            role=convert.role(role),
            request_id=convert.request_id(request_id),
        )

        def attempt(left_s: float) -> pb.CreateUserResponse:
            return self._connection.call(
                self._auth.CreateUser, request, timeout_s=left_s, request_id=request.request_id
            )

        return convert.user(self._connection.patiently(attempt, timeout_s=timeout_s).user)

    def get_user(self, username: str, *, timeout_s: float = CALL_TIMEOUT_S) -> User:
        """Return one account."""
        request = pb.GetUserRequest(username=convert.text("username", username))
        return convert.user(self._connection.call(self._auth.GetUser, request, timeout_s=timeout_s).user)

    def list_users(
        self, *, page_size: int | None = None, page_token: str = "", timeout_s: float = CALL_TIMEOUT_S
    ) -> Results[User]:
        """Go through the accounts in the order of their names."""

        def page(page_token: str) -> pb.ListUsersResponse:
            request = pb.ListUsersRequest(page_size=page_size or 0, page_token=page_token)
            return self._connection.call(self._auth.ListUsers, request, timeout_s=timeout_s)

        return Results(page, lambda response: map(convert.user, response.users), page_token=page_token)

    def update_user(
        self,
        username: str,
        *,
        role: str | None = None,
        disabled: bool | None = None,
        password: str | None = None,
        request_id: str | None = None,
        timeout_s: float = PASSWORD_TIMEOUT_S,
    ) -> User:
        """Change what is not None. A new password and `disabled=True` end the account's sessions."""
        if password is not None:
            self._connection.keep_secret("password")
        request = pb.UpdateUserRequest(
            username=convert.text("username", username),
            role=convert.role(role) if role is not None else None,
            disabled=disabled,
            password=convert.text("password", password) if password is not None else None,
            request_id=convert.request_id(request_id),
        )

        def attempt(left_s: float) -> pb.UpdateUserResponse:
            return self._connection.call(
                self._auth.UpdateUser, request, timeout_s=left_s, request_id=request.request_id
            )

        return convert.user(self._connection.patiently(attempt, timeout_s=timeout_s).user)

    def delete_user(self, username: str, *, request_id: str | None = None, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Remove an account with its sessions and keys."""
        request = pb.DeleteUserRequest(
            username=convert.text("username", username), request_id=convert.request_id(request_id)
        )
        self._connection.call(self._auth.DeleteUser, request, timeout_s=timeout_s, request_id=request.request_id)

    def create_api_key(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        expire_time: datetime | None = None,
        request_id: str | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> NewApiKey:
        """Make a key for one's own account; its text is in the answer and nowhere else.

        `scopes`, at least one: "tagging:read", "tagging:write", "search", "admin". Without `expire_time`, a datetime
        with a time zone, it does not expire.
        """
        request = pb.CreateApiKeyRequest(
            name=convert.text("name", name),
            scopes=convert.texts("scopes", scopes),
            expire_time=convert.timestamp("expire_time", expire_time),
            request_id=convert.request_id(request_id),
        )
        response = self._connection.call(
            self._auth.CreateApiKey, request, timeout_s=timeout_s, request_id=request.request_id
        )
        return NewApiKey(key=response.key, api_key=convert.api_key(response.api_key))

    def list_api_keys(
        self,
        *,
        username: str | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Results[ApiKey]:
        """Go through one's own keys, the newest first, revoked and expired ones included.

        `username`: another account's keys, for administrators.
        """
        username = convert.text("username", username)

        def page(page_token: str) -> pb.ListApiKeysResponse:
            request = pb.ListApiKeysRequest(username=username, page_size=page_size or 0, page_token=page_token)
            return self._connection.call(self._auth.ListApiKeys, request, timeout_s=timeout_s)

        return Results(page, lambda response: map(convert.api_key, response.api_keys), page_token=page_token)

    def revoke_api_key(self, id: str, *, request_id: str | None = None, timeout_s: float = CALL_TIMEOUT_S) -> ApiKey:
        """Make a key invalid from the next call on, for ever, and return it as it is now."""
        request = pb.RevokeApiKeyRequest(id=convert.text("id", id), request_id=convert.request_id(request_id))
        response = self._connection.call(
            self._auth.RevokeApiKey, request, timeout_s=timeout_s, request_id=request.request_id
        )
        return convert.api_key(response.api_key)

    def list_audit_events(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        page_size: int | None = None,
        page_token: str = "",
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Results[AuditEvent]:
        """Go through what was done, the latest first. Administrators only.

        Only by `actor`; only this `action`, such as "user.create", or all that begin with one such as "user."; only
        from `start_time` on and before `end_time`, datetimes with a time zone.
        """
        asked = pb.ListAuditEventsRequest(
            actor=convert.text("actor", actor),
            action=convert.text("action", action),
            start_time=convert.timestamp("start_time", start_time),
            end_time=convert.timestamp("end_time", end_time),
            page_size=page_size or 0,
        )

        def page(page_token: str) -> pb.ListAuditEventsResponse:
            request = pb.ListAuditEventsRequest()
            request.CopyFrom(asked)
            request.page_token = page_token
            return self._connection.call(self._auth.ListAuditEvents, request, timeout_s=timeout_s)

        return Results(page, lambda response: map(convert.audit_event, response.events), page_token=page_token)
