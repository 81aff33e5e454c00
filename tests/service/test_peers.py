"""Who called, as a real connection tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from servers import PATIENCE_S, connected

from tagwright_server.address import Address, Network, parse_networks
from tagwright_server.transport.peer import peer_of

FORGED = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "203.0.113.10, 192.0.2.7")]
Ask = Callable[[], str]
_NEEDS_IPV6 = pytest.mark.skipif(Address(host="::1").why_not() is not None, reason="this machine has no IPv6")


@contextmanager
def _server(listen: str, networks: tuple[Network, ...]) -> Iterator[Ask]:
    """A server that answers with whom it believes to be called by, and a caller with an opinion of its own."""

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = context.invocation_metadata()
        forwarded_for = [str(value) for name, value in metadata if name == "x-forwarded-for"]
        return peer_of(context.peer(), forwarded_for, networks).encode()

    server = grpc.server(ThreadPoolExecutor(1))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer, None, None)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peers", {"Ask": handler}),))
    port = server.add_insecure_port(listen)
    server.start()
    target = listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
    try:
        with connected(target.replace("[::]", "127.0.0.1")) as channel:
            method: Callable[..., bytes] = channel.unary_unary("/test.Peers/Ask")
            yield lambda: method(b"", timeout=PATIENCE_S, metadata=FORGED).decode()
    finally:
        server.stop(0).wait()


@pytest.mark.parametrize(
    ("listen", "peer"),
    [
        ("127.0.0.1:0", "127.0.0.1"),
        pytest.param("[::1]:0", "::1", marks=_NEEDS_IPV6),
        pytest.param("[::]:0", "127.0.0.1", marks=_NEEDS_IPV6),  # IPv4 to an IPv6 socket
    ],
)
def test_a_callers_address_is_its_connections_whatever_it_says_itself(listen: str, peer: str) -> None:
    with _server(listen, ()) as ask:
        assert ask() == peer
    with _server(listen, parse_networks("10.0.0.0/8")) as ask:
        assert ask() == peer


def test_a_callers_address_is_what_a_trusted_proxy_says() -> None:
    with _server("127.0.0.1:0", parse_networks("127.0.0.0/8")) as ask:
        assert ask() == "192.0.2.7"


def test_a_caller_at_a_socket_of_this_machine_is_just_that(tmp_path: Path) -> None:
    with _server(f"unix:{tmp_path}/socket", parse_networks("127.0.0.0/8")) as ask:
        assert ask() == "unix"
