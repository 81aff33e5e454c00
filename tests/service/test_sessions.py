"""When a session ends, and that it does not come back; on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from calls import As, login, valid
from clocks import MovedClock
from servers import PASSWORD, Running, failure_of

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1 import user_pb2
from tagwright_server.store.records import Role


@pytest.mark.parametrize("end", ["logout", "password", "reset", "disabled", "deleted"])
def test_what_ends_a_session(stored: Running, end: str) -> None:
    own, other = stored.sign_in("ann"), stored.sign_in("ann")
    if end == "logout":
        As(stored, own).Logout(pb.LogoutRequest())
    elif end == "password":
        request = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="another for tests")
        As(stored, own).ChangePassword(request)
    elif end == "reset":
        stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", password="another for tests"))
    elif end == "disabled":
        stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", disabled=True))
    else:
        stored.auth.DeleteUser(pb.DeleteUserRequest(username="ann"))
    assert valid(stored, own) is (end == "password")  # changing it ends every session but one's own
    assert valid(stored, other) is (end == "logout")
    assert valid(stored, stored.token)


def test_enabling_an_account_brings_no_session_back(stored: Running) -> None:
    token = stored.sign_in("ann")
    for disabled in (True, False):
        stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", disabled=disabled))
    assert not valid(stored, token)
    assert login(stored, "ann", PASSWORD).access_token


def test_a_session_ends_when_it_is_not_used_and_at_its_end_in_any_case(stored: Running, clock: MovedClock) -> None:
    idle, used = stored.sign_in("ann"), stored.sign_in("ann")
    began = clock.by
    for minutes in range(25, 12 * 60, 25):
        clock.by = began + timedelta(minutes=minutes)
        assert valid(stored, used), minutes
    assert not valid(stored, idle)
    clock.by = began + timedelta(hours=12)
    assert not valid(stored, used)


@pytest.mark.parametrize("hours", [2, 24 * 3652])
def test_what_was_seen_expired_does_not_come_back_with_the_clock(
    stored: Running, clock: MovedClock, hours: int
) -> None:
    token = stored.sign_in("ann")
    with clock.moved(timedelta(hours=hours)):
        assert not valid(stored, token)
    assert not valid(stored, token)


def test_a_clock_that_goes_back_ends_nothing_and_lengthens_no_session_by_more_than_that(
    stored: Running, clock: MovedClock
) -> None:
    token = stored.sign_in("ann")
    end = clock.by + timedelta(hours=12)
    clock.by -= timedelta(hours=2)
    assert valid(stored, token)
    clock.by += timedelta(minutes=29)
    assert valid(stored, token)
    with clock.moved(timedelta(minutes=31)):
        assert not valid(stored, token)  # unused for as long as a session may be, by the clock as it is now
    later = stored.sign_in("ann")
    clock.by = end + timedelta(hours=2)
    assert not valid(stored, later)


def test_housekeeping_at_a_later_time_leaves_nothing_that_could_come_back(stored: Running, clock: MovedClock) -> None:
    token = stored.sign_in("ann")
    with clock.moved(timedelta(days=3652)):
        stored.app.housekeeping.sweep()
    assert not valid(stored, token)


def test_a_role_that_changes_changes_the_sessions_there_are(stored: Running) -> None:
    ann = As(stored, stored.sign_in("ann"))
    assert failure_of(ann.ListUsers, pb.ListUsersRequest()).info.reason == "SCOPE_MISSING"
    stored.auth.UpdateUser(pb.UpdateUserRequest(username="ann", role=user_pb2.ROLE_ADMIN))
    assert len(ann.ListUsers(pb.ListUsersRequest()).users) == 2
    assert stored.app.data.store.accounts.find("ann").role is Role.ADMIN  # type: ignore[union-attr]
