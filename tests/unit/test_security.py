"""The files of TLS: which are taken, how each wrong one is refused, and what a renewal changes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import certificates
import pytest
import trustme
from certificates import Files
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from tagwright_server.clock import SystemClock
from tagwright_server.errors import StartupError
from tagwright_server.settings import Settings
from tagwright_server.transport.security import Tls, open_tls

CA = trustme.CA()
OTHER = certificates.issue(CA)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return certificates.write(tmp_path, certificates.issue(CA))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "tagwright_server.transport.security")
    return caplog


@dataclass
class _Clock(SystemClock):
    later: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + self.later


def _open(files: Files, clock: _Clock | None = None, ca: Path | None = None) -> Tls:
    tls = open_tls(Settings(**files.settings, tls_client_ca=ca), clock or _Clock())
    assert tls is not None
    return tls


def _pem(key: PrivateKeyTypes, *, old: bool = False, password: bytes | None = None) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL if old else serialization.PrivateFormat.PKCS8
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, locked)


def _locked(files: Files, *, old: bool) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    certificates.replace(files.key, _pem(key, old=old, password=b"secret"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _damage(path: Path) -> None:
    content = path.read_bytes()
    certificates.replace(path, content[: len(content) // 2] + content[len(content) // 2 + 8 :])


def _key(key: PrivateKeyTypes) -> Callable[[Files], None]:
    return lambda files: certificates.replace(files.key, _pem(key))


_KIND = "is of a kind that gRPC's clients do not take"
_NO_CERTIFICATE = "holds no certificate in PEM, or a damaged one"
_NO_KEY = "holds no private key in PEM, or a damaged one"
WRONG_CERTIFICATES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (Path.unlink, "cannot be read: no such file or directory"),
    "unreadable": (_loop, "cannot be read: too many levels of symbolic links"),
    "a folder": (_folder, "cannot be read: is a directory"),
    "a pipe": (_pipe, "is no file"),
    "empty": (lambda path: certificates.replace(path, b""), _NO_CERTIFICATE),
    "binary": (lambda path: certificates.replace(path, bytes(range(256))), _NO_CERTIFICATE),
    "damaged": (_damage, _NO_CERTIFICATE),
    "a key": (lambda path: certificates.replace(path, OTHER.private_key_pem.bytes()), _NO_CERTIFICATE),
}
WRONG_KEYS: dict[str, tuple[Callable[[Files], None], str]] = {
    "missing": (lambda files: files.key.unlink(), "cannot be read: no such file or directory"),
    "unreadable": (lambda files: _loop(files.key), "cannot be read: too many levels of symbolic links"),
    "a folder": (lambda files: _folder(files.key), "cannot be read: is a directory"),
    "a pipe": (lambda files: _pipe(files.key), "is no file"),
    "readable by all": (lambda files: files.key.chmod(0o644), "is open to others than its owner (mode 0644)"),
    "readable by its group": (lambda files: files.key.chmod(0o640), "is open to others than its owner (mode 0640)"),
    "writable by others": (lambda files: files.key.chmod(0o602), "is open to others than its owner (mode 0602)"),
    "empty": (lambda files: certificates.replace(files.key, b""), _NO_KEY),
    "damaged": (lambda files: _damage(files.key), _NO_KEY),
    "a certificate": (lambda files: certificates.replace(files.key, files.certificate.read_bytes()), _NO_KEY),
    "of another pair": (
        lambda files: certificates.replace(files.key, OTHER.private_key_pem.bytes()),
        "is not the key of the first certificate in",
    ),
    "encrypted": (lambda files: _locked(files, old=False), "is encrypted, which is not supported"),
    "encrypted in the old way": (lambda files: _locked(files, old=True), "is encrypted, which is not supported"),
    "Ed25519": (_key(ed25519.Ed25519PrivateKey.generate()), _KIND),
    "DSA": (_key(dsa.generate_private_key(2048)), _KIND),
    "P-521": (_key(ec.generate_private_key(ec.SECP521R1())), _KIND),
    "short RSA": (_key(rsa.generate_private_key(65537, 1024)), _KIND),
}


def _refusal(files: Files, ca: Path | None = None) -> str:
    secret = files.key.read_text().split("\n")[1:-2] if files.key.is_file() else []
    with pytest.raises(StartupError) as caught:
        _open(files, ca=ca)
    told = str(caught.value)
    assert "\n" not in told
    assert not [line for line in secret if line and line in told]
    return told


@pytest.mark.parametrize(("spoil", "said"), WRONG_CERTIFICATES.values(), ids=WRONG_CERTIFICATES)
def test_a_wrong_certificate_is_refused_by_its_name(files: Files, spoil: Callable[[Path], None], said: str) -> None:
    spoil(files.certificate)
    assert _refusal(files) == f"--tls-certificate: {files.certificate} {said}"


@pytest.mark.parametrize(("spoil", "said"), WRONG_CERTIFICATES.values(), ids=WRONG_CERTIFICATES)
def test_a_wrong_authority_is_refused_by_its_name(
    files: Files, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    ca = certificates.write_ca(tmp_path, CA)
    spoil(ca)
    assert _refusal(files, ca) == f"--tls-client-ca: {ca} {said}"


@pytest.mark.parametrize(("spoil", "said"), WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_wrong_key_is_refused_by_its_name(files: Files, spoil: Callable[[Files], None], said: str) -> None:
    spoil(files)
    assert _refusal(files).startswith(f"--tls-key: {files.key} {said}")


def test_a_key_of_another_user_is_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, us = os.stat(files.key).st_uid, os.geteuid()
    if us == 0:
        owner = 65_534
        os.chown(files.key, owner, -1)
    else:
        us += 1
        monkeypatch.setattr(os, "geteuid", lambda: us)
    told = f"belongs to user {owner}; it must belong to the user that the server runs as, {us}, or to root"
    assert _refusal(files) == f"--tls-key: {files.key} {told}"


def test_a_certificate_behind_the_one_that_signed_it_is_refused(files: Files, tmp_path: Path) -> None:
    own = files.certificate.read_bytes()
    certificates.replace(files.certificate, CA.cert_pem.bytes() + own)
    assert "is not the key of the first certificate" in _refusal(files)
    certificates.replace(files.certificate, own + CA.cert_pem.bytes())
    _open(files)


def test_a_path_that_cannot_be_one_is_refused(files: Files) -> None:
    assert "cannot be read" in _refusal(Files(Path("a\0b"), files.key))


def test_without_files_there_is_no_tls() -> None:
    assert open_tls(Settings(), _Clock()) is None


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["RSA 2048", "P-256", "P-384"],
)
def test_kinds_of_keys_that_clients_take_come_as_far_as_the_comparison(files: Files, key: PrivateKeyTypes) -> None:
    _key(key)(files)
    assert "is not the key of the first certificate" in _refusal(files)


def test_a_certificate_that_is_over_or_still_to_come_is_taken_with_a_warning(
    files: Files, log: pytest.LogCaptureFixture
) -> None:
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    files.renew(certificates.issue(CA, not_before=tomorrow - timedelta(days=2), not_after=tomorrow))
    for days in (0, 2, -2):
        _open(files, _Clock(later=timedelta(days=days)))
    good, over, to_come = log.records
    assert (good.levelname, over.levelname, to_come.levelname) == ("INFO", "WARNING", "WARNING")
    assert f": valid until {tomorrow:%Y-%m-%d}" in good.getMessage()
    assert f": expired on {tomorrow:%Y-%m-%d}" in over.getMessage()
    assert f": not valid before {tomorrow - timedelta(days=2):%Y-%m-%d}" in to_come.getMessage()


def test_files_that_stay_as_they_are_change_nothing(files: Files, log: pytest.LogCaptureFixture) -> None:
    tls = _open(files)
    assert [tls.renewed() for _ in range(3)] == [None] * 3
    assert len(log.records) == 1


def test_a_renewed_pair_is_taken_once_and_told(files: Files, log: pytest.LogCaptureFixture) -> None:
    tls = _open(files)
    files.renew(OTHER)
    assert tls.renewed() is not None
    assert tls.renewed() is None
    assert [record.getMessage().split(" valid")[0] for record in log.records] == [
        f"certificate {files.certificate}:"
    ] * 2


def test_a_renewed_authority_is_taken(files: Files, tmp_path: Path) -> None:
    ca = certificates.write_ca(tmp_path, CA)
    tls = _open(files, ca=ca)
    assert tls.asks_for_certificates
    certificates.replace(ca, trustme.CA().cert_pem.bytes())
    assert tls.renewed() is not None


@pytest.mark.parametrize("spoil", [spoil for spoil, _ in WRONG_KEYS.values()], ids=WRONG_KEYS)
def test_a_broken_renewal_is_told_once_and_its_repair_is_taken(
    files: Files, log: pytest.LogCaptureFixture, spoil: Callable[[Files], None]
) -> None:
    tls = _open(files)
    spoil(files)
    assert [tls.renewed() for _ in range(5)] == [None] * 5
    (warning,) = [record for record in log.records if record.levelname == "WARNING"]
    assert warning.getMessage().startswith(
        f"the renewed certificate is not used, the one from before stays: --tls-key: {files.key} "
    )
    if files.key.is_dir():
        files.key.rmdir()
    files.renew(OTHER)
    assert tls.renewed() is not None


def test_a_key_that_is_closed_to_others_again_is_taken_though_its_content_is_old(files: Files) -> None:
    tls = _open(files)
    files.key.chmod(0o644)
    assert tls.renewed() is None
    files.key.chmod(0o600)
    assert tls.renewed() is not None


def test_between_the_two_files_of_a_renewal_the_old_pair_stays(files: Files) -> None:
    tls = _open(files)
    certificates.replace(files.certificate, OTHER.cert_chain_pems[0].bytes())
    assert tls.renewed() is None
    certificates.replace(files.key, OTHER.private_key_pem.bytes())
    assert tls.renewed() is not None
