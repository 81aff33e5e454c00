"""Signing in and out through a real server, on both databases: what is told, what is slowed down, what ends when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from clocks import MovedClock
from servers import (
    ADMIN,
    PASSWORD,
    PATIENCE_S,
    Failure,
    FakeBackend,
    FakeDecoder,
    Running,
    bearer,
    failure_of,
    running,
    sign_in,
)

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1 import user_pb2
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright_server.clock import SystemClock
from tagwright_server.domain import passwords
from tagwright_server.domain.deadline import Deadline
from tagwright_server.store.records import Role


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def server(repository: Path, database: dict[str, Any], clock: MovedClock) -> Iterator[Running]:
    with running(repository, backend=FakeBackend(), decoder=FakeDecoder(), clock=clock, **database) as serving:
        yield serving


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


def test_a_login_makes_a_session_that_knows_its_user(server: Running, clock: MovedClock) -> None:
    server.sign_in("Änn")
    for name in ("Änn", "ÄNN", "änn"):
        made = login(server, name, PASSWORD)
        assert made.user.username == "Änn"
        assert made.idle_timeout.seconds == 1800
        left = made.expire_time.ToDatetime() - clock.now().replace(tzinfo=None)
        assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
        said = As(server, made.access_token).WhoAmI(pb.WhoAmIRequest())
        assert (said.user.username, said.role, said.expire_time) == ("Änn", 1, made.expire_time)
        assert list(said.scopes) == ["search", "tagging:read", "tagging:write"]
        assert said.user.last_login_time.seconds > 0


def test_every_login_makes_a_token_of_its_own(server: Running) -> None:
    made = [login(server, ADMIN, PASSWORD).access_token for _ in range(3)]
    assert len(set(made)) == 3
    assert all(valid(server, token) for token in made)


def test_unknown_wrong_and_disabled_are_told_alike(server: Running) -> None:
    server.sign_in("ann")
    server.sign_in("dan")
    server.auth.UpdateUser(pb.UpdateUserRequest(username="dan", disabled=True))
    failures = [
        failed_login(server, "ann"),
        failed_login(server, "nobody", PASSWORD),
        failed_login(server, "dan", PASSWORD),
        failed_login(server, "dan"),
        failed_login(server, "", ""),
        failed_login(server, "ann", ""),
        failed_login(server, "n\0body", PASSWORD),
        failed_login(server, "x" * 10_000, "y" * 10_000),
    ]
    assert {failure.code for failure in failures} == {grpc.StatusCode.UNAUTHENTICATED}
    assert {failure.info.reason for failure in failures} == {"LOGIN_FAILED"}
    assert len({failure.status.SerializeToString() for failure in failures}) == 1


def test_unknown_wrong_and_disabled_cost_the_same_work(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    server.sign_in("ann")
    server.sign_in("dan")
    server.auth.UpdateUser(pb.UpdateUserRequest(username="dan", disabled=True))
    work: list[str] = []
    check = passwords.bcrypt.checkpw

    def counted(password: bytes, kept: bytes) -> bool:
        work.append(kept.decode()[:7])
        return bool(check(password, kept))

    monkeypatch.setattr(passwords.bcrypt, "checkpw", counted)
    for name in ("ann", "nobody", "dan"):
        failed_login(server, name)
    assert work == ["$2b$04$"] * 3


def test_failures_slow_an_account_down_twice_as_long_each_time(server: Running, clock: MovedClock) -> None:
    server.sign_in("ann", peer="elsewhere")
    for name in ("ann", "nobody"):
        waits = []
        for _ in range(14):
            failure = failed_login(server, name)
            if failure.info.reason == "RATE_LIMITED":
                assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
                waits.append(failure.retry.retry_delay.seconds)
                clock.by += failure.retry.retry_delay.ToTimedelta()
        assert waits == [1, 2, 4, 8, 16], name
    assert login(server, "ann").access_token


def test_being_slowed_down_is_told_alike_for_every_name(server: Running) -> None:
    server.sign_in("ann", peer="elsewhere")
    told = []
    for name in ("ann", "nobody"):
        for _ in range(5):
            assert failed_login(server, name).info.reason == "LOGIN_FAILED"
        told.append(failed_login(server, name))
    assert told[0].status.SerializeToString() == told[1].status.SerializeToString()


def test_the_right_password_has_to_wait_too(server: Running, clock: MovedClock) -> None:
    server.sign_in("ann", peer="elsewhere")
    for _ in range(5):
        failed_login(server, "ann")
    assert failed_login(server, "ann", PASSWORD).info.reason == "RATE_LIMITED"
    clock.by += timedelta(seconds=1)
    assert login(server, "ann", PASSWORD).access_token


def test_strangers_who_guess_do_not_lock_out_who_signed_in_from_here_before(server: Running) -> None:
    server.sign_in("ann", peer="127.0.0.1")  # the peer of these tests' calls
    for guess in range(5):
        with pytest.raises(Exception, match="wrong"):
            sign_in(server.app, "ann", password=f"guess number {guess}", peer="192.0.2.66")
    with pytest.raises(Exception, match="Too many"):
        sign_in(server.app, "ann", peer="192.0.2.66")
    assert login(server, "ann", PASSWORD).access_token


def test_a_peer_is_slowed_down_whatever_names_it_tries(server: Running) -> None:
    server.sign_in("ann", peer="elsewhere")
    reasons = [failed_login(server, f"name{number}").info.reason for number in range(21)]
    assert reasons == ["LOGIN_FAILED"] * 20 + ["RATE_LIMITED"]
    assert failed_login(server, "ann", PASSWORD).info.reason == "RATE_LIMITED"
    assert sign_in(server.app, "ann", peer="elsewhere")


def test_a_higher_cost_is_applied_at_the_next_login(repository: Path, tmp_path: Path) -> None:
    def kept(server: Running) -> str:
        accounts = server.app.data.store.accounts
        account = accounts.find("ann")
        assert account is not None
        return accounts.password_hash(account.id) or ""

    with running(repository, data_folder=tmp_path, bcrypt_cost=4) as server:
        server.sign_in("ann")
        assert kept(server).startswith("$2b$04$")
    with running(repository, data_folder=tmp_path, bcrypt_cost=5) as server:
        failed_login(server, "ann")
        assert kept(server).startswith("$2b$04$")
        login(server, "ann", PASSWORD)
        assert kept(server).startswith("$2b$05$")
        login(server, "ann", PASSWORD)


@pytest.mark.parametrize("end", ["logout", "password", "reset", "disabled", "deleted"])
def test_what_ends_a_session(server: Running, end: str) -> None:
    own, other = server.sign_in("ann"), server.sign_in("ann")
    if end == "logout":
        As(server, own).Logout(pb.LogoutRequest())
    elif end == "password":
        request = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="another for tests")
        As(server, own).ChangePassword(request)
    elif end == "reset":
        server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", password="another for tests"))
    elif end == "disabled":
        server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", disabled=True))
    else:
        server.auth.DeleteUser(pb.DeleteUserRequest(username="ann"))
    assert valid(server, own) is (end == "password")  # changing it ends every session but one's own
    assert valid(server, other) is (end == "logout")
    assert valid(server, server.token)


def test_enabling_an_account_brings_no_session_back(server: Running) -> None:
    token = server.sign_in("ann")
    for disabled in (True, False):
        server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", disabled=disabled))
    assert not valid(server, token)
    assert login(server, "ann", PASSWORD).access_token


def test_a_changed_password_replaces_the_old_one(server: Running) -> None:
    ann = As(server, server.sign_in("ann"))
    change = pb.ChangePasswordRequest(current_password="not this one", new_password="another for tests")
    failure = failure_of(ann.ChangePassword, change)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "LOGIN_FAILED")
    change.current_password, change.new_password = PASSWORD, "12345678"
    assert failure_of(ann.ChangePassword, change).wrong_fields == ["new_password"]
    change.new_password = "another for tests"
    ann.ChangePassword(change)
    assert failed_login(server, "ann", PASSWORD).info.reason == "LOGIN_FAILED"
    assert login(server, "ann", "another for tests").access_token


def test_guessing_the_current_password_is_slowed_down_like_logging_in(server: Running) -> None:
    ann = As(server, server.sign_in("ann", peer="elsewhere"))
    change = pb.ChangePasswordRequest(current_password="not this one", new_password="another for tests")
    reasons = [failure_of(ann.ChangePassword, change).info.reason for _ in range(6)]
    assert reasons == ["LOGIN_FAILED"] * 5 + ["RATE_LIMITED"]


def test_a_session_ends_when_it_is_not_used_and_at_its_end_in_any_case(server: Running, clock: MovedClock) -> None:
    idle, used = server.sign_in("ann"), server.sign_in("ann")
    began = clock.by
    for minutes in range(25, 12 * 60, 25):
        clock.by = began + timedelta(minutes=minutes)
        assert valid(server, used), minutes
    assert not valid(server, idle)
    clock.by = began + timedelta(hours=12)
    assert not valid(server, used)


@pytest.mark.parametrize("hours", [2, 24 * 3652])
def test_what_was_seen_expired_does_not_come_back_with_the_clock(
    server: Running, clock: MovedClock, hours: int
) -> None:
    token = server.sign_in("ann")
    with clock.moved(timedelta(hours=hours)):
        assert not valid(server, token)
    assert not valid(server, token)


def test_a_clock_that_goes_back_ends_nothing_and_lengthens_no_session_by_more_than_that(
    server: Running, clock: MovedClock
) -> None:
    token = server.sign_in("ann")
    end = clock.by + timedelta(hours=12)
    clock.by -= timedelta(hours=2)
    assert valid(server, token)
    clock.by += timedelta(minutes=29)
    assert valid(server, token)
    with clock.moved(timedelta(minutes=31)):
        assert not valid(server, token)  # unused for as long as a session may be, by the clock as it is now
    later = server.sign_in("ann")
    clock.by = end + timedelta(hours=2)
    assert not valid(server, later)


def test_housekeeping_at_a_later_time_leaves_nothing_that_could_come_back(server: Running, clock: MovedClock) -> None:
    token = server.sign_in("ann")
    with clock.moved(timedelta(days=3652)):
        server.app._housekeeping.sweep()
    assert not valid(server, token)


def test_a_login_waits_for_its_turn_no_longer_than_its_deadline(server: Running) -> None:
    server.sign_in("ann")
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    with ThreadPoolExecutor(1) as other:
        first = other.submit(server.app.auth.passwords.in_turn, slow, Deadline(PATIENCE_S, SystemClock()))
        assert begun.wait(PATIENCE_S)
        failure = failed_login(server, "ann", PASSWORD, timeout=0.3)
        go_on.set()
        first.result(PATIENCE_S)
    assert failure.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert login(server, "ann", PASSWORD).access_token


def test_the_password_may_change_while_it_is_checked_and_then_there_is_no_session(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.sign_in("ann")
    outdated = server.app.auth.passwords.outdated

    def meanwhile(kept: str) -> bool:
        account = server.app.data.store.accounts.find("ann")
        assert account is not None
        store = server.app.data.store
        store.accounts.replace_hash(account.id, password_hash=kept[:-1] + "x", was=kept)
        return outdated(kept)

    monkeypatch.setattr(server.app.auth.passwords, "outdated", meanwhile)
    assert failed_login(server, "ann", PASSWORD).info.reason == "LOGIN_FAILED"


def test_the_audit_log_tells_of_logins_and_failures_but_not_what_was_typed(server: Running) -> None:
    server.sign_in("ann", peer="elsewhere")
    failed_login(server, "ann", "typed in vain")
    failed_login(server, "a password typed as a name")
    events = server.auth.ListAuditEvents(pb.ListAuditEventsRequest(action="login.failed")).events
    assert [(event.actor, event.target, event.peer) for event in events] == [
        ("", "", "127.0.0.1"),
        ("", "ann", "127.0.0.1"),
    ]
    everything = server.auth.ListAuditEvents(pb.ListAuditEventsRequest(page_size=500))
    assert "typed" not in str(everything)
    (event,) = server.auth.ListAuditEvents(pb.ListAuditEventsRequest(action="login", actor="ann")).events
    assert (event.actor, event.credential, event.peer) == ("ann", "session", "elsewhere")


def test_logins_from_everywhere_hold_only_some_of_the_places(repository: Path) -> None:
    with running(repository, logins_max=1) as server, ThreadPoolExecutor(1) as other:
        begun, go_on = threading.Event(), threading.Event()
        monkey = server.app.auth.sign_in
        original: Callable[..., Any] = monkey.login

        def slow(*arguments: Any, **options: Any) -> Any:
            begun.set()
            assert go_on.wait(PATIENCE_S)
            return original(*arguments, **options)

        monkey.login = slow  # type: ignore[method-assign]
        first = other.submit(login, server, ADMIN, PASSWORD)
        assert begun.wait(PATIENCE_S)
        refused = failed_login(server, ADMIN, PASSWORD)
        assert (refused.info.reason, refused.retry.retry_delay.seconds) == ("OVERLOADED", 1)
        assert server.auth.WhoAmI(pb.WhoAmIRequest()).user.username == ADMIN
        go_on.set()
        assert first.result(PATIENCE_S).access_token


def test_who_says_nothing_takes_a_share_of_the_places_for_a_moment(repository: Path) -> None:
    said_nothing, end = threading.Semaphore(0), threading.Event()

    def silent() -> Iterator[bytes]:
        said_nothing.release()
        end.wait(PATIENCE_S)
        yield from ()

    with running(repository, logins_max=8, login_message_s=0.5) as server:
        streams: Any = server.stranger.stream_unary("/tagwright.v1.AuthService/Login")
        silent_ones = [streams.future(silent(), timeout=PATIENCE_S) for _ in range(8)]
        reasons = [one.exception(PATIENCE_S).code() for one in silent_ones]
        end.set()
        assert set(reasons) == {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}
        assert reasons.count(grpc.StatusCode.CANCELLED) == 2  # a quarter; the others were refused at once
        assert login(server, ADMIN).access_token


def test_a_refusal_is_held_back_and_the_caller_may_go(repository: Path, clock: MovedClock) -> None:
    with running(repository, clock=clock, login_refusal_delay_s=PATIENCE_S) as server:
        for _ in range(5):
            assert failed_login(server, "ann").info.reason == "LOGIN_FAILED"
        assert failed_login(server, "ann", timeout=0.2).code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert login(server, ADMIN).access_token


def test_a_forwarded_address_counts_only_from_a_trusted_proxy(repository: Path) -> None:
    for trusted, peers in (((), {"127.0.0.1"}), (("127.0.0.0/8",), {"203.0.113.9", "127.0.0.1"})):
        with running(repository, trusted_proxies=trusted) as server:
            for metadata in ((), (("x-forwarded-for", "198.51.100.1, 203.0.113.9"),)):
                failed_login(server, "nobody", metadata=metadata)
            events = server.auth.ListAuditEvents(pb.ListAuditEventsRequest(action="login.failed")).events
            assert {event.peer for event in events} == peers


def test_a_role_that_changes_changes_the_sessions_there_are(server: Running) -> None:
    ann = As(server, server.sign_in("ann"))
    assert failure_of(ann.ListUsers, pb.ListUsersRequest()).info.reason == "SCOPE_MISSING"
    server.auth.UpdateUser(pb.UpdateUserRequest(username="ann", role=user_pb2.ROLE_ADMIN))
    assert len(ann.ListUsers(pb.ListUsersRequest()).users) == 2
    assert server.app.data.store.accounts.find("ann").role is Role.ADMIN  # type: ignore[union-attr]
