"""How the client reaches a server: addresses, retries, proxies, and what happens when nobody is there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fake_tagging
import grpc
import pytest
from fake_tagging import FakeTagging

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1.tagging_service_pb2_grpc import add_TaggingServiceServicer_to_server
from tagwright_client import (
    ArgumentInvalid,
    Client,
    DeadlineExceeded,
    InternalError,
    ModelUnavailable,
    ServerUnreachable,
    __version__,
)
from tagwright_client._channel import Address, channel_options, parse_url


@pytest.fixture
def fake() -> Iterator[FakeTagging]:
    with fake_tagging.serving() as fake:
        yield fake


@pytest.fixture
def nobody() -> Iterator[str]:
    """Give the URL of a port on which nobody listens, and keep anyone else from taking it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"grpc://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    ("url", "target", "secure", "loopback"),
    [
        ("grpc://localhost:8470", "localhost:8470", False, True),
        ("grpc://127.0.0.1", "127.0.0.1:8470", False, True),
        ("grpc://[::1]:9", "[::1]:9", False, True),
        ("grpc://tags.example:8470/", "tags.example:8470", False, False),
        ("grpcs://tags.example", "tags.example:443", True, False),
        ("grpcs://10.0.0.7:8470", "10.0.0.7:8470", True, False),
        ("unix:/run/tagwright.sock", "unix:/run/tagwright.sock", False, True),
    ],
)
def test_the_scheme_chooses_the_transport(url: str, target: str, secure: bool, loopback: bool) -> None:
    address = parse_url(url)
    assert (address.target, address.secure, address.loopback) == (target, secure, loopback)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8470",
        "http://localhost:8470",
        "grpc://",
        "grpc://:8470",
        "grpc://host:port",
        "grpc://host:99999",
        "grpc://user:secret@host",
        "grpc://host/path",
        "grpc://host?x=1",
        "grpc://[::1",
        "unix:",
        "",
        "tags",
    ],
)
def test_an_address_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ArgumentInvalid, match=r"grpc://127\.0\.0\.1:8470") as caught:
        Client.connect(url)
    assert caught.value.field_violations[0].field == "url"


def test_without_an_address_the_environment_decides_then_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGWRIGHT_URL", "grpcs://tags.example")
    assert parse_url(None).url == "grpcs://tags.example:443"
    for unset in ("", None):
        monkeypatch.delenv("TAGWRIGHT_URL") if unset is None else monkeypatch.setenv("TAGWRIGHT_URL", unset)
        assert parse_url(None).url == "grpc://127.0.0.1:8470"


def test_a_unix_socket_is_reached(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    add_TaggingServiceServicer_to_server(FakeTagging(), server)
    server.add_insecure_port(f"unix:{tmp_path}/s")
    server.start()
    try:
        with Client.connect(f"unix:{tmp_path}/s") as client:
            assert client.models().engine == "Fake 1.0"
    finally:
        server.stop(0).wait()


def test_nobody_there_is_said_with_the_address(nobody: str) -> None:
    with Client.connect(nobody) as client, pytest.raises(ServerUnreachable, match=nobody) as caught:
        client.tag(b"dog", timeout_s=10)
    assert caught.value.reason == "SERVER_UNREACHABLE"
    assert caught.value.code == "UNAVAILABLE"


def test_tls_to_a_server_without_it_is_unreachable_and_sends_no_photo(fake: FakeTagging) -> None:
    url = fake.url.replace("grpc:", "grpcs:")
    with Client.connect(url) as client, pytest.raises(ServerUnreachable, match=url):
        client.tag(b"dog", timeout_s=10)
    assert fake.requests == []


def test_a_passing_failure_is_retried_for_a_photo_of_real_size(fake: FakeTagging) -> None:
    def fail_twice(attempt: int, request: object, context: grpc.ServicerContext) -> None:
        if attempt < 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

    fake.behave = fail_twice
    with Client.connect(fake.url) as client:
        client.tag(b"x" * 2_000_000)  # far above what grpc keeps for a retry unless told otherwise
    assert len(fake.requests) == 3
    assert fake.arrivals == sorted(fake.arrivals)


def test_a_lasting_failure_is_tried_four_times_and_then_told(fake: FakeTagging) -> None:
    failure = fake_tagging.status(14, "no model", reason="MODEL_UNAVAILABLE", retry_after_s=1.5)
    fake.behave = lambda attempt, request, context: fake_tagging.abort(context, failure)
    with Client.connect(fake.url) as client, pytest.raises(ModelUnavailable, match="no model") as caught:
        client.tag(b"dog")
    assert len(fake.requests) == 4
    assert caught.value.retry_after_s == 1.5


def test_models_are_asked_for_again_too(fake: FakeTagging) -> None:
    attempts = []

    def fail_once(request: object, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        attempts.append(request)
        if len(attempts) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return pb.ListModelsResponse(engine="Fake 1.0")

    fake.models = fail_once
    with Client.connect(fake.url) as client:
        assert client.models().engine == "Fake 1.0"
    assert len(attempts) == 2


def test_what_is_not_unavailable_is_never_sent_twice(fake: FakeTagging) -> None:
    fake.behave = lambda attempt, request, context: context.abort(grpc.StatusCode.INTERNAL, "broken")
    with Client.connect(fake.url) as client, pytest.raises(InternalError):
        client.tag(b"dog")
    assert len(fake.requests) == 1


def test_the_time_out_ends_a_call_that_hangs(fake: FakeTagging) -> None:
    ended = threading.Event()

    def hang(attempt: int, request: object, context: grpc.ServicerContext) -> None:
        context.add_callback(ended.set)
        ended.wait(10)

    fake.behave = hang
    with Client.connect(fake.url) as client, pytest.raises(DeadlineExceeded):
        client.tag(b"dog", timeout_s=0.2)
    assert ended.wait(10)


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    fake: FakeTagging, nobody: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, nobody.replace("grpc:", "http:"))
    with Client.connect(fake.url) as client:
        client.tag(b"dog", timeout_s=10)


def test_a_proxy_of_the_environment_is_used_for_other_machines() -> None:
    elsewhere = Address(url="grpc://tags.example:8470", target="tags.example:8470", secure=False, loopback=False)
    assert "grpc.enable_http_proxy" not in dict(channel_options(elsewhere))


def test_the_server_learns_which_client_calls(fake: FakeTagging) -> None:
    with Client.connect(fake.url) as client:
        client.tag(b"dog")
    assert fake.metadata[0]["user-agent"].startswith(f"tagwright-client/{__version__} ")
