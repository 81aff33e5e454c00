"""The same request, sent again, gets its first answer again and is done once; on both databases."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest
from calls import called, names, new_id, new_key, new_user
from clocks import MovedClock
from servers import ADMIN, PASSWORD, PATIENCE_S, Running, bearer, failure_of

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1 import user_pb2
from tagwright_server.errors import TagwrightError
from tagwright_server.store.records import Role
from tagwright_server.transport.gate import Gate


def test_the_same_request_gets_its_first_answer_again_and_is_done_once(stored: Running) -> None:
    stored.auth.CreateUser(new_user("ann"))
    key = stored.auth.CreateApiKey(new_key())
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
        answers = [getattr(stored.auth, name)(request) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2], name
    events = stored.auth.ListAuditEvents(pb.ListAuditEventsRequest()).events
    done = [event.action for event in events if event.action != "login"]
    assert Counter(done) == {
        "user.create": 3,
        "user.update": 1,
        "user.delete": 1,
        "key.create": 2,
        "key.revoke": 1,
        "password.change": 1,
    }


def test_an_id_used_again_with_other_content_is_refused_and_does_nothing(stored: Running) -> None:
    request = new_user("ann", request_id=new_id())
    stored.auth.CreateUser(request)
    for other in (new_user("bob", request_id=request.request_id), pb.DeleteUserRequest(username="ann")):
        other.request_id = request.request_id
        call = stored.auth.CreateUser if isinstance(other, pb.CreateUserRequest) else stored.auth.DeleteUser
        failure = failure_of(call, other)
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert names(stored) == [ADMIN, "ann"]


def test_an_id_belongs_to_its_account(stored: Running) -> None:
    request = new_key(request_id=new_id())
    ann, bob = stored.sign_in("ann"), stored.sign_in("bob")
    keys = {called(stored, token, "CreateApiKey")(request).key for token in (ann, bob, ann, bob)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    "request_id", ["1", "x" * 36, "00000000-0000-0000-0000-000000000000", "c232ab00-9414-11ec-b3c8-9f6bdeced846", "\0"]
)
def test_an_id_that_is_no_uuid4_is_refused(stored: Running, request_id: str) -> None:
    assert failure_of(stored.auth.CreateApiKey, new_key(request_id=request_id)).wrong_fields == ["request_id"]


def test_a_request_that_failed_may_be_sent_again_with_its_id(stored: Running) -> None:
    stored.auth.CreateUser(new_user("ann"))
    request = new_user("ann", request_id=new_id())
    assert failure_of(stored.auth.CreateUser, request).info.reason == "NAME_TAKEN"
    stored.auth.DeleteUser(pb.DeleteUserRequest(username="ann"))
    assert stored.auth.CreateUser(request).user.username == "ann"


def test_twins_at_the_same_moment_are_done_once(stored: Running) -> None:
    requests = [new_key(name=f"key {number}", request_id=new_id()) for number in range(6)]
    users = [new_user(f"user{number}", request_id=new_id()) for number in range(6)]
    with ThreadPoolExecutor(8) as many:
        keys = list(many.map(stored.auth.CreateApiKey, requests * 4))
        made = list(many.map(stored.auth.CreateUser, users * 2))
    assert len({one.key for one in keys}) == 6
    assert len({one.user.id for one in made}) == 6


def test_a_twin_that_waited_for_its_turn_gets_the_first_answer(stored: Running) -> None:
    token = stored.sign_in("ann")
    change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password=PASSWORD + "!", request_id=new_id())
    with ThreadPoolExecutor(4) as many:
        answers = list(many.map(called(stored, token, "ChangePassword"), [change] * 4))
    assert answers == [pb.ChangePasswordResponse()] * 4
    events = stored.auth.ListAuditEvents(pb.ListAuditEventsRequest(action="password.change")).events
    assert len(events) == 1


@pytest.mark.parametrize("lost", ["session", "role"])
def test_who_lost_the_right_while_the_message_came_changes_nothing(
    stored: Running, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = stored.sign_in("ann", Role.ADMIN)
    admitted, go_on = threading.Event(), threading.Event()
    admit = Gate.admit

    def watched(*arguments: Any) -> Any:
        found = admit(*arguments)
        admitted.set()
        return found

    monkeypatch.setattr(Gate, "admit", watched)

    def late() -> Iterator[bytes]:
        assert go_on.wait(PATIENCE_S)
        yield new_user("mallory", role=user_pb2.ROLE_ADMIN).SerializeToString()

    streams: Any = stored.stranger.stream_unary("/tagwright.v1.AuthService/CreateUser")
    call = streams.future(late(), timeout=PATIENCE_S, metadata=bearer(token))
    assert admitted.wait(PATIENCE_S)
    if lost == "session":
        stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", password=PASSWORD + "!"))
    else:
        stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", role=user_pb2.ROLE_USER))
    go_on.set()
    code = grpc.StatusCode.UNAUTHENTICATED if lost == "session" else grpc.StatusCode.PERMISSION_DENIED
    assert call.exception(PATIENCE_S).code() == code
    assert "mallory" not in names(stored)


def test_an_answer_is_forgotten_after_a_day_and_not_before(stored: Running, clock: MovedClock) -> None:
    request = new_key(request_id=new_id())
    first = stored.auth.CreateApiKey(request).key
    for hours, same in ((23, True), (25, False)):
        with clock.moved(timedelta(hours=hours)):
            stored.app.housekeeping.sweep()
        stored.token = stored.sign_in(ADMIN)
        assert (called(stored, stored.token, "CreateApiKey")(request).key == first) is same


def test_what_fails_on_the_way_leaves_nothing_behind(stored: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise TagwrightError("no audit, no change")

    with monkeypatch.context() as broken:
        broken.setattr(stored.app.data.store.audit, "add", fail)
        for name, request in (("CreateUser", new_user("ann")), ("CreateApiKey", new_key())):
            failure_of(getattr(stored.auth, name), request)
    assert names(stored) == [ADMIN]
    assert not stored.auth.ListApiKeys(pb.ListApiKeysRequest()).api_keys
