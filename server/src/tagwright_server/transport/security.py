"""TLS: the server's certificate and key, and the authority that callers' certificates have to be signed by.

Promises: what cannot work stops the start with one line that names the file and never shows its content; a key that
others can read is not used. Renewed files serve the next connection, without a restart; where the renewal is
broken, the pair from before stays, and one line in the log says so. grpc itself refuses TLS before 1.2.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tagwright_server.clock import Clock
from tagwright_server.errors import StartupError
from tagwright_server.settings import Settings, flag

log = logging.getLogger(__name__)

_ROOT = 0
_RSA_BITS_MIN = 2048  # what OpenSSL, and so most callers, asks for by default
_CURVES = ("secp256r1", "secp384r1")  # gRPC's own clients take certificates on no other curve, and no Ed25519

_Look = tuple[tuple[int, ...] | None, ...]


def open_tls(settings: Settings, clock: Clock) -> Tls | None:
    """Read and check the files that the settings name; None where they name none. Raises StartupError."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Tls(_Files(settings.tls_certificate, settings.tls_key, settings.tls_client_ca), clock)


class Tls:
    """The files as they were when they were last good; they are looked at with every new connection."""

    def __init__(self, files: _Files, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = files.look()  # before reading: what changes in between is read once more
        self._pair = files.read()
        self._tell()

    @property
    def asks_for_certificates(self) -> bool:
        """Whether callers have to show a certificate of their own."""
        return self._files.client_ca is not None

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a port of grpc's needs."""
        return grpc.dynamic_ssl_server_credentials(
            self._pair.configuration(),
            self.renewed,  # type: ignore[arg-type]  # None is how it says that nothing changed
            require_client_authentication=self.asks_for_certificates,
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what to use from now on, where the files have changed for the good; grpc asks before a handshake."""
        with self._lock:
            look = self._files.look()
            if look == self._seen:
                return None
            self._seen = look  # good or not: it is read once, and so told once
            try:
                self._pair = self._files.read()
            except StartupError as err:
                log.warning("the renewed certificate is not used, the one from before stays: %s", err)
                return None
            self._tell()
            return self._pair.configuration()

    def _tell(self) -> None:
        now, path = self._clock.now(), self._files.certificate
        if now > self._pair.not_after:
            log.warning("certificate %s: expired on %s; callers refuse it", path, _day(self._pair.not_after))
        elif now < self._pair.not_before:
            log.warning("certificate %s: not valid before %s; callers refuse it", path, _day(self._pair.not_before))
        else:
            log.info("certificate %s: valid until %s", path, _day(self._pair.not_after))


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate chain and its key, which belong together, and whose certificates callers may show; all in PEM."""

    chain: bytes
    key: bytes
    client_ca: bytes | None
    not_before: datetime
    not_after: datetime

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.client_ca)


@dataclass(frozen=True, slots=True)
class _Files:
    certificate: Path
    key: Path
    client_ca: Path | None

    def look(self) -> _Look:
        """What tells one state of the files from another, without reading them."""
        return tuple(_state(path) for path in (self.certificate, self.key, self.client_ca) if path is not None)

    def read(self) -> _Pair:
        """Read and check everything; what is checked is what is used. Raises StartupError."""
        chain = _content(self.certificate, "tls_certificate")
        key = _content(self.key, "tls_key", private=True)
        client_ca = _content(self.client_ca, "tls_client_ca") if self.client_ca is not None else None
        first = _certificates(chain, self.certificate, "tls_certificate")[0]
        if client_ca is not None and self.client_ca is not None:
            _certificates(client_ca, self.client_ca, "tls_client_ca")
        private = _private_key(key, self.key)
        if not _belong_together(first, private):
            raise StartupError(
                f"{flag('tls_key')}: {self.key} is not the key of the first certificate in {self.certificate}"
            )
        return _Pair(chain, key, client_ca, first.not_valid_before_utc, first.not_valid_after_utc)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns  # ctime: a chmod counts


def _content(path: Path, name: str, *, private: bool = False) -> bytes:
    try:
        # NONBLOCK: a pipe without a writer must not hold up the start
        with open(path, "rb", opener=lambda file, flags: os.open(file, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise StartupError(f"{flag(name)}: {path} is no file")
            if private:
                _check_private(path, status)
            return file.read()
    except (OSError, ValueError) as err:  # ValueError: a NUL in the path
        words = getattr(err, "strerror", None) or str(err)
        raise StartupError(f"{flag(name)}: {path} cannot be read: {words.lower()}") from err


def _check_private(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (os.geteuid(), _ROOT):
        raise StartupError(
            f"{flag('tls_key')}: {path} belongs to user {status.st_uid}; it must belong to the user that the server "
            f"runs as, {os.geteuid()}, or to root"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise StartupError(
            f"{flag('tls_key')}: {path} is open to others than its owner (mode {mode:04o}); make it 0600 or 0400"
        )


def _certificates(content: bytes, path: Path, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as err:
        raise StartupError(f"{flag(name)}: {path} holds no certificate in PEM, or a damaged one") from err


def _private_key(content: bytes, path: Path) -> PrivateKeyTypes:
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as err:  # how the library asks for a password
        raise StartupError(
            f"{flag('tls_key')}: {path} is encrypted, which is not supported; keep the key without a password, in a "
            "file of mode 0600"
        ) from err
    except (ValueError, UnsupportedAlgorithm) as err:
        raise StartupError(f"{flag('tls_key')}: {path} holds no private key in PEM, or a damaged one") from err
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_BITS_MIN:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return key
    raise StartupError(
        f"{flag('tls_key')}: {path} is of a kind that gRPC's clients do not take; make it RSA of at least "
        f"{_RSA_BITS_MIN} bits, or EC on P-256 or P-384"
    )


def _belong_together(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):  # a certificate of a kind that no key of ours has
        return False


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
