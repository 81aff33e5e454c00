"""The client's account calls: what goes out, what comes back, and what is never sent twice or shown."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import fake_auth
import fake_tagging
import grpc
import pytest
from fake_auth import EXPIRES, PASSWORD, Call, FakeAuth
from google.protobuf.timestamp_pb2 import Timestamp

import tagwright_client as tw
from tagwright.v1 import audit_pb2, user_pb2
from tagwright.v1 import auth_service_pb2 as pb
from tagwright_client import ApiKey, AuditEvent, Client, User, _account_convert

CHANGES: dict[str, Callable[..., Any]] = {
    "ChangePassword": lambda client, **id_: client.change_password(PASSWORD, "another password", **id_),
    "CreateUser": lambda client, **id_: client.create_user("eve", PASSWORD, **id_),
    "UpdateUser": lambda client, **id_: client.update_user("bob", disabled=True, **id_),
    "DeleteUser": lambda client, **id_: client.delete_user("bob", **id_),
    "CreateApiKey": lambda client, **id_: client.create_api_key("ci", ["search"], **id_),
    "RevokeApiKey": lambda client, **id_: client.revoke_api_key("key-1", **id_),
}
READS: dict[str, Callable[[Client], Any]] = {
    "WhoAmI": lambda client: client.who_am_i(),
    "GetUser": lambda client: client.get_user("bob"),
    "ListUsers": lambda client: list(client.list_users()),
    "ListApiKeys": lambda client: list(client.list_api_keys()),
    "ListAuditEvents": lambda client: list(client.list_audit_events()),
}


@pytest.fixture
def fake() -> Iterator[FakeAuth]:
    with fake_auth.serving() as fake:
        yield fake


@pytest.fixture
def client(fake: FakeAuth) -> Iterator[Client]:
    """Give a client of an administrator, who has a key."""
    with Client.connect(fake.url, token=fake.session("ada")) as client:
        client.create_api_key("first", ["tagging:read"])
        fake.calls.clear()
        yield client


def fail(count: int, failure: Callable[[grpc.ServicerContext], object], *, name: str) -> Callable[..., None]:
    """Return a behaviour in which the first `count` calls of that name fail."""

    def behave(call: Call, attempt: int, context: grpc.ServicerContext) -> None:
        if call.name == name and attempt < count:
            failure(context)

    return behave


def unavailable(context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")


def test_login_signs_the_later_calls_and_logout_ends_that(fake: FakeAuth) -> None:
    with Client.connect(fake.url) as client:
        with pytest.raises(tw.TokenInvalid):
            client.who_am_i()
        login = client.login("bob", PASSWORD)
        assert (login.expire_time, login.idle_timeout_s) == (EXPIRES, 1800)
        assert (login.user.username, login.user.role) == ("bob", "USER")
        me = client.who_am_i()
        assert (me.user, me.role, me.expire_time, me.api_key) == (login.user, "USER", EXPIRES, None)
        assert me.scopes == ("tagging:read", "tagging:write")
        client.tag(b"dog")
        assert fake.tagging.metadata[0]["authorization"] == f"Bearer {login.access_token}"
        client.logout()
        with pytest.raises(tw.TokenInvalid):
            client.who_am_i()
        assert fake.calls[-1].token == ""


def test_a_new_login_does_not_carry_the_old_token(fake: FakeAuth) -> None:
    with Client.connect(fake.url, token="tws_from_last_week") as client:
        client.login("bob", PASSWORD)
    assert "authorization" not in fake.called("Login")[0].metadata


def test_a_session_that_had_ended_is_forgotten_by_logout_and_one_that_could_not_be_ended_is_kept(
    fake: FakeAuth,
) -> None:
    with Client.connect(fake.url, token="tws_ended") as client:
        with pytest.raises(tw.TokenInvalid):
            client.logout()
        with pytest.raises(tw.TokenInvalid):
            client.logout()
    assert [call.token for call in fake.called("Logout")] == ["tws_ended", ""]
    fake.behave = fail(1, unavailable, name="WhoAmI")
    fake.calls.clear()
    fake.behave = fail(1, unavailable, name="Logout")
    with Client.connect(fake.url, token=fake.session("bob")) as client:
        with pytest.raises(tw.ServerUnreachable):
            client.logout()
        client.logout()
    assert len(fake.called("Logout")) == 2


def test_a_wrong_password_is_a_failed_login_and_is_sent_once(fake: FakeAuth) -> None:
    with Client.connect(fake.url) as client, pytest.raises(tw.LoginFailed) as caught:
        client.login("bob", "not-his-password")
    assert len(fake.calls) == 1
    assert caught.value.reason == "LOGIN_FAILED"
    assert "not-his-password" not in repr(caught.value)


def test_a_login_waits_for_an_overloaded_server_as_it_asks(fake: FakeAuth) -> None:
    later = fake_tagging.status(8, "one at a time", reason="OVERLOADED", retry_after_s=0.05)
    fake.behave = fail(2, lambda context: fake_tagging.abort(context, later), name="Login")
    with Client.connect(fake.url) as client:
        started = time.monotonic()
        client.login("bob", PASSWORD)
        assert time.monotonic() - started >= 0.1
    assert len(fake.calls) == 3


def test_a_login_gives_up_rather_than_wait_beyond_its_time(fake: FakeAuth) -> None:
    later = fake_tagging.status(8, "one at a time", reason="OVERLOADED", retry_after_s=0.9)
    fake.behave = fail(9, lambda context: fake_tagging.abort(context, later), name="Login")
    with Client.connect(fake.url) as client, pytest.raises(tw.Overloaded):
        client.login("bob", PASSWORD, timeout_s=0.5)
    assert len(fake.calls) == 1


def test_too_many_tries_are_told_at_once_with_when_to_come_back(fake: FakeAuth) -> None:
    later = fake_tagging.status(8, "too many failures", reason="RATE_LIMITED", retry_after_s=0.5)
    fake.behave = fail(9, lambda context: fake_tagging.abort(context, later), name="Login")
    with Client.connect(fake.url) as client, pytest.raises(tw.RateLimited) as caught:
        client.login("bob", PASSWORD)
    assert caught.value.retry_after_s == 0.5
    assert len(fake.calls) == 1


def test_closing_ends_a_login_that_waits(fake: FakeAuth) -> None:
    refused = threading.Event()

    def overload(context: grpc.ServicerContext) -> None:
        refused.set()
        fake_tagging.abort(context, fake_tagging.status(8, "later", reason="OVERLOADED", retry_after_s=0.9))

    fake.behave = fail(99, overload, name="Login")
    with ThreadPoolExecutor(1) as pool, Client.connect(fake.url) as client:
        login = pool.submit(client.login, "bob", PASSWORD, timeout_s=600)
        assert refused.wait(10)
        client.close()
        with pytest.raises(tw.ClientClosed):
            login.result(10)


def test_a_login_is_not_sent_twice_by_itself(fake: FakeAuth) -> None:
    fake.behave = fail(1, unavailable, name="Login")
    with Client.connect(fake.url) as client, pytest.raises(tw.ServerUnreachable):
        client.login("bob", PASSWORD)
    assert len(fake.calls) == 1


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_retried_with_the_same_id(client: Client, fake: FakeAuth, name: str) -> None:
    fake.behave = fail(2, unavailable, name=name)
    CHANGES[name](client)
    sent = [call.request.request_id for call in fake.called(name)]
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert uuid.UUID(sent[0]).version == 4


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_has_an_id_of_its_own_or_the_callers(client: Client, fake: FakeAuth, name: str) -> None:
    ours = str(uuid.uuid4())
    for given in ({}, {}, {"request_id": ours}):
        fake.users.setdefault("bob", user_pb2.User(username="bob"))
        fake.users.pop("eve", None)
        fake.passwords["ada"] = PASSWORD
        CHANGES[name](client, **given)
    first, second, third = [call.request.request_id for call in fake.called(name)]
    assert len({first, second, third}) == 3
    assert third == ours


@pytest.mark.parametrize("name", CHANGES)
def test_the_id_of_a_change_that_failed_is_in_its_error(client: Client, fake: FakeAuth, name: str) -> None:
    fake.behave = fail(9, lambda context: context.abort(grpc.StatusCode.INTERNAL, "broken"), name=name)
    with pytest.raises(tw.InternalError) as caught:
        CHANGES[name](client)
    assert caught.value.request_id == fake.called(name)[0].request.request_id
    client.close()
    ours = str(uuid.uuid4())
    with pytest.raises(tw.ClientClosed) as closed:
        CHANGES[name](client, request_id=ours)
    assert closed.value.request_id == ours


@pytest.mark.parametrize("name", CHANGES)
def test_an_id_that_is_none_is_refused_before_anything_is_sent(client: Client, fake: FakeAuth, name: str) -> None:
    for wrong in ("", "7", "not-a-uuid"):
        with pytest.raises(tw.ArgumentInvalid, match="request_id"):
            CHANGES[name](client, request_id=wrong)
    assert fake.calls == []


def test_a_change_whose_answer_was_lost_happens_once(client: Client, fake: FakeAuth) -> None:
    done = threading.Event()
    create = fake.CreateUser

    def lose_the_first_answer(request: pb.CreateUserRequest, context: Any) -> pb.CreateUserResponse:
        answer = create(request, context)
        if not done.is_set():
            done.set()
            unavailable(context)
        return answer

    fake.CreateUser = lose_the_first_answer  # type: ignore[method-assign]
    with fake_auth.serving(fake), Client.connect(fake.url, token=fake.session("ada")) as client:
        assert client.create_user("eve", PASSWORD).username == "eve"
    assert len(fake.called("CreateUser")) == 2


@pytest.mark.parametrize("name", READS)
def test_a_read_is_made_again(client: Client, fake: FakeAuth, name: str) -> None:
    fake.behave = fail(1, unavailable, name=name)
    READS[name](client)
    assert len(fake.called(name)) >= 2


def test_an_account_is_made_changed_and_deleted(client: Client, fake: FakeAuth) -> None:
    made = client.create_user("eve", PASSWORD, role="ADMIN")
    assert made == User("id-eve", "eve", "ADMIN", False, fake_auth.MADE, None, None)
    assert client.get_user("eve") == made
    assert client.update_user("eve", role="USER").role == "USER"
    assert client.update_user("eve", disabled=True).disabled
    client.update_user("eve", password="a new password")
    assert fake.passwords["eve"] == "a new password"
    role, disabled, password = (call.request for call in fake.called("UpdateUser"))
    assert [role.HasField(name) for name in ("role", "disabled", "password")] == [True, False, False]
    assert [disabled.HasField(name) for name in ("role", "disabled", "password")] == [False, True, False]
    assert [password.HasField(name) for name in ("role", "disabled", "password")] == [False, False, True]
    client.delete_user("eve")
    with pytest.raises(tw.NotFound):
        client.get_user("eve")


def test_a_key_is_told_once_and_signs_calls_until_it_is_revoked(client: Client, fake: FakeAuth) -> None:
    expires = datetime(2027, 3, 1, tzinfo=timezone(timedelta(hours=2)))
    made = client.create_api_key("ci", ["tagging:read", "search"], expire_time=expires)
    assert made.api_key.expire_time == expires
    assert (made.api_key.name, made.api_key.scopes) == ("ci", ("tagging:read", "search"))
    with Client.connect(fake.url, token=made.key) as service:
        assert service.who_am_i().api_key == made.api_key
        assert service.who_am_i().expire_time is None
        assert client.revoke_api_key(made.api_key.id).revoke_time is not None
        with pytest.raises(tw.TokenInvalid):
            service.who_am_i()


def test_lists_are_read_page_by_page_as_they_are_gone_through(client: Client, fake: FakeAuth) -> None:
    for name in ("eve", "ivy", "joe"):
        fake.users[name] = user_pb2.User(username=name)
    users = client.list_users()
    assert fake.calls == []
    assert next(users).username == "ada"
    assert len(fake.calls) == 1
    assert [user.username for user in users] == ["bob", "eve", "ivy", "joe"]
    assert [call.request.page_token for call in fake.calls] == ["", "2", "4"]
    for number in range(4):
        client.create_api_key(f"key {number}", ["search"])
    keys = list(client.list_api_keys(username="ada"))
    assert [key.name for key in keys] == ["key 3", "key 2", "key 1", "key 0", "first"]
    assert all(isinstance(key, ApiKey) for key in keys)
    assert {call.request.username for call in fake.called("ListApiKeys")} == {"ada"}


def test_what_was_done_is_told_with_its_filters_on_every_page(client: Client, fake: FakeAuth) -> None:
    fake.events = [
        audit_pb2.AuditEvent(
            id=number,
            actor="ada",
            credential="session",
            peer="192.0.2.7",
            action="user.create",
            target="eve",
            details={"role": "ROLE_USER"},
        )
        for number in (3, 2, 1)
    ]
    start, end = datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2027, 1, 1, tzinfo=timezone.utc)
    events = list(client.list_audit_events(actor="ada", action="user.", start_time=start, end_time=end))
    first = AuditEvent(3, None, "ada", "session", "192.0.2.7", "user.create", "eve", {"role": "ROLE_USER"})
    assert [event.id for event in events] == [3, 2, 1]
    assert events[0] == first
    for call in fake.calls:
        assert (call.request.actor, call.request.action) == ("ada", "user.")
        assert call.request.start_time.ToDatetime(tzinfo=timezone.utc) == start
        assert call.request.end_time.ToDatetime(tzinfo=timezone.utc) == end


@pytest.mark.parametrize(
    ("use", "field"),
    [
        (lambda client: client.create_api_key("ci", ["search"], expire_time=datetime(2027, 1, 1)), "expire_time"),
        (lambda client: client.list_audit_events(start_time=datetime(2027, 1, 1)), "start_time"),
        (lambda client: client.list_audit_events(end_time=datetime(2027, 1, 1)), "end_time"),
        (lambda client: client.create_user("eve", PASSWORD, role="admin"), "role"),
        (lambda client: client.update_user("eve", role=""), "role"),
        (lambda client: client.login("\udcff", "hidden"), "username"),
        (lambda client: client.login("bob", "hidden\udcff"), "password"),
        (lambda client: client.list_api_keys(username="\udcff"), "username"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_at_once_and_not_shown(
    client: Client, fake: FakeAuth, use: Callable[[Client], object], field: str
) -> None:
    with pytest.raises(tw.ArgumentInvalid) as caught:
        use(client)
    assert [wrong.field for wrong in caught.value.field_violations] == [field]
    assert "hidden" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert fake.calls == []


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.login("bob", b"bytes"),
        lambda client: client.create_api_key("ci", "search"),
        lambda client: client.create_api_key("ci", ["search"], expire_time="2027-01-01"),
        lambda client: client.get_user(7),
    ],
)
def test_an_argument_of_a_wrong_type_is_a_type_error(client: Client, use: Callable[[Client], object]) -> None:
    with pytest.raises(TypeError):
        use(client)


def test_a_message_over_grpcs_limit_is_a_wrong_argument_and_no_photo(client: Client) -> None:
    with pytest.raises(tw.ArgumentInvalid):
        client.get_user("x" * (8 << 20))


def test_an_answer_that_makes_no_sense_is_a_fault_of_the_server(client: Client, fake: FakeAuth) -> None:
    fake.users["bob"].last_login_time.CopyFrom(Timestamp(seconds=2**60))
    with pytest.raises(tw.InternalError, match="last_login_time"):
        client.get_user("bob")


def test_a_role_of_a_newer_server_comes_through() -> None:
    assert _account_convert.user(user_pb2.User(role=99)).role == "99"  # type: ignore[arg-type]


def test_values_are_frozen_and_show_no_secret(client: Client) -> None:
    made, login = client.create_api_key("ci", ["search"]), client.login("bob", PASSWORD)
    assert made.key not in repr(made)
    assert login.access_token not in repr(login)
    with pytest.raises(dataclasses.FrozenInstanceError):
        login.access_token = ""  # type: ignore[misc]
