"""TLS as callers meet it, and what happens to those who do not speak it."""

from __future__ import annotations

import logging
import os
import pty
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import certificates
import grpc
import pytest
import trustme
from certificates import Files
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from grpc_health.v1 import health_pb2
from servers import PATIENCE_S, SERVING, FakeBackend, FakeDecoder, connected, failure_of, health_stub, serving, sign_in

from tagwright.v1.auth_service_pb2 import WhoAmIRequest
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright_server.app import App
from tagwright_server.errors import StartupError

CA = trustme.CA()
STRANGER = trustme.CA()
Serve = Callable[..., AbstractContextManager[App]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return certificates.write(tmp_path, certificates.issue(CA))


@pytest.fixture
def serve(repository: Path) -> Serve:
    """Serve with a network and a decoder that do nothing."""

    def started(**settings: Any) -> AbstractContextManager[App]:
        return serving(repository, backend=FakeBackend(), decoder=FakeDecoder(), **settings)

    return started


@contextmanager
def _secure(
    address: str, *, ca: trustme.CA = CA, own: trustme.LeafCert | None = None, name: str = "localhost"
) -> Iterator[grpc.Channel]:
    key, chain = (own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.cert_pem.bytes(), key, chain)
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.ssl_target_name_override", name),
    ]
    with grpc.secure_channel(address, credentials, options=options) as channel:
        yield channel


def _health(address: str, **options: Any) -> int:
    with _secure(address, **options) as channel:
        return int(health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status)


def _failure(address: str, **options: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        _health(address, **options)
    code: grpc.StatusCode = caught.value.code()
    return code


def _serial(app: App) -> int:
    """The number of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    CA.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((app.address.host, app.address.port), PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        shown = secure.getpeercert()
    assert shown is not None
    return int(str(shown["serialNumber"]), 16)


def _await_the_end(connection: socket.socket) -> None:
    """Read until the other side closes; an alert may come first, and what it has not read makes it a reset."""
    with suppress(ConnectionResetError):
        while connection.recv(4096):
            pass


def _serial_of(leaf: trustme.LeafCert) -> int:
    return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [text for text in said if "no account" not in text]  # there is none in these servers


def test_health_is_told_over_tls(serve: Serve, files: Files, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serve(**files.settings) as app:
        assert _health(str(app.address)) == SERVING
    assert f"listening on {app.address}, TLS" in caplog.messages
    assert not _warnings(caplog)


def test_a_token_travels_over_tls_and_without_one_the_answer_is_no(serve: Serve, files: Files) -> None:
    with serve(**files.settings) as app, _secure(str(app.address)) as channel:
        who_am_i: Any = AuthServiceStub(channel).WhoAmI
        assert failure_of(who_am_i, WhoAmIRequest()).code == grpc.StatusCode.UNAUTHENTICATED
        token = grpc.access_token_call_credentials(sign_in(app, "ann"))
        assert who_am_i(WhoAmIRequest(), timeout=PATIENCE_S, credentials=token).user.username == "ann"


def test_a_socket_of_this_machine_can_have_tls_too(serve: Serve, files: Files, tmp_path: Path) -> None:
    with serve(listen=f"unix:{tmp_path}/socket", **files.settings) as app:
        assert _health(str(app.address)) == SERVING


def test_an_expired_certificate_is_served_with_a_warning(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long_ago = datetime(2020, 1, 2, tzinfo=timezone.utc)
    files = certificates.write(tmp_path, certificates.issue(CA, not_after=long_ago))
    with serve(**files.settings) as app:
        assert _failure(str(app.address)) == grpc.StatusCode.UNAVAILABLE
    assert _warnings(caplog) == [f"certificate {files.certificate}: expired on 2020-01-02 00:00 UTC; callers refuse it"]


def test_callers_refuse_a_server_of_another_authority_or_name(serve: Serve, files: Files) -> None:
    with serve(**files.settings) as app:
        assert _failure(str(app.address), ca=STRANGER) == grpc.StatusCode.UNAVAILABLE
        assert _failure(str(app.address), name="elsewhere.example") == grpc.StatusCode.UNAVAILABLE
        assert _health(str(app.address)) == SERVING


def test_callers_without_the_right_certificate_are_refused_where_one_is_asked_for(
    serve: Serve, files: Files, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serve(**files.settings, tls_client_ca=certificates.write_ca(tmp_path, CA)) as app:
        address = str(app.address)
        assert _failure(address) == grpc.StatusCode.UNAVAILABLE
        assert _failure(address, own=certificates.issue(STRANGER)) == grpc.StatusCode.UNAVAILABLE
        assert _health(address, own=certificates.issue(CA)) == SERVING
    assert f"listening on {address}, TLS with client certificates" in caplog.messages


def test_a_renewed_authority_decides_about_new_callers(serve: Serve, files: Files, tmp_path: Path) -> None:
    ca = certificates.write_ca(tmp_path, CA)
    ours, theirs = certificates.issue(CA), certificates.issue(STRANGER)
    with serve(**files.settings, tls_client_ca=ca) as app:
        assert _health(str(app.address), own=ours) == SERVING
        certificates.replace(ca, STRANGER.cert_pem.bytes())
        assert _failure(str(app.address), own=ours) == grpc.StatusCode.UNAVAILABLE
        assert _health(str(app.address), own=theirs) == SERVING


def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on(serve: Serve, files: Files) -> None:
    renewed = certificates.issue(CA)
    with serve(**files.settings) as app, _secure(str(app.address)) as old:
        check = health_stub(old).Check
        assert check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status == SERVING
        assert _serial(app) != _serial_of(renewed)
        files.renew(renewed)
        assert _serial(app) == _serial_of(renewed)
        assert _health(str(app.address)) == SERVING
        assert check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status == SERVING


def test_a_broken_renewal_leaves_the_old_certificate_and_one_warning(
    serve: Serve, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    renewed = certificates.issue(CA)
    with serve(**files.settings) as app:
        before = _serial(app)
        certificates.replace(files.certificate, renewed.cert_chain_pems[0].bytes())
        files.key.unlink()
        for _ in range(3):
            assert _serial(app) == before
        assert _health(str(app.address)) == SERVING
        (warning,) = _warnings(caplog)
        assert f"--tls-key: {files.key} cannot be read: no such file or directory" in warning
        files.renew(renewed)
        assert _serial(app) == _serial_of(renewed)


@pytest.mark.parametrize(
    ("version", "taken"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
def test_tls_before_1_2_is_refused(serve: Serve, files: Files, version: ssl.TLSVersion, taken: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server that refuses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
    assert hello.pending  # our own side speaks it
    with serve(**files.settings) as app:
        address = (app.address.host, app.address.port)
        with socket.create_connection(address, PATIENCE_S) as plain:
            if taken:
                with context.wrap_socket(plain, server_hostname="localhost") as secure:
                    assert secure.version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    context.wrap_socket(plain, server_hostname="localhost")
        assert _health(str(app.address)) == SERVING


JUNK = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/2 in plaintext": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "zeros": bytes(1000),
    "every byte": bytes(range(256)) * 8,
    "a handshake that promises more than it may": b"\x16\x03\x01\xff\xff" + bytes(100),
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_ends_its_own_connection_and_nothing_else(
    serve: Serve, files: Files, junk: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(**files.settings) as app:
        with socket.create_connection((app.address.host, app.address.port), PATIENCE_S) as caller:
            caller.sendall(junk)
            _await_the_end(caller)
        assert _health(str(app.address)) == SERVING
    assert not _warnings(caplog)
    assert "Traceback" not in capfd.readouterr().err


def test_plaintext_to_the_port_of_tls_fails_and_harms_nobody(
    serve: Serve, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(**files.settings) as app:
        with grpc.insecure_channel(str(app.address), options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert _health(str(app.address)) == SERVING
    assert "Traceback" not in capfd.readouterr().err


def test_a_connection_that_never_finishes_its_handshake_is_closed(serve: Serve, files: Files) -> None:
    with serve(**files.settings, connection_handshake_max_s=0.2) as app:
        with socket.create_connection((app.address.host, app.address.port), PATIENCE_S) as silent:
            assert silent.recv(1) == b""
        assert _health(str(app.address)) == SERVING


def test_beyond_this_machine_plaintext_is_served_where_it_is_meant_and_warned_about(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(listen="0.0.0.0:0", insecure=True) as app:
        with connected(f"127.0.0.1:{app.address.port}") as channel:
            assert health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status == SERVING
        assert _warnings(caplog) == [f"listening on 0.0.0.0:{app.address.port}, in plaintext beyond this machine"]


def test_beyond_this_machine_tls_is_served(serve: Serve, files: Files, caplog: pytest.LogCaptureFixture) -> None:
    with serve(listen="0.0.0.0:0", **files.settings) as app:
        assert _health(f"127.0.0.1:{app.address.port}") == SERVING
    assert not _warnings(caplog)


def test_what_is_wrong_with_the_files_stops_the_start(serve: Serve, files: Files) -> None:
    files.key.chmod(0o644)
    with pytest.raises(StartupError, match=r"is open to others than its owner \(mode 0644\)"), serve(**files.settings):
        pass


def test_an_encrypted_key_is_refused_without_asking_at_the_terminal(files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    locked = key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret"))
    certificates.replace(files.key, locked)
    flags = ("--listen=127.0.0.1:0", f"--tls-certificate={files.certificate}", f"--tls-key={files.key}")
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tagwright_server", *flags],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            start_new_session=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("tagwright-server: ")]
    assert len(told) == 1
    assert f"--tls-key: {files.key} is encrypted, which is not supported" in told[0]
    assert "Traceback" not in done.stderr
