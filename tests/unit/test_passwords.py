"""Which passwords are taken, that all of a password counts, and that hashing goes one at a time."""

from __future__ import annotations

import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import bcrypt
import pytest

from tagwright_server.clock import SystemClock
from tagwright_server.domain.deadline import CallerGone, Deadline
from tagwright_server.domain.passwords import Passwords, check_new
from tagwright_server.errors import ArgumentInvalid, DeadlineExceeded, Overloaded
from tagwright_server.store.accounts import fold

PATIENCE_S = 30.0


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(b"pepper", cost=4)


def soon() -> Deadline:
    return Deadline(PATIENCE_S, SystemClock())


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("correct horse battery staple", id="a sentence"),
        pytest.param("x" * 72 + "y", id="73 bytes"),
        pytest.param("\U0001f600" * 128, id="128 characters of four bytes"),
        pytest.param("before\0after", id="a NUL inside"),
        pytest.param("        ", id="blanks"),
        pytest.param("pässwörd naïve", id="accents"),
    ],
)
def test_a_password_matches_itself_and_nothing_close_to_it(passwords: Passwords, password: str) -> None:
    kept = passwords.hash(password)
    assert passwords.matches(password, kept)
    for other in (password[:-1], password + "x", password[:-1] + "\0", password.upper() + "x", password + "\0"):
        assert not passwords.matches(other, kept)


def test_two_passwords_that_share_72_bytes_differ(passwords: Passwords) -> None:
    assert not passwords.matches("x" * 72 + "2", passwords.hash("x" * 72 + "1"))


def test_what_comes_after_a_nul_counts(passwords: Passwords) -> None:
    assert not passwords.matches("before\0other", passwords.hash("before\0after"))


def test_unicode_forms_of_one_password_are_one_password(passwords: Passwords) -> None:
    kept = passwords.hash(unicodedata.normalize("NFD", "Überraschung é"))
    assert passwords.matches(unicodedata.normalize("NFC", "Überraschung é"), kept)


def test_without_the_pepper_the_right_password_does_not_match(passwords: Passwords) -> None:
    kept = passwords.hash("correct horse")
    other = Passwords(b"another", cost=4)
    assert not other.matches("correct horse", kept)
    assert not bcrypt.checkpw(b"correct horse", kept.encode())


def test_nobody_has_no_password(passwords: Passwords) -> None:
    assert not passwords.matches("", None)
    assert not passwords.matches("." * 31, None)


def test_a_hash_of_a_lower_cost_is_outdated(passwords: Passwords) -> None:
    dearer = Passwords(b"pepper", cost=5)
    kept = passwords.hash("correct horse")
    assert kept.startswith("$2b$04$")
    assert dearer.outdated(kept)
    assert dearer.matches("correct horse", kept)
    assert not passwords.outdated(kept)
    assert not passwords.outdated(dearer.hash("correct horse"))


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, unicodedata.normalize("NFD", "é" * 7)])
def test_a_password_of_the_wrong_length_is_refused(password: str) -> None:
    with pytest.raises(ArgumentInvalid, match="must have 8 to 128 characters") as failed:
        check_new(password, username="ann", field="new_password")
    assert failed.value.field == "new_password"
    assert not password or password not in str(failed.value)


@pytest.mark.parametrize("password", ["password", "12345678", "QWERTYUIOP", "Trustno1", "baseball", "annabella.x"])
def test_what_anybody_would_try_first_is_refused(password: str) -> None:
    with pytest.raises(ArgumentInvalid, match="anybody would try"):
        check_new(password, username="Annabella.X", field="password")


@pytest.mark.parametrize("password", ["x" * 8, "\U0001f600" * 128, "zq8-Krfx", "only lower case and long"])
def test_no_rules_of_composition(password: str) -> None:
    check_new(password, username="ann", field="password")


def test_only_one_works_at_a_time_and_too_many_are_refused(passwords: Passwords) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    at_once = [0, 0]

    def work() -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        begun.release()
        assert go_on.wait(PATIENCE_S)
        at_once[0] -= 1

    with ThreadPoolExecutor(40) as callers:
        first = callers.submit(passwords.in_turn, work, soon())
        assert begun.acquire(timeout=PATIENCE_S)
        others = [callers.submit(passwords.in_turn, work, soon()) for _ in range(39)]
        refused = 0
        while refused < 40 - 16:
            refused = sum(isinstance(one.exception(0), Overloaded) for one in others if one.done())
        go_on.set()
        first.result(PATIENCE_S)
        outcomes = [one.exception(PATIENCE_S) for one in others]
    assert outcomes.count(None) == 15
    assert at_once[1] == 1


def test_who_is_known_goes_before_all_who_wait(passwords: Passwords) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    with ThreadPoolExecutor(4) as callers:
        running = [callers.submit(passwords.in_turn, slow, soon())]
        assert begun.wait(PATIENCE_S)
        for number, name in enumerate(("stranger", "another", "known"), start=1):
            work = partial(done.append, name)
            running.append(callers.submit(passwords.in_turn, work, soon(), first=name == "known"))
            while len(passwords._line) < number:
                pass
        go_on.set()
        for one in running:
            one.result(PATIENCE_S)
    assert done == ["known", "stranger", "another"]


def test_work_that_fails_lets_the_next_one_through(passwords: Passwords) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            passwords.in_turn(lambda: 1 // 0, soon())


def test_a_password_of_a_megabyte_that_is_slow_to_normalise_costs_no_time(passwords: Passwords) -> None:
    monster = "a" + "\u0315\u0334" * 300_000
    assert not passwords.matches(monster, passwords.hash("correct horse"))
    assert not passwords.matches(monster, passwords.hash(monster[:-1]))
    with pytest.raises(ArgumentInvalid, match="must have 8 to 128"):
        check_new(monster, username="ann", field="password")
    assert fold(monster) == monster


def test_what_has_not_begun_when_the_caller_goes_is_not_done(passwords: Passwords) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    with ThreadPoolExecutor(3) as callers:
        first = callers.submit(passwords.in_turn, slow, soon())
        assert begun.wait(PATIENCE_S)
        gone = soon()
        second = callers.submit(passwords.in_turn, lambda: done.append("second"), gone)
        late = callers.submit(passwords.in_turn, lambda: done.append("late"), Deadline(0.01, SystemClock()))
        assert isinstance(late.exception(PATIENCE_S), DeadlineExceeded)
        gone.hang_up()
        assert isinstance(second.exception(PATIENCE_S), CallerGone)
        go_on.set()
        first.result(PATIENCE_S)
    passwords.in_turn(lambda: done.append("last"), soon())
    assert done == ["last"]
