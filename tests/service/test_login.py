"""Signing in and out through a real server, on both databases: what is told, what is slowed down, what ends when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from calls import As, failed_login, login, valid
from clocks import MovedClock
from servers import (
    ADMIN,
    PASSWORD,
    PATIENCE_S,
    Running,
    failure_of,
    running,
    sign_in,
)

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright_server.clock import SystemClock
from tagwright_server.domain import passwords
from tagwright_server.domain.deadline import Deadline


def test_a_login_makes_a_session_that_knows_its_user(stored: Running, clock: MovedClock) -> None:
    stored.sign_in("Änn")
    for name in ("Änn", "ÄNN", "änn"):
        made = login(stored, name, PASSWORD)
        assert made.user.username == "Änn"
        assert made.idle_timeout.seconds == 1800
        left = made.expire_time.ToDatetime() - clock.now().replace(tzinfo=None)
        assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)
        said = As(stored, made.access_token).WhoAmI(pb.WhoAmIRequest())
        assert (said.user.username, said.role, said.expire_time) == ("Änn", 1, made.expire_time)
        assert list(said.scopes) == ["search", "tagging:read", "tagging:write"]
        assert said.user.last_login_time.seconds > 0


def test_every_login_makes_a_token_of_its_own(stored: Running) -> None:
    made = [login(stored, ADMIN, PASSWORD).access_token for _ in range(3)]
    assert len(set(made)) == 3
    assert all(valid(stored, token) for token in made)


def test_unknown_wrong_and_disabled_are_told_alike(stored: Running) -> None:
    stored.sign_in("ann")
    stored.sign_in("dan")
    stored.auth.UpdateUser(pb.UpdateUserRequest(username="dan", disabled=True))
    failures = [
        failed_login(stored, "ann"),
        failed_login(stored, "nobody", PASSWORD),
        failed_login(stored, "dan", PASSWORD),
        failed_login(stored, "dan"),
        failed_login(stored, "", ""),
        failed_login(stored, "ann", ""),
        failed_login(stored, "n\0body", PASSWORD),
        failed_login(stored, "x" * 10_000, "y" * 10_000),
    ]
    assert {failure.code for failure in failures} == {grpc.StatusCode.UNAUTHENTICATED}
    assert {failure.info.reason for failure in failures} == {"LOGIN_FAILED"}
    assert len({failure.status.SerializeToString() for failure in failures}) == 1


def test_unknown_wrong_and_disabled_cost_the_same_work(stored: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.sign_in("ann")
    stored.sign_in("dan")
    stored.auth.UpdateUser(pb.UpdateUserRequest(username="dan", disabled=True))
    work: list[str] = []
    check = passwords.bcrypt.checkpw

    def counted(password: bytes, kept: bytes) -> bool:
        work.append(kept.decode()[:7])
        return bool(check(password, kept))

    monkeypatch.setattr(passwords.bcrypt, "checkpw", counted)
    for name in ("ann", "nobody", "dan"):
        failed_login(stored, name)
    assert work == ["$2b$04$"] * 3


def test_failures_slow_an_account_down_twice_as_long_each_time(stored: Running, clock: MovedClock) -> None:
    stored.sign_in("ann", peer="elsewhere")
    for name in ("ann", "nobody"):
        waits = []
        for _ in range(14):
            failure = failed_login(stored, name)
            if failure.info.reason == "RATE_LIMITED":
                assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
                waits.append(failure.retry.retry_delay.seconds)
                clock.by += failure.retry.retry_delay.ToTimedelta()
        assert waits == [1, 2, 4, 8, 16], name
    assert login(stored, "ann").access_token


def test_being_slowed_down_is_told_alike_for_every_name(stored: Running) -> None:
    stored.sign_in("ann", peer="elsewhere")
    told = []
    for name in ("ann", "nobody"):
        for _ in range(5):
            assert failed_login(stored, name).info.reason == "LOGIN_FAILED"
        told.append(failed_login(stored, name))
    assert told[0].status.SerializeToString() == told[1].status.SerializeToString()


def test_the_right_password_has_to_wait_too(stored: Running, clock: MovedClock) -> None:
    stored.sign_in("ann", peer="elsewhere")
    for _ in range(5):
        failed_login(stored, "ann")
    assert failed_login(stored, "ann", PASSWORD).info.reason == "RATE_LIMITED"
    clock.by += timedelta(seconds=1)
    assert login(stored, "ann", PASSWORD).access_token


def test_strangers_who_guess_do_not_lock_out_who_signed_in_from_here_before(stored: Running) -> None:
    stored.sign_in("ann", peer="127.0.0.1")  # the peer of these tests' calls
    for guess in range(5):
        with pytest.raises(Exception, match="wrong"):
            sign_in(stored.app, "ann", password=f"guess number {guess}", peer="192.0.2.66")
    with pytest.raises(Exception, match="Too many"):
        sign_in(stored.app, "ann", peer="192.0.2.66")
    assert login(stored, "ann", PASSWORD).access_token


def test_a_peer_is_slowed_down_whatever_names_it_tries(stored: Running) -> None:
    stored.sign_in("ann", peer="elsewhere")
    reasons = [failed_login(stored, f"name{number}").info.reason for number in range(21)]
    assert reasons == ["LOGIN_FAILED"] * 20 + ["RATE_LIMITED"]
    assert failed_login(stored, "ann", PASSWORD).info.reason == "RATE_LIMITED"
    assert sign_in(stored.app, "ann", peer="elsewhere")


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


def test_a_changed_password_replaces_the_old_one(stored: Running) -> None:
    ann = As(stored, stored.sign_in("ann"))
    change = pb.ChangePasswordRequest(current_password="not this one", new_password="another for tests")
    failure = failure_of(ann.ChangePassword, change)
    assert (failure.code, failure.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "LOGIN_FAILED")
    change.current_password, change.new_password = PASSWORD, "12345678"
    assert failure_of(ann.ChangePassword, change).wrong_fields == ["new_password"]
    change.new_password = "another for tests"
    ann.ChangePassword(change)
    assert failed_login(stored, "ann", PASSWORD).info.reason == "LOGIN_FAILED"
    assert login(stored, "ann", "another for tests").access_token


def test_guessing_the_current_password_is_slowed_down_like_logging_in(stored: Running) -> None:
    ann = As(stored, stored.sign_in("ann", peer="elsewhere"))
    change = pb.ChangePasswordRequest(current_password="not this one", new_password="another for tests")
    reasons = [failure_of(ann.ChangePassword, change).info.reason for _ in range(6)]
    assert reasons == ["LOGIN_FAILED"] * 5 + ["RATE_LIMITED"]


def test_a_login_waits_for_its_turn_no_longer_than_its_deadline(stored: Running) -> None:
    stored.sign_in("ann")
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    with ThreadPoolExecutor(1) as other:
        first = other.submit(stored.app.auth.passwords.in_turn, slow, Deadline(PATIENCE_S, SystemClock()))
        assert begun.wait(PATIENCE_S)
        failure = failed_login(stored, "ann", PASSWORD, timeout=0.3)
        go_on.set()
        first.result(PATIENCE_S)
    assert failure.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert login(stored, "ann", PASSWORD).access_token


def test_the_password_may_change_while_it_is_checked_and_then_there_is_no_session(
    stored: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.sign_in("ann")
    outdated = stored.app.auth.passwords.outdated

    def meanwhile(kept: str) -> bool:
        account = stored.app.data.store.accounts.find("ann")
        assert account is not None
        store = stored.app.data.store
        store.accounts.replace_hash(account.id, password_hash=kept[:-1] + "x", was=kept)
        return outdated(kept)

    monkeypatch.setattr(stored.app.auth.passwords, "outdated", meanwhile)
    assert failed_login(stored, "ann", PASSWORD).info.reason == "LOGIN_FAILED"


def test_the_audit_log_tells_of_logins_and_failures_but_not_what_was_typed(stored: Running) -> None:
    stored.sign_in("ann", peer="elsewhere")
    failed_login(stored, "ann", "typed in vain")
    failed_login(stored, "a password typed as a name")
    events = stored.auth.ListAuditEvents(pb.ListAuditEventsRequest(action="login.failed")).events
    assert [(event.actor, event.target, event.peer) for event in events] == [
        ("", "", "127.0.0.1"),
        ("", "ann", "127.0.0.1"),
    ]
    everything = stored.auth.ListAuditEvents(pb.ListAuditEventsRequest(page_size=500))
    assert "typed" not in str(everything)
    (event,) = stored.auth.ListAuditEvents(pb.ListAuditEventsRequest(action="login", actor="ann")).events
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
        held_back = server.app.auth.sign_in._held_back
        refused = AuthServiceStub(server.stranger).Login.future(
            pb.LoginRequest(username="ann", password=PASSWORD), timeout=PATIENCE_S
        )
        while not held_back.held:
            assert not refused.done()
        assert login(server, ADMIN).access_token
        refused.cancel()
        while held_back.held:
            pass


def test_a_forwarded_address_counts_only_from_a_trusted_proxy(repository: Path) -> None:
    for trusted, peers in (((), {"127.0.0.1"}), (("127.0.0.0/8",), {"203.0.113.9", "127.0.0.1"})):
        with running(repository, trusted_proxies=trusted) as server:
            for metadata in ((), (("x-forwarded-for", "198.51.100.1, 203.0.113.9"),)):
                failed_login(server, "nobody", metadata=metadata)
            events = server.auth.ListAuditEvents(pb.ListAuditEventsRequest(action="login.failed")).events
            assert {event.peer for event in events} == peers
