"""Accounts, keys, repeated requests and the audit log through a real server, on both databases."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from clocks import MovedClock
from google.protobuf.timestamp_pb2 import Timestamp
from servers import ADMIN, PASSWORD, PATIENCE_S, FakeBackend, FakeDecoder, Running, bearer, failure_of, running

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1 import user_pb2
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright_server.domain.api_keys import MOST_VALID
from tagwright_server.errors import TagwrightError
from tagwright_server.store.records import Role


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def server(repository: Path, database: dict[str, Any], clock: MovedClock) -> Iterator[Running]:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), clock=clock, **database) as serving:
        yield serving


def called(server: Running, token: str, name: str) -> Callable[..., Any]:
    """A method of AuthService as the owner of a token calls it."""
    method = getattr(AuthServiceStub(server.stranger), name)
    return lambda request, **options: method(request, **{"timeout": PATIENCE_S, "metadata": bearer(token), **options})


def new_user(username: str, **more: Any) -> pb.CreateUserRequest:
    return pb.CreateUserRequest(username=username, password=PASSWORD, **more)


def names(server: Running, **page: Any) -> list[str]:
    return [user.username for user in server.auth.ListUsers(pb.ListUsersRequest(**page)).users]


def new_id() -> str:
    return str(uuid.uuid4())


def test_an_account_is_made_found_listed_changed_and_deleted(server: Running) -> None:
    made = server.auth.CreateUser(new_user("Ann")).user
    assert (made.username, made.role, made.disabled) == ("Ann", user_pb2.ROLE_USER, False)
    assert server.auth.GetUser(pb.GetUserRequest(username="ANN")).user == made
    assert names(server) == [ADMIN, "Ann"]
    changed = server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", role=user_pb2.ROLE_ADMIN)).user
    assert (changed.id, changed.role) == (made.id, user_pb2.ROLE_ADMIN)
    server.auth.DeleteUser(pb.DeleteUserRequest(username="ann"))
    assert names(server) == [ADMIN]
    failure = failure_of(server.auth.GetUser, pb.GetUserRequest(username="ann"))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert server.auth.CreateUser(new_user("ann")).user.id != made.id


@pytest.mark.parametrize("name", ["Ann", "ann", "ANN"])
def test_a_name_is_taken_in_every_spelling(server: Running, name: str) -> None:
    server.auth.CreateUser(new_user("ann"))
    failure = failure_of(server.auth.CreateUser, new_user(name))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "NAME_TAKEN")


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "x" * 65, "a\0b", "a\nb", "../etc", "<script>", "a‮b", "e\u0301", "a;DROP TABLE"]
)
def test_a_name_that_could_mislead_is_refused(server: Running, name: str) -> None:
    failure = failure_of(server.auth.CreateUser, new_user(name))
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["username"])


@pytest.mark.parametrize("name", ["x", "x" * 64, "ann.b-c_d@example.org+1", "Zoë", "संगीता", "李小龍"])
def test_names_of_every_script_are_taken(server: Running, name: str) -> None:
    assert server.auth.CreateUser(new_user(name)).user.username == name
    assert server.sign_in(name)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "password", "Somebody1"])
def test_a_bad_password_makes_no_account(server: Running, password: str) -> None:
    request = pb.CreateUserRequest(username="somebody1", password=password)
    assert failure_of(server.auth.CreateUser, request).wrong_fields == ["password"]
    assert names(server) == [ADMIN]


def test_an_unknown_role_is_refused(server: Running) -> None:
    request = new_user("ann")
    request.role = 7  # type: ignore[assignment]  # what a newer client might send
    assert failure_of(server.auth.CreateUser, request).wrong_fields == ["role"]


def test_accounts_come_in_pages_that_new_ones_do_not_disturb(server: Running) -> None:
    for number in range(7):
        server.auth.CreateUser(new_user(f"user{number}"))
    seen, token = [], ""
    while True:
        page = server.auth.ListUsers(pb.ListUsersRequest(page_size=3, page_token=token))
        seen += [user.username for user in page.users]
        token = page.next_page_token
        if not token:
            break
        if len(seen) == 3:
            server.auth.CreateUser(new_user("aaa"))
    assert seen == [ADMIN, *(f"user{number}" for number in range(7))]
    other = failure_of(server.auth.ListAuditEvents, pb.ListAuditEventsRequest(page_token="AAAA"))
    assert other.wrong_fields == ["page_token"]
    assert failure_of(server.auth.ListUsers, pb.ListUsersRequest(page_size=-1)).wrong_fields == ["page_size"]


@pytest.mark.parametrize("last", ["demoted", "disabled", "deleted"])
def test_the_last_administrator_stays(server: Running, last: str) -> None:
    server.auth.CreateUser(new_user("deputy", role=user_pb2.ROLE_ADMIN))
    server.auth.UpdateUser(pb.UpdateUserRequest(username="deputy", disabled=True))
    request = {
        "demoted": pb.UpdateUserRequest(username=ADMIN, role=user_pb2.ROLE_USER),
        "disabled": pb.UpdateUserRequest(username=ADMIN, disabled=True),
        "deleted": pb.DeleteUserRequest(username=ADMIN),
    }[last]
    call = server.auth.DeleteUser if last == "deleted" else server.auth.UpdateUser
    failure = failure_of(call, request)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMINISTRATOR")
    server.auth.UpdateUser(pb.UpdateUserRequest(username="deputy", disabled=False))
    call(request)


def test_two_administrators_cannot_remove_each_other(server: Running) -> None:
    for _ in range(5):
        deputy = server.sign_in("deputy", Role.ADMIN)
        server.sign_in("third")
        both_ways = (
            (
                called(server, server.sign_in(ADMIN), "UpdateUser"),
                pb.UpdateUserRequest(username="deputy", disabled=True),
            ),
            (called(server, deputy, "UpdateUser"), pb.UpdateUserRequest(username=ADMIN, disabled=True)),
        )
        with ThreadPoolExecutor(2) as both:
            failed = [one.exception(PATIENCE_S) for one in [both.submit(call, request) for call, request in both_ways]]
        left = server.app.data.store.accounts
        enabled = [one for one in (left.find(ADMIN), left.find("deputy")) if one is not None and not one.disabled]
        assert len(enabled) == 1, failed
        for name in (ADMIN, "deputy"):  # as it was
            found = left.find(name)
            assert found is not None
            left.update(found.id, disabled=False, updated=found.updated)
        token = server.sign_in(ADMIN)
        called(server, token, "DeleteUser")(pb.DeleteUserRequest(username="deputy"))


def new_key(**more: Any) -> pb.CreateApiKeyRequest:
    return pb.CreateApiKeyRequest(**{"name": "uploader", "scopes": ["tagging:read"], **more})


def test_a_key_is_shown_once_works_and_is_revoked_at_once(server: Running, clock: MovedClock) -> None:
    token = server.sign_in("ann")
    made = called(server, token, "CreateApiKey")(new_key())
    who = called(server, made.key, "WhoAmI")(pb.WhoAmIRequest())
    assert (who.user.username, list(who.scopes), who.api_key.id) == ("ann", ["tagging:read"], made.api_key.id)
    assert not who.HasField("expire_time")
    clock.by += timedelta(minutes=2)
    called(server, made.key, "WhoAmI")(pb.WhoAmIRequest())
    (listed,) = called(server, token, "ListApiKeys")(pb.ListApiKeysRequest()).api_keys
    assert (listed.prefix, listed.name, listed.username) == (made.key[:12], "uploader", "ann")
    assert made.key not in str(listed)
    assert listed.last_use_time.ToDatetime() == clock.now().replace(tzinfo=None)
    revoked = called(server, token, "RevokeApiKey")(pb.RevokeApiKeyRequest(id=listed.id)).api_key
    assert revoked.HasField("revoke_time")
    failure = failure_of(called(server, made.key, "WhoAmI"), pb.WhoAmIRequest())
    assert failure.info.reason == "TOKEN_INVALID"
    again = called(server, token, "RevokeApiKey")(pb.RevokeApiKeyRequest(id=listed.id)).api_key
    assert again.revoke_time == revoked.revoke_time


def test_a_key_expires_and_stays_so(server: Running, clock: MovedClock) -> None:
    request = new_key()
    request.expire_time.FromDatetime(clock.now() + timedelta(hours=1))
    made = server.auth.CreateApiKey(request)
    who = called(server, made.key, "WhoAmI")
    with clock.moved(timedelta(minutes=59)):
        assert who(pb.WhoAmIRequest()).expire_time == request.expire_time
    for hours, there in ((-2, True), (0, True), (1, False), (87_600, False), (0, False), (-2, False)):
        with clock.moved(timedelta(hours=hours)):
            if there:
                who(pb.WhoAmIRequest())
            else:
                assert failure_of(who, pb.WhoAmIRequest()).info.reason == "TOKEN_INVALID"
    kept = server.app.data.store.api_keys.get(made.api_key.id)
    assert kept is not None
    assert kept.revoked == clock.now() + timedelta(hours=1)  # when it was first seen expired


@pytest.mark.parametrize(
    ("request_of", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"expire_time": Timestamp(seconds=1)}, "expire_time"),
        ({"expire_time": Timestamp(seconds=1 << 60)}, "expire_time"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(server: Running, request_of: dict[str, Any], field: str) -> None:
    assert failure_of(server.auth.CreateApiKey, new_key(**request_of)).wrong_fields == [field]


def test_nobody_gives_a_key_more_than_they_have(server: Running) -> None:
    token = server.sign_in("ann")
    failure = failure_of(called(server, token, "CreateApiKey"), new_key(scopes=["search", "admin"]))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


def test_keys_are_their_owners_and_administrators_to_see_and_to_revoke(server: Running) -> None:
    ann, bob = server.sign_in("ann"), server.sign_in("bob")
    key = called(server, ann, "CreateApiKey")(new_key())
    assert not called(server, bob, "ListApiKeys")(pb.ListApiKeysRequest()).api_keys
    for name in ("ann", "nobody"):
        failure = failure_of(called(server, bob, "ListApiKeys"), pb.ListApiKeysRequest(username=name))
        assert failure.info.reason == "SCOPE_MISSING"
    for key_id in (key.api_key.id, "no such key", "'; --", "\0"):
        failure = failure_of(called(server, bob, "RevokeApiKey"), pb.RevokeApiKeyRequest(id=key_id))
        assert (failure.info.reason, failure.text) == ("NOT_FOUND", "there is no such key")
    assert [one.id for one in server.auth.ListApiKeys(pb.ListApiKeysRequest(username="ANN")).api_keys] == [
        key.api_key.id
    ]
    assert server.auth.RevokeApiKey(pb.RevokeApiKeyRequest(id=key.api_key.id)).api_key.username == "ann"


def test_an_account_has_a_limit_of_valid_keys(server: Running) -> None:
    for number in range(MOST_VALID):
        made = server.auth.CreateApiKey(new_key(name=f"key {number}"))
    failure = failure_of(server.auth.CreateApiKey, new_key())
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    server.auth.RevokeApiKey(pb.RevokeApiKeyRequest(id=made.api_key.id))
    server.auth.CreateApiKey(new_key(name="the last one"))
    seen, token = [], ""
    while True:
        page = server.auth.ListApiKeys(pb.ListApiKeysRequest(page_size=40, page_token=token))
        seen += [one.name for one in page.api_keys]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted([*(f"key {number}" for number in range(MOST_VALID)), "the last one"])


def test_disabling_an_account_stops_its_keys_for_as_long_as_it_lasts(server: Running) -> None:
    key = called(server, server.sign_in("ann"), "CreateApiKey")(new_key()).key
    server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", disabled=True))
    assert failure_of(called(server, key, "WhoAmI"), pb.WhoAmIRequest()).info.reason == "TOKEN_INVALID"
    server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", disabled=False))
    called(server, key, "WhoAmI")(pb.WhoAmIRequest())


def test_the_same_request_gets_its_first_answer_again_and_is_done_once(server: Running) -> None:
    server.auth.CreateUser(new_user("ann"))
    key = server.auth.CreateApiKey(new_key())
    requests: dict[str, Any] = {
        "CreateUser": new_user("bob"),
        "UpdateUser": pb.UpdateUserRequest(username="ann", disabled=True),
        "CreateApiKey": new_key(name="again"),
        "RevokeApiKey": pb.RevokeApiKeyRequest(id=key.api_key.id),
        "ChangePassword": pb.ChangePasswordRequest(current_password=PASSWORD, new_password=PASSWORD + "!"),
        "DeleteUser": pb.DeleteUserRequest(username="ann"),
    }
    for name, request in requests.items():
        request.request_id = new_id()
        answers = [getattr(server.auth, name)(request) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2], name
    events = server.auth.ListAuditEvents(pb.ListAuditEventsRequest()).events
    done = [event.action for event in events if event.action != "login"]
    assert Counter(done) == {
        "user.create": 3,
        "user.update": 1,
        "user.delete": 1,
        "key.create": 2,
        "key.revoke": 1,
        "password.change": 1,
    }


def test_an_id_used_again_with_other_content_is_refused_and_does_nothing(server: Running) -> None:
    request = new_user("ann", request_id=new_id())
    server.auth.CreateUser(request)
    for other in (new_user("bob", request_id=request.request_id), pb.DeleteUserRequest(username="ann")):
        other.request_id = request.request_id
        call = server.auth.CreateUser if isinstance(other, pb.CreateUserRequest) else server.auth.DeleteUser
        failure = failure_of(call, other)
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert names(server) == [ADMIN, "ann"]


def test_an_id_belongs_to_its_account(server: Running) -> None:
    request = new_key(request_id=new_id())
    ann, bob = server.sign_in("ann"), server.sign_in("bob")
    keys = {called(server, token, "CreateApiKey")(request).key for token in (ann, bob, ann, bob)}
    assert len(keys) == 2


@pytest.mark.parametrize("request_id", ["1", "x" * 36, "00000000-0000-0000-0000-000000000000", str(uuid.uuid1()), "\0"])
def test_an_id_that_is_no_uuid4_is_refused(server: Running, request_id: str) -> None:
    assert failure_of(server.auth.CreateApiKey, new_key(request_id=request_id)).wrong_fields == ["request_id"]


def test_a_request_that_failed_may_be_sent_again_with_its_id(server: Running) -> None:
    server.auth.CreateUser(new_user("ann"))
    request = new_user("ann", request_id=new_id())
    assert failure_of(server.auth.CreateUser, request).info.reason == "NAME_TAKEN"
    server.auth.DeleteUser(pb.DeleteUserRequest(username="ann"))
    assert server.auth.CreateUser(request).user.username == "ann"


def test_twins_at_the_same_moment_are_done_once(server: Running) -> None:
    requests = [new_key(name=f"key {number}", request_id=new_id()) for number in range(6)]
    users = [new_user(f"user{number}", request_id=new_id()) for number in range(6)]
    with ThreadPoolExecutor(8) as many:
        keys = list(many.map(server.auth.CreateApiKey, requests * 4))
        made = list(many.map(server.auth.CreateUser, users * 2))
    assert len({one.key for one in keys}) == 6
    assert len({one.user.id for one in made}) == 6


def test_a_twin_that_waited_for_its_turn_gets_the_first_answer(server: Running) -> None:
    token = server.sign_in("ann")
    change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=PASSWORD + "!", request_id=new_id())
    with ThreadPoolExecutor(4) as many:
        answers = list(many.map(called(server, token, "ChangePassword"), [change] * 4))
    assert answers == [pb.ChangePasswordResponse()] * 4
    events = server.auth.ListAuditEvents(pb.ListAuditEventsRequest(action="password.change")).events
    assert len(events) == 1


@pytest.mark.parametrize("lost", ["session", "role"])
def test_who_lost_the_right_while_the_message_came_changes_nothing(server: Running, lost: str) -> None:
    token = server.sign_in("ann", Role.ADMIN)
    waiting, go_on = threading.Event(), threading.Event()

    def late() -> Iterator[bytes]:
        waiting.set()
        assert go_on.wait(PATIENCE_S)
        yield new_user("mallory", role=user_pb2.ROLE_ADMIN).SerializeToString()

    streams: Any = server.stranger.stream_unary("/tagwright.v1.AuthService/CreateUser")
    call = streams.future(late(), timeout=PATIENCE_S, metadata=bearer(token))
    assert waiting.wait(PATIENCE_S)
    while not server.app._server._guard.receiving:
        pass  # admitted, and its message awaited
    if lost == "session":
        server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", password=PASSWORD + "!"))
    else:
        server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", role=user_pb2.ROLE_USER))
    go_on.set()
    code = grpc.StatusCode.UNAUTHENTICATED if lost == "session" else grpc.StatusCode.PERMISSION_DENIED
    assert call.exception(PATIENCE_S).code() == code
    assert "mallory" not in names(server)


def test_a_key_sees_and_revokes_only_itself(server: Running) -> None:
    ann = server.sign_in("ann")
    first, other = (called(server, ann, "CreateApiKey")(new_key(name=name)) for name in ("first", "other"))
    (seen,) = called(server, first.key, "ListApiKeys")(pb.ListApiKeysRequest()).api_keys
    assert seen.id == first.api_key.id
    failure = failure_of(called(server, first.key, "ListApiKeys"), pb.ListApiKeysRequest(username="ann"))
    assert failure.info.reason == "SCOPE_MISSING"
    revoke = called(server, first.key, "RevokeApiKey")
    assert failure_of(revoke, pb.RevokeApiKeyRequest(id=other.api_key.id)).info.reason == "NOT_FOUND"
    revoke(pb.RevokeApiKeyRequest(id=first.api_key.id))


def test_an_answer_is_forgotten_after_a_day_and_not_before(server: Running, clock: MovedClock) -> None:
    request = new_key(request_id=new_id())
    first = server.auth.CreateApiKey(request).key
    for hours, same in ((23, True), (25, False)):
        with clock.moved(timedelta(hours=hours)):
            server.app._housekeeping.sweep()
        server.token = server.sign_in(ADMIN)
        assert (called(server, server.token, "CreateApiKey")(request).key == first) is same


def test_what_fails_on_the_way_leaves_nothing_behind(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise TagwrightError("no audit, no change")

    with monkeypatch.context() as broken:
        broken.setattr(server.app.data.store.audit, "add", fail)
        for name, request in (("CreateUser", new_user("ann")), ("CreateApiKey", new_key())):
            failure_of(getattr(server.auth, name), request)
    assert names(server) == [ADMIN]
    assert not server.auth.ListApiKeys(pb.ListApiKeysRequest()).api_keys


def test_the_audit_log_says_who_did_what_to_whom(server: Running) -> None:
    server.auth.CreateUser(new_user("ann", role=user_pb2.ROLE_ADMIN))
    key = called(server, server.sign_in("ann"), "CreateApiKey")(new_key(scopes=["admin"])).key
    called(server, key, "UpdateUser")(pb.UpdateUserRequest(username=ADMIN, password=PASSWORD + "?"))
    (event,) = called(server, key, "ListAuditEvents")(pb.ListAuditEventsRequest(action="user.update")).events
    assert (event.actor, event.credential, event.peer) == ("ann", f"key {key[:12]}", "127.0.0.1")
    assert (event.target, dict(event.details)) == (ADMIN, {"password": "changed"})
    all_of = called(server, key, "ListAuditEvents")
    assert {event.action for event in all_of(pb.ListAuditEventsRequest(action="user.")).events} == {
        "user.create",
        "user.update",
    }
    assert {event.actor for event in all_of(pb.ListAuditEventsRequest(actor="ANN")).events} == {"ann"}
    assert not all_of(pb.ListAuditEventsRequest(start_time=Timestamp(seconds=1 << 33))).events
    assert not all_of(pb.ListAuditEventsRequest(end_time=Timestamp(seconds=1))).events
    seen = [event.id for event in pages(all_of, page_size=2)]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 6  # the administrator made and signed in, ann as well, a key, a password


def pages(call: Callable[..., Any], page_size: int) -> Iterator[Any]:
    token = ""
    while True:
        page = call(pb.ListAuditEventsRequest(page_size=page_size, page_token=token))
        yield from page.events
        token = page.next_page_token
        if not token:
            return
