"""The process as an operator meets it: how it starts, what it says, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import photos as pictures
import psutil
import pytest
from accounts import signed_in
from grpc_health.v1 import health_pb2
from processes import ends_saying, serving, started
from servers import PASSWORD, PATIENCE_S, SERVING, connected, failure_of, health_stub, photo

from tagwright.v1 import auth_service_pb2 as auth
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub
from tagwright_server.data import open_data
from tagwright_server.settings import Settings

PHOTO = pictures.jpeg(320, 240)
GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}  # a call that the server never accepted


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the servers of a test, which is not the developer's own."""
    folder = tmp_path / "data"
    monkeypatch.setenv("TAGWRIGHT_DATA_FOLDER", str(folder))
    return folder


def _health(channel: grpc.Channel) -> int:
    return int(health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status)


def test_a_signal_under_load_loses_nothing_that_was_accepted(repository: Path, data: Path) -> None:
    token = signed_in(data)
    with serving(repository) as (process, address), connected(address, token) as channel:
        assert _health(channel) == SERVING
        outcomes: list[grpc.StatusCode] = []
        warm = threading.Semaphore(0)

        def load() -> None:
            outcome = grpc.StatusCode.OK
            while outcome == grpc.StatusCode.OK:
                outcome = TaggingServiceStub(channel).TagImage.future(photo(PHOTO)).code()
                outcomes.append(outcome)
                warm.release()

        callers = [threading.Thread(target=load) for _ in range(4)]
        for caller in callers:
            caller.start()
        for _ in range(20):
            assert warm.acquire(timeout=PATIENCE_S)
        process.process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join(PATIENCE_S)
        code, rest = process.end()
    _tells_what_it_serves(process.said, address)
    assert code == 0
    assert "stopped" in rest
    assert outcomes.count(grpc.StatusCode.OK) >= 16
    assert set(outcomes) <= {grpc.StatusCode.OK} | GONE


def _tells_what_it_serves(said: list[str], address: str) -> None:
    log = "\n".join(said)
    assert re.search(r"tagwright-server \S+, Python 3\.\d+", log)
    assert "model tagger@1: tiny, 5 labels, the default" in log
    assert "model plain-cnn@1: tiny, 5 labels" in log
    assert f"listening on {address}" in log
    assert re.search(r"READY on \S+, models run by TorchScript \d", said[-1])


@contextmanager
def _upload_in_progress(address: str) -> Iterator[None]:
    """A call that was accepted and does not end by itself."""
    ended = threading.Event()

    def message() -> Iterator[bytes]:
        ended.wait(PATIENCE_S)
        yield from ()

    with connected(address) as channel:
        upload: Any = channel.stream_unary("/tagwright.v1.TaggingService/TagImage")
        call = upload.future(message())
        try:
            yield
        finally:
            call.cancel()
            ended.set()


def test_a_second_signal_ends_it_at_once_with_all_its_children(repository: Path) -> None:
    with serving(repository) as (process, address), _upload_in_progress(address):
        children = psutil.Process(process.process.pid).children(recursive=True)
        assert children
        process.process.send_signal(signal.SIGTERM)
        process.wait_for("SIGTERM: finishing")
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(timeout=10) == 128 + signal.SIGTERM
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
        assert not alive


def test_what_drains_too_slowly_is_cut_off_and_the_exit_is_still_clean(repository: Path) -> None:
    flags = ("--stop-drain-s", 0.3, "--stop-notice-s", 0)
    with serving(repository, *flags) as (process, address), _upload_in_progress(address):
        process.process.send_signal(signal.SIGINT)  # Ctrl-C asks as nicely
        code, rest = process.end()
        assert code == 0
        assert "stopped" in rest


def test_a_signal_under_changes_keeps_every_one_that_was_answered(repository: Path, data: Path) -> None:
    token = signed_in(data)
    kept: list[str] = []
    with serving(repository, "--bcrypt-cost", 4) as (process, address), connected(address, token) as channel:
        accounts: Any = AuthServiceStub(channel)
        warm = threading.Event()

        def change() -> None:
            with suppress(grpc.RpcError):
                while True:
                    name = f"user-{len(kept)}"
                    accounts.CreateUser(auth.CreateUserRequest(username=name, password=PASSWORD), timeout=PATIENCE_S)
                    kept.append(name)
                    if len(kept) == 10:
                        warm.set()

        caller = threading.Thread(target=change)
        caller.start()
        assert warm.wait(PATIENCE_S)
        process.process.send_signal(signal.SIGTERM)
        caller.join(PATIENCE_S)
        code, rest = process.end()
    assert code == 0
    assert "Traceback" not in rest
    assert "stopped" in rest
    with open_data(Settings(data_folder=data)) as after:
        stored = {account.username for account in after.store.accounts.page(after=None, limit=100_000)}
    assert set(kept) <= stored


def test_a_server_without_any_account_says_so_in_one_line_and_lets_nobody_in(repository: Path) -> None:
    with serving(repository) as (process, address), connected(address) as channel:
        assert len([line for line in process.said if "there is no account yet" in line]) == 1
        assert _health(channel) == SERVING
        tagging, accounts = TaggingServiceStub(channel), AuthServiceStub(channel)
        refused = [
            failure_of(tagging.TagImage, photo(PHOTO)),
            failure_of(accounts.CreateUser, auth.CreateUserRequest(username="me", password=PASSWORD)),
            failure_of(accounts.Login, auth.LoginRequest(username="admin", password="admin")),
        ]
    assert {failure.code for failure in refused} == {grpc.StatusCode.UNAUTHENTICATED}
    assert [failure.info.reason for failure in refused] == ["TOKEN_INVALID", "TOKEN_INVALID", "LOGIN_FAILED"]


def test_servers_that_share_a_data_folder_know_the_same_accounts_and_tokens(repository: Path, data: Path) -> None:
    token = signed_in(data)
    quick = ("--bcrypt-cost", 4)
    with (
        serving(repository, *quick) as (_, one),
        serving(repository, *quick) as (_, other),
        connected(one, token) as here,
        connected(other, token) as there,
        connected(other) as stranger,
    ):
        first: Any = AuthServiceStub(here)
        second: Any = AuthServiceStub(there)
        first.CreateUser(auth.CreateUserRequest(username="ann", password=PASSWORD), timeout=PATIENCE_S)
        login: Any = AuthServiceStub(stranger).Login
        made = login(auth.LoginRequest(username="ann", password=PASSWORD), timeout=PATIENCE_S)
        assert made.user.username == "ann"
        with connected(one, made.access_token) as anns:
            assert TaggingServiceStub(anns).TagImage(photo(PHOTO), timeout=PATIENCE_S).tags.model_version == "tagger@1"
            second.UpdateUser(auth.UpdateUserRequest(username="ann", disabled=True), timeout=PATIENCE_S)
            failure = failure_of(TaggingServiceStub(anns).TagImage, photo(PHOTO))
        assert (failure.code, failure.info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


def test_a_signal_while_it_starts_ends_it(repository: Path) -> None:
    with started("--listen", "127.0.0.1:0", "--inference", "local", "--model-repository", repository) as process:
        process.wait_for("tagwright-server")
        process.process.send_signal(signal.SIGTERM)
        code, rest = process.end()
    assert code == 0
    assert "Traceback" not in rest


def test_a_port_in_use_is_said_in_one_line(repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, _, err = ends_saying("--listen", address, "--model-repository", repository)
    assert code == 2
    assert err.splitlines()[-1] == f"tagwright-server: cannot listen on {address}: address already in use"
    assert "Traceback" not in err


WRONG = {
    "an address of the outside": (("--listen", "0.0.0.0:8470"), "give --tls-certificate and --tls-key, or --insecure"),
    "an unknown flag": (("--colour", "blue"), "unrecognized arguments: --colour blue"),
    "an abbreviated flag": (("--lis", "127.0.0.1:0"), "unrecognized arguments: --lis"),
    "a value of the wrong kind": (("--calls-max", "many"), "calls_max (--calls-max, TAGWRIGHT_CALLS_MAX)"),
    "a repository that is not there": (("--listen", "127.0.0.1:0", "--model-repository", "/nowhere"), "/nowhere"),
    "a file that is not there": (("--config", "/nowhere.toml"), "there is no file /nowhere.toml"),
}


@pytest.mark.parametrize(("flags", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_at_the_start_is_one_line_and_exit_code_2(flags: tuple[str, ...], said: str) -> None:
    code, _, err = ends_saying(*flags)
    ours = [line for line in err.splitlines() if line.startswith("tagwright-server: ")]
    assert code == 2
    assert len(ours) == 1
    assert said in ours[0]
    assert "Traceback" not in err


def test_a_default_model_that_is_not_there_is_said_with_those_that_are(repository: Path) -> None:
    code, _, err = ends_saying(
        "--listen", "127.0.0.1:0", "--model-repository", repository, "--default-model", "unicorn"
    )
    assert code == 2
    assert err.splitlines()[-1].endswith(
        "the default model 'unicorn' is not in the model repository, which holds: plain-cnn, tagger"
    )


def test_settings_come_from_a_file_the_environment_and_flags_the_last_one_wins(
    repository: Path, tmp_path: Path, data: Path
) -> None:
    token = signed_in(data)
    file = tmp_path / "tagwright.toml"
    file.write_text(
        f'model_repository = "{repository}"\ninference = "local"\nlisten = "127.0.0.1:1"\n', encoding="utf-8"
    )
    where = f"unix:{tmp_path}/socket"
    environment = {**os.environ, "TAGWRIGHT_LISTEN": where, "TAGWRIGHT_CONFIG": str(file)}
    with started("--default-model", "plain-cnn", env=environment) as process:
        assert process.wait_for(r"READY on (\S+),")[1] == where
        with connected(where, token) as channel:
            assert TaggingServiceStub(channel).TagImage(photo(PHOTO)).tags.model_version == "plain-cnn@1"
            code, _, err = ends_saying("--listen", where)
            assert (code, "another server listens there" in err) == (2, True)  # grpc would have taken it away
            assert _health(channel) == SERVING


def test_it_tells_its_version_and_its_flags_without_starting_anything() -> None:
    code, out, _ = ends_saying("--version")
    assert (code, out.startswith("tagwright-server ")) == (0, True)
    code, out, _ = ends_saying("--help")
    assert code == 0
    assert "--photo-bytes-max SIZE" in out
