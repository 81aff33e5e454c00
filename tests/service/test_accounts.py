"""Accounts, keys, repeated requests and the audit log through a real server, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from calls import called, names, new_key, new_user
from google.protobuf.timestamp_pb2 import Timestamp
from servers import ADMIN, PASSWORD, PATIENCE_S, Running, failure_of

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1 import user_pb2
from tagwright_server.store.records import Role


def test_an_account_is_made_found_listed_changed_and_deleted(stored: Running) -> None:
    made = stored.auth.CreateUser(new_user("Ann")).user
    assert (made.username, made.role, made.disabled) == ("Ann", user_pb2.ROLE_USER, False)
    assert stored.auth.GetUser(pb.GetUserRequest(username="ANN")).user == made
    assert names(stored) == [ADMIN, "Ann"]
    changed = stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", role=user_pb2.ROLE_ADMIN)).user
    assert (changed.id, changed.role) == (made.id, user_pb2.ROLE_ADMIN)
    stored.auth.DeleteUser(pb.DeleteUserRequest(username="ann"))
    assert names(stored) == [ADMIN]
    failure = failure_of(stored.auth.GetUser, pb.GetUserRequest(username="ann"))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert stored.auth.CreateUser(new_user("ann")).user.id != made.id


@pytest.mark.parametrize("name", ["Ann", "ann", "ANN"])
def test_a_name_is_taken_in_every_spelling(stored: Running, name: str) -> None:
    stored.auth.CreateUser(new_user("ann"))
    failure = failure_of(stored.auth.CreateUser, new_user(name))
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "NAME_TAKEN")


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "x" * 65, "a\0b", "a\nb", "../etc", "<script>", "a‮b", "e\u0301", "a;DROP TABLE"]
)
def test_a_name_that_could_mislead_is_refused(stored: Running, name: str) -> None:
    failure = failure_of(stored.auth.CreateUser, new_user(name))
    assert (failure.code, failure.wrong_fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["username"])


@pytest.mark.parametrize("name", ["x", "x" * 64, "ann.b-c_d@example.org+1", "Zoë", "संगीता", "李小龍"])
def test_names_of_every_script_are_taken(stored: Running, name: str) -> None:
    assert stored.auth.CreateUser(new_user(name)).user.username == name
    assert stored.sign_in(name)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "password", "Somebody1"])
def test_a_bad_password_makes_no_account(stored: Running, password: str) -> None:
    request = pb.CreateUserRequest(username="somebody1", password=password)
    assert failure_of(stored.auth.CreateUser, request).wrong_fields == ["password"]
    assert names(stored) == [ADMIN]


def test_an_unknown_role_is_refused(stored: Running) -> None:
    request = new_user("ann")
    request.role = 7  # type: ignore[assignment]  # what a newer client might send
    assert failure_of(stored.auth.CreateUser, request).wrong_fields == ["role"]


def test_accounts_come_in_pages_that_new_ones_do_not_disturb(stored: Running) -> None:
    for number in range(7):
        stored.auth.CreateUser(new_user(f"user{number}"))
    seen, token = [], ""
    while True:
        page = stored.auth.ListUsers(pb.ListUsersRequest(page_size=3, page_token=token))
        seen += [user.username for user in page.users]
        token = page.next_page_token
        if not token:
            break
        if len(seen) == 3:
            stored.auth.CreateUser(new_user("aaa"))
    assert seen == [ADMIN, *(f"user{number}" for number in range(7))]
    other = failure_of(stored.auth.ListAuditEvents, pb.ListAuditEventsRequest(page_token="AAAA"))
    assert other.wrong_fields == ["page_token"]
    assert failure_of(stored.auth.ListUsers, pb.ListUsersRequest(page_size=-1)).wrong_fields == ["page_size"]


@pytest.mark.parametrize("last", ["demoted", "disabled", "deleted"])
def test_the_last_administrator_stays(stored: Running, last: str) -> None:
    stored.auth.CreateUser(new_user("deputy", role=user_pb2.ROLE_ADMIN))
    stored.auth.UpdateUser(pb.UpdateUserRequest(username="deputy", disabled=True))
    request = {
        "demoted": pb.UpdateUserRequest(username=ADMIN, role=user_pb2.ROLE_USER),
        "disabled": pb.UpdateUserRequest(username=ADMIN, disabled=True),
        "deleted": pb.DeleteUserRequest(username=ADMIN),
    }[last]
    call = stored.auth.DeleteUser if last == "deleted" else stored.auth.UpdateUser
    failure = failure_of(call, request)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMINISTRATOR")
    stored.auth.UpdateUser(pb.UpdateUserRequest(username="deputy", disabled=False))
    call(request)


def test_two_administrators_cannot_remove_each_other(stored: Running) -> None:
    for _ in range(5):
        deputy = stored.sign_in("deputy", Role.ADMIN)
        stored.sign_in("third")
        both_ways = (
            (
                called(stored, stored.sign_in(ADMIN), "UpdateUser"),
                pb.UpdateUserRequest(username="deputy", disabled=True),
            ),
            (called(stored, deputy, "UpdateUser"), pb.UpdateUserRequest(username=ADMIN, disabled=True)),
        )
        with ThreadPoolExecutor(2) as both:
            failed = [one.exception(PATIENCE_S) for one in [both.submit(call, request) for call, request in both_ways]]
        left = stored.app.data.store.accounts
        enabled = [one for one in (left.find(ADMIN), left.find("deputy")) if one is not None and not one.disabled]
        assert len(enabled) == 1, failed
        for name in (ADMIN, "deputy"):  # as it was
            found = left.find(name)
            assert found is not None
            left.update(found.id, disabled=False, updated=found.updated)
        token = stored.sign_in(ADMIN)
        called(stored, token, "DeleteUser")(pb.DeleteUserRequest(username="deputy"))


def test_the_audit_log_says_who_did_what_to_whom(stored: Running) -> None:
    stored.auth.CreateUser(new_user("ann", role=user_pb2.ROLE_ADMIN))
    key = called(stored, stored.sign_in("ann"), "CreateApiKey")(new_key(scopes=["admin"])).key
    called(stored, key, "UpdateUser")(pb.UpdateUserRequest(username=ADMIN, password=PASSWORD + "?"))
    (event,) = called(stored, key, "ListAuditEvents")(pb.ListAuditEventsRequest(action="user.update")).events
    assert (event.actor, event.credential, event.peer) == ("ann", f"key {key[:12]}", "127.0.0.1")
    assert (event.target, dict(event.details)) == (ADMIN, {"password": "changed"})
    all_of = called(stored, key, "ListAuditEvents")
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
