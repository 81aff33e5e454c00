"""What the bench's login scenarios stand on: peers of their own, answers told apart, pairs that can be compared."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import write_repository
from load.attacker import Attacker
from load.bystanders import Bystanders
from load.relay import Relay, can_call_from
from load.scenarios.login_time import Tries, compare, login_server, pairs_in, ratio
from load.serving import NotServed, Serving, make_account
from servers import ADMIN, PASSWORD, PATIENCE_S, FakeBackend, FakeDecoder, serving, sign_in

from tagwright_server.app import App
from tagwright_server.store.records import Role

OTHER = "127.0.0.2"
elsewhere = pytest.mark.skipif(not can_call_from(OTHER), reason="this machine cannot call itself from other addresses")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_repository(tmp_path, network=False)
    return tmp_path


@pytest.fixture
def app(repository: Path) -> Iterator[App]:
    """A server that hashes quickly, and an administrator who signed in from 127.0.0.1."""
    with serving(repository, backend=FakeBackend(), decoder=FakeDecoder()) as served:
        sign_in(served, ADMIN, Role.ADMIN, peer="127.0.0.1")
        yield served


@elsewhere
def test_a_relay_carries_every_byte_both_ways_and_calls_from_the_address_it_was_told() -> None:
    sent = os.urandom(300_000)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Relay(f"127.0.0.1:{server.getsockname()[1]}", source=OTHER) as relay,
        connected(relay) as caller,
    ):
        server.settimeout(PATIENCE_S)
        at_server, (peer, _) = server.accept()
        with at_server:
            assert peer == OTHER
            for one, other in ((caller, at_server), (at_server, caller)):
                sender = threading.Thread(target=one.sendall, args=(sent,))
                sender.start()
                assert received(other, len(sent)) == sent
                sender.join()
            relay.close()
            assert (received(caller, 1), received(at_server, 1)) == (b"", b"")


def test_a_relay_to_nobody_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        target = f"127.0.0.1:{gone.getsockname()[1]}"
    with Relay(target, source="127.0.0.1") as relay, connected(relay) as caller:
        assert received(caller, 1) == b""


@elsewhere
def test_an_attacker_does_not_wait_when_refused_and_locks_out_nobody_who_comes_from_elsewhere(app: App) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    attacker = Attacker(on_answer=heard.put)
    attacker.handle({"do": "start", "address": str(app.address), "source": OTHER, "username": ADMIN})
    answers = [heard.get(timeout=PATIENCE_S) for _ in range(30)]
    assert sign_in(app, ADMIN, peer="127.0.0.1")
    ended = attacker.handle({"do": "stop"})
    assert answers == ["LOGIN_FAILED"] * 5 + ["RATE_LIMITED"] * 25
    assert ended["answers"]["LOGIN_FAILED"] >= 5
    assert ended["seconds"] > 0
    failed = app.data.store.audit.page(before=None, limit=500, action="login.failed")
    assert {event.peer for event in failed} == {OTHER}


@elsewhere
def test_an_attacker_without_a_name_tries_another_one_each_time_and_can_start_again_from_elsewhere(app: App) -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    attacker = Attacker(on_answer=heard.put)
    for source in (OTHER, "127.0.0.3"):
        attacker.handle({"do": "start", "address": str(app.address), "source": source, "username": None})
        answers = [heard.get(timeout=PATIENCE_S) for _ in range(25)]
        attacker.handle({"do": "stop"})
        assert answers[:20] == ["LOGIN_FAILED"] * 20  # so many are free for a peer, 5 for a name
        assert "RATE_LIMITED" in answers
        while not heard.empty():  # what came before it stopped
            heard.get()


def test_an_attacker_counts_it_where_nobody_answers() -> None:
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()
    attacker = Attacker(on_answer=heard.put)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    attacker.handle({"do": "start", "address": address, "source": "127.0.0.1", "username": "somebody"})
    assert heard.get(timeout=PATIENCE_S) == "UNAVAILABLE"
    assert set(attacker.handle({"do": "stop"})["answers"]) == {"UNAVAILABLE"}


def test_bystanders_tell_right_logins_from_failed_ones_and_look_at_the_health_at_least_once(app: App) -> None:
    bystanders = Bystanders(address=str(app.address))
    for password, right, failed in ((PASSWORD, 1, {}), ("not that one", 0, {"LOGIN_FAILED": 1})):
        bystanders.handle({"do": "start", "username": ADMIN, "password": password})
        seen = bystanders.handle({"do": "stop"})
        assert (len(seen["logins_s"]), seen["failed_logins"]) == (right, failed)
        assert seen["health_ms"]
        assert set(seen["health_errors"]) <= {"NOT_SERVING"}  # where the server has not looked for itself yet


def test_both_kinds_of_failed_logins_are_measured_as_often_and_none_has_to_wait(repository: Path) -> None:
    with login_server(repository, bcrypt_cost=4) as (address, step):
        unknown, wrong = compare(address, step, pairs=25)
    assert (len(unknown.took_ms), len(wrong.took_ms)) == (25, 25)
    assert not unknown.otherwise
    assert not wrong.otherwise
    assert ratio(unknown, wrong) is not None


def test_logins_that_were_refused_without_a_look_at_the_password_are_no_measurement(repository: Path) -> None:
    with login_server(repository, bcrypt_cost=4) as (address, _):
        unknown, wrong = compare(address, lambda: None, pairs=10)
    assert unknown.otherwise["RATE_LIMITED"]
    assert wrong.otherwise["RATE_LIMITED"]
    assert ratio(unknown, wrong) is None


def test_the_ratio_is_that_of_the_medians() -> None:
    assert ratio(Tries([100.0, 110.0, 900.0]), Tries([100.0])) == pytest.approx(1.1)
    assert ratio(Tries(), Tries([100.0])) is None
    assert ratio(Tries([100.0], Counter(OVERLOADED=1)), Tries([100.0])) is None


def test_two_hundred_pairs_take_thirty_seconds_a_measurement_and_fewer_less() -> None:
    assert [pairs_in(seconds) for seconds in (0.2, 3.0, 15.0, 30.0, 300.0)] == [3, 20, 100, 200, 200]


def test_a_server_whose_account_cannot_be_made_is_not_served_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotServed, match="no account can be made: tagwright-server: "):
        make_account(f"--data-folder={tmp_path / 'file' / 'data'}", dict(os.environ))


def test_what_is_printed_of_a_server_holds_no_secret() -> None:
    printed = repr(Serving(1, "127.0.0.1:1", "engine", 1.0, Path(), token="the key", password="the password"))
    assert "the key" not in printed
    assert "the password" not in printed


def connected(relay: Relay) -> socket.socket:
    host, port = relay.address.split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def received(connection: socket.socket, size: int) -> bytes:
    """Return so many bytes, or those until the connection ended."""
    connection.settimeout(PATIENCE_S)
    read = b""
    while len(read) < size:
        try:
            piece = connection.recv(size - len(read))
        except ConnectionResetError:
            break
        if not piece:
            break
        read += piece
    return read
