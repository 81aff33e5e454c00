"""The token's way: over TLS, within this machine, elsewhere only when told; and nowhere in what people can read."""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_auth
import grpc
import pytest
import trustme
from fake_auth import PASSWORD, FakeAuth

import tagwright_client as tw
from tagwright.v1.auth_service_pb2 import WhoAmIRequest
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright_client import Client
from tagwright_client._channel import Address
from tagwright_client._connection import Connection
from tagwright_client._security import Security
from tagwright_client._token import Token
from tagwright_client._translate import from_rpc_error

SECRET = "tws_SecretSecretSecret"


@pytest.fixture
def fake() -> Iterator[FakeAuth]:
    with fake_auth.serving() as fake:
        fake.tokens[SECRET] = "ada"
        yield fake


@pytest.fixture
def elsewhere() -> Iterator[FakeAuth]:
    """Give a server that to the client is another machine: 0.0.0.0 is not known as loopback, yet leads here."""
    with fake_auth.serving(address="0.0.0.0:0", host="0.0.0.0") as fake:
        fake.tokens[SECRET] = "ada"
        yield fake


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def server_credentials(authority: trustme.CA, *names: str, clients: bool = False) -> grpc.ServerCredentials:
    pair = authority.issue_cert(*(names or ("127.0.0.1",)))
    chain = b"".join(pem.bytes() for pem in pair.cert_chain_pems)
    if not clients:
        return grpc.ssl_server_credentials([(pair.private_key_pem.bytes(), chain)])
    return grpc.ssl_server_credentials([(pair.private_key_pem.bytes(), chain)], authority.cert_pem.bytes(), True)


def write_pair(authority: trustme.CA, folder: Path) -> dict[str, Any]:
    pair = authority.issue_cert("service@example.org")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    pair.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return {"client_certificate_file": folder / "cert.pem", "client_key_file": folder / "key.pem"}


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0", "unix"])
def test_within_this_machine_the_token_travels_with_every_call(address: str, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s" if address == "unix" else address
    with fake_auth.serving(address=address, host=address.rpartition(":")[0]) as fake:
        fake.tokens[SECRET] = "ada"
        with Client.connect(fake.url, token=SECRET) as client:
            assert client.who_am_i().user.username == "ada"
            client.tag(b"dog")
            list(client.tag_many([b"dog"]))
            client.models()
    assert [call.token for call in fake.calls] == [SECRET]
    assert {metadata["authorization"] for metadata in fake.tagging.metadata} == {f"Bearer {SECRET}"}


def test_a_client_without_a_token_sends_none_and_hears_so(fake: FakeAuth) -> None:
    with Client.connect(fake.url) as client, pytest.raises(tw.TokenInvalid):
        client.who_am_i()
    assert "authorization" not in fake.calls[0].metadata


def test_the_environment_gives_the_token_unless_one_is_given(fake: FakeAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGWRIGHT_TOKEN", f"{SECRET}\n")
    with Client.connect(fake.url) as client:
        client.who_am_i()
    other = fake.session("bob")
    with Client.connect(fake.url, token=other) as client:
        client.who_am_i()
    monkeypatch.setenv("TAGWRIGHT_TOKEN", "")
    with Client.connect(fake.url) as client, pytest.raises(tw.TokenInvalid):
        client.who_am_i()
    assert [call.token for call in fake.calls] == [SECRET, other, ""]


@pytest.mark.parametrize("token", ["", " \n", "Secret two", "Secret\nSecret", "Secrét", "Secret\x00", "Secret" * 1000])
def test_what_cannot_be_a_token_is_refused_without_showing_it(
    token: str, fake: FakeAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(tw.ArgumentInvalid) as caught:
        Client.connect(fake.url, token=token)
    assert caught.value.field_violations[0].field == "token"
    assert "Secr" not in "".join(traceback.format_exception(caught.value))
    if "\0" not in token and token:
        monkeypatch.setenv("TAGWRIGHT_TOKEN", token)
        with pytest.raises(tw.ArgumentInvalid):
            Client.connect(fake.url)


def test_the_token_is_in_no_text_and_no_log(
    fake: FakeAuth, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    texts, password = [], "Hidden-Password"  # not in the line that a traceback shows
    with Client.connect(fake.url, token=SECRET) as client:
        texts += [repr(client), str(client), repr(vars(client)), repr(vars(client._connection))]
        client.who_am_i()
        fake.behave = lambda call, attempt, context: context.abort(grpc.StatusCode.UNKNOWN, "no")
        with pytest.raises(tw.TagwrightError) as failed:
            client.who_am_i()
        fake.behave = lambda call, attempt, context: None
        del fake.tokens[SECRET]
        with pytest.raises(tw.TokenInvalid) as refused:
            client.who_am_i()
        with pytest.raises(tw.LoginFailed) as login:
            client.login("ada", password)
    for caught in (failed, refused, login):
        texts += [*traceback.format_exception(caught.value), repr(vars(caught.value)), repr(caught.value.__cause__)]
    texts += [caplog.text, *capfd.readouterr()]
    for text in texts:
        assert SECRET not in text
        assert password not in text


def test_another_machine_in_plaintext_gets_no_secret_unless_told(elsewhere: FakeAuth) -> None:
    with pytest.raises(tw.ArgumentInvalid, match=r"grpcs://.*insecure=True") as caught:
        Client.connect(elsewhere.url, token=SECRET)
    assert SECRET not in str(caught.value)
    with Client.connect(elsewhere.url) as client:
        client.tag(b"dog")  # which a server without accounts would answer
        for use in (
            lambda: client.login("ada", PASSWORD),
            lambda: client.change_password(PASSWORD, PASSWORD),
            lambda: client.create_user("eve", PASSWORD),
            lambda: client.update_user("bob", password=PASSWORD),
        ):
            with pytest.raises(tw.ArgumentInvalid, match=r"grpcs://.*insecure=True"):
                use()
        with pytest.raises(tw.TokenInvalid):
            client.who_am_i()
    assert [call.name for call in elsewhere.calls] == ["WhoAmI"]


def test_another_machine_in_plaintext_gets_the_token_when_told(elsewhere: FakeAuth) -> None:
    with Client.connect(elsewhere.url, token=SECRET, insecure=True) as client:
        assert client.who_am_i().user.username == "ada"
        client.tag(b"dog")
        assert [result.error for result in client.tag_many([b"dog", b"cat"])] == [None, None]
        session = client.login("bob", PASSWORD).access_token
        assert client.who_am_i().user.username == "bob"
    assert [call.token for call in elsewhere.calls] == [SECRET, "", session]
    assert [m["authorization"] for m in elsewhere.tagging.metadata] == [f"Bearer {SECRET}"] * 3


def test_retries_and_errors_work_in_plaintext_too(elsewhere: FakeAuth) -> None:
    def fail_once(attempt: int, request: object, context: grpc.ServicerContext) -> None:
        if attempt == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

    elsewhere.tagging.behave = fail_once
    with Client.connect(elsewhere.url, token=SECRET, insecure=True) as client:
        client.tag(b"dog")
        with pytest.raises(tw.ImageRejected):
            client.tag(b"!truncated")
        with pytest.raises(tw.NotFound):
            client.get_user("nobody")
        results = client.tag_many(iter(lambda: b"dog", b""))
        next(results)
        results.close()
    with pytest.raises(tw.ClientClosed):
        client.who_am_i()


def test_tls_with_a_private_authority_carries_the_token(authority: trustme.CA, ca_file: Path) -> None:
    with fake_auth.serving(credentials=server_credentials(authority)) as fake:
        fake.tokens[SECRET] = "ada"
        with Client.connect(fake.url, token=SECRET, ca_file=ca_file) as client:
            assert client.who_am_i().user.username == "ada"
            session = client.login("bob", PASSWORD).access_token
            assert client.who_am_i().user.username == "bob"
    assert [call.token for call in fake.calls] == [SECRET, "", session]


def test_a_certificate_of_another_authority_is_told_and_nothing_is_sent(authority: trustme.CA, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with fake_auth.serving(credentials=server_credentials(authority)) as fake:
        for ca_file in (tmp_path / "other.pem", None):
            with (
                Client.connect(fake.url, token=SECRET, ca_file=ca_file) as client,
                pytest.raises(tw.ServerUnreachable, match="ca_file names a private authority"),
            ):
                client.who_am_i(timeout_s=10)
    assert fake.calls == []


def test_a_certificate_for_another_name_is_told(authority: trustme.CA, ca_file: Path) -> None:
    with (
        fake_auth.serving(credentials=server_credentials(authority, "tags.example")) as fake,
        Client.connect(fake.url, token=SECRET, ca_file=ca_file) as client,
        pytest.raises(tw.ServerUnreachable, match="its certificate is for another host name"),
    ):
        client.who_am_i(timeout_s=10)
    assert fake.calls == []


def test_the_wrong_scheme_is_hinted_at(fake: FakeAuth, authority: trustme.CA) -> None:
    tls = fake.url.replace("grpc:", "grpcs:")
    with Client.connect(tls, token=SECRET) as client, pytest.raises(tw.ServerUnreachable, match="use grpc://"):
        client.who_am_i(timeout_s=10)
    with fake_auth.serving(credentials=server_credentials(authority)) as secure:
        plain = secure.url.replace("grpcs:", "grpc:")
        with Client.connect(plain, token=SECRET) as client, pytest.raises(tw.ServerUnreachable, match="use grpcs://"):
            client.who_am_i(timeout_s=10)
    assert fake.calls == secure.calls == []


def test_a_server_that_asks_for_a_client_certificate_gets_it(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong").mkdir()
    right, wrong = write_pair(authority, tmp_path), write_pair(trustme.CA(), tmp_path / "wrong")
    with fake_auth.serving(credentials=server_credentials(authority, clients=True)) as fake:
        fake.tokens[SECRET] = "ada"
        with Client.connect(fake.url, token=SECRET, ca_file=ca_file, **right) as client:
            assert client.who_am_i().user.username == "ada"
        for pair in (dict[str, Any](), wrong):
            with (
                Client.connect(fake.url, token=SECRET, ca_file=ca_file, **pair) as client,
                pytest.raises(tw.ServerUnreachable),
            ):
                client.who_am_i(timeout_s=10)
    assert len(fake.calls) == 1


def test_files_that_do_not_fit_are_refused_by_name(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    pair = write_pair(authority, tmp_path)
    (tmp_path / "other").mkdir()
    other = write_pair(authority, tmp_path / "other")
    (tmp_path / "junk").write_bytes(b"\xff no PEM")
    junk, missing, url = tmp_path / "junk", tmp_path / "missing", "grpcs://127.0.0.1:1"
    certificate, key = pair["client_certificate_file"], pair["client_key_file"]
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("ca_file", url, {"ca_file": missing}),
        ("ca_file", url, {"ca_file": tmp_path}),
        ("ca_file", url, {"ca_file": junk}),
        ("ca_file", url, {"ca_file": key}),
        ("client_key_file", url, {"client_certificate_file": certificate}),
        ("client_certificate_file", url, {"client_key_file": key}),
        ("client_key_file", url, {"client_certificate_file": certificate, "client_key_file": missing}),
        ("client_certificate_file", url, {"client_certificate_file": junk, "client_key_file": key}),
        ("client_certificate_file", url, {**pair, "client_key_file": other["client_key_file"]}),
        ("ca_file", "grpc://127.0.0.1:1", {"ca_file": ca_file}),
        ("client_certificate_file", "unix:/s", pair),
    ]
    for field, where, files in cases:
        with pytest.raises(tw.ArgumentInvalid) as caught:
            Client.connect(where, **files)
        assert [wrong.field for wrong in caught.value.field_violations] == [field]
        assert "PRIVATE KEY" not in str(caught.value)
    with pytest.raises(tw.ArgumentInvalid, match="insecure"):
        Client.connect(url, insecure=True)


def test_an_encrypted_key_is_refused_without_asking_for_its_password(authority: trustme.CA, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    pair = write_pair(authority, tmp_path)
    key = serialization.load_pem_private_key(pair["client_key_file"].read_bytes(), None)
    pair["client_key_file"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(tw.ArgumentInvalid, match="encrypted"):
        Client.connect("grpcs://127.0.0.1:1", **pair)


def test_grpcs_own_refusal_to_send_a_token_is_no_fault_of_the_server(fake: FakeAuth) -> None:
    class Plugin(grpc.AuthMetadataPlugin):
        def __call__(self, context: object, callback: grpc.AuthMetadataPluginCallback) -> None:
            callback((("authorization", f"Bearer {SECRET}"),), None)

    with grpc.insecure_channel(fake.url.removeprefix("grpc://")) as channel, pytest.raises(grpc.RpcError) as caught:
        AuthServiceStub(channel).WhoAmI(WhoAmIRequest(), credentials=grpc.metadata_call_credentials(Plugin()))
    error = from_rpc_error(caught.value, url="grpc://tags.example:8470")
    assert type(error) is tw.ArgumentInvalid
    assert "grpcs://" in str(error)
    assert fake.calls == []


def test_what_was_taken_for_this_machine_and_is_not_gets_nothing(elsewhere: FakeAuth) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks by which address one would go
        except OSError:
            pytest.skip("this machine has no address but loopback")
        own = probe.getsockname()[0]
    target = f"{own}:{elsewhere.url.rpartition(':')[2]}"
    address = Address(url="grpc://localhost:8470", target=target, secure=False, loopback=True)
    connection = Connection(address, security=Security(), token=Token(SECRET))
    with Client(connection) as client, pytest.raises(tw.ServerUnreachable, match="leads to another machine"):
        client.who_am_i(timeout_s=10)
    assert elsewhere.calls == []


@pytest.mark.parametrize("where", ["here", "unix", "tls", "elsewhere", "elsewhere, insecure"])
def test_whom_a_program_calls_for_travels_with_every_call(
    where: str, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    far, options = where.startswith("elsewhere"), dict[str, Any]()
    address = f"unix:{tmp_path}/s" if where == "unix" else "0.0.0.0:0" if far else "127.0.0.1:0"
    credentials = server_credentials(authority) if where == "tls" else None
    if where == "tls":
        options["ca_file"] = ca_file
    secrets_too = where != "elsewhere"
    if secrets_too:
        options |= {"token": SECRET, "insecure": far}
    with fake_auth.serving(address=address, credentials=credentials, host=address.rpartition(":")[0]) as fake:
        fake.tokens[SECRET] = "ada"
        with Client.connect(fake.url, forwarded_for="192.0.2.7", **options) as client:
            client.tag(b"dog")
            if secrets_too:
                client.who_am_i()
                client.login("ada", PASSWORD)
    assert [call.name for call in fake.calls] == (["WhoAmI", "Login"] if secrets_too else [])
    metadata = [*fake.tagging.metadata, *(call.metadata for call in fake.calls)]
    assert [each["x-forwarded-for"] for each in metadata] == ["192.0.2.7"] * len(metadata)
    tokens = [SECRET, SECRET, None] if secrets_too else [None]
    bearers = [f"Bearer {token}" if token else None for token in tokens]
    assert [each.get("authorization") for each in metadata] == bearers


def test_another_machine_in_plaintext_gets_no_token_even_one_that_comes_later(elsewhere: FakeAuth) -> None:
    with Client.connect(elsewhere.url, forwarded_for="192.0.2.7") as client:
        client._connection.token.replace(SECRET)  # nothing does
        client.tag(b"dog")
    assert ["authorization" in each for each in elsewhere.tagging.metadata] == [False]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%, 203.0.113.9\n", "fe80::1"),
    ],
)
def test_an_address_is_sent_as_no_more_than_that(fake: FakeAuth, given: str | None, sent: str | None) -> None:
    with Client.connect(fake.url, token=SECRET, forwarded_for=given) as client:
        client.who_am_i()
    assert [call.metadata.get("x-forwarded-for") for call in fake.calls] == [sent]


@pytest.mark.parametrize(
    "given", ["", "ada", "192.0.2.7:80", "[2001:db8::7]", "192.0.2.0/24", " 192.0.2.7", "192.0.2.7, 203.0.113.9"]
)
def test_whom_a_program_calls_for_is_one_ip_address(fake: FakeAuth, given: str) -> None:
    with pytest.raises(tw.ArgumentInvalid, match=r"192\.0\.2\.7 or 2001") as caught:
        Client.connect(fake.url, forwarded_for=given)
    assert [violation.field for violation in caught.value.field_violations] == ["forwarded_for"]


def test_whom_a_program_calls_for_is_a_text(fake: FakeAuth) -> None:
    for given in (3221225991, b"\xc0\x00\x02\x07"):  # ipaddress would take both
        with pytest.raises(TypeError, match="forwarded_for"):
            Client.connect(fake.url, forwarded_for=given)  # type: ignore[arg-type]


def test_the_same_server_has_the_same_full_url() -> None:
    assert tw.full_url("grpcs://tags.example") == tw.full_url("grpcs://tags.example:443/") == "grpcs://tags.example:443"
    with pytest.raises(tw.ArgumentInvalid):
        tw.full_url("tags.example")
