"""How a connection keeps what it carries secret: TLS to other machines, none needed within this one.

Promises that no token and no password leaves this machine in plaintext unless the caller said `insecure=True`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import grpc

from ._errors import ArgumentInvalid, FieldViolation
from ._token import CallCredentials, CallMetadata

FilePath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Security:
    """What the caller said about it: PEM files of certificates, and whether plaintext will do."""

    ca_file: FilePath | None = None
    client_certificate_file: FilePath | None = None
    client_key_file: FilePath | None = None
    insecure: bool = False

    def check(self, *, secure: bool) -> None:
        """Refuse what does not fit a URL with TLS (`secure`) or without: it would be ignored without a word."""
        if secure and self.insecure:
            raise refused("insecure", "grpcs:// is never insecure; a private authority is named by ca_file")
        for field in ("ca_file", "client_certificate_file", "client_key_file"):
            if not secure and getattr(self, field) is not None:
                raise refused(field, "only a URL that begins with grpcs:// uses certificates")
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            missing = "client_key_file" if self.client_key_file is None else "client_certificate_file"
            raise refused(missing, "a client certificate and its key go together")


def tls_credentials(security: Security, metadata: CallMetadata) -> grpc.ChannelCredentials:
    """Return TLS with the authorities and the client certificate that were named; without, grpc's own authorities."""
    authorities = _authorities(security.ca_file) if security.ca_file is not None else None
    certificate = key = None
    if security.client_certificate_file is not None and security.client_key_file is not None:
        certificate, key = _pair(security.client_certificate_file, security.client_key_file)
    return _signed(grpc.ssl_channel_credentials(authorities, private_key=key, certificate_chain=certificate), metadata)


def local_credentials(kind: grpc.LocalConnectionType, metadata: CallMetadata) -> grpc.ChannelCredentials:
    """Return plaintext within this machine: grpc looks at the peer's address and refuses any other machine."""
    return _signed(grpc.local_channel_credentials(kind), metadata)


def refused(field: str, why: str) -> ArgumentInvalid:
    """Return the error of one argument."""
    return ArgumentInvalid(f"{field}: {why}", field_violations=[FieldViolation(field=field, description=why)])


def _signed(credentials: grpc.ChannelCredentials, metadata: CallMetadata) -> grpc.ChannelCredentials:
    calls = grpc.metadata_call_credentials(CallCredentials(metadata), name="tagwright-token")
    return grpc.composite_channel_credentials(credentials, calls)


def _authorities(path: FilePath) -> bytes:
    import ssl  # here: most clients never need it

    pem = _read("ca_file", path)
    try:
        ssl.create_default_context(cadata=pem.decode())
    except (ssl.SSLError, ValueError, TypeError) as err:  # TypeError: not ASCII
        raise refused("ca_file", f"{os.fspath(path)!r} holds no certificates in PEM form") from err
    return pem


def _pair(certificate_path: FilePath, key_path: FilePath) -> tuple[bytes, bytes]:
    import ssl

    certificate, key = _read("client_certificate_file", certificate_path), _read("client_key_file", key_path)
    asked = False

    def no_password() -> str:  # without it OpenSSL would ask on the terminal
        nonlocal asked
        asked = True
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate_path, key_path, no_password)
    except (ssl.SSLError, ValueError, OSError) as err:
        if asked:
            raise refused("client_key_file", f"{os.fspath(key_path)!r} is encrypted, which is not supported") from None
        both = f"{os.fspath(certificate_path)!r} and {os.fspath(key_path)!r}"
        raise refused("client_certificate_file", f"{both} are no certificate and its key in PEM form") from err
    return certificate, key


def _read(field: str, path: FilePath) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        why = getattr(err, "strerror", None) or str(err)
        raise refused(field, f"cannot read {os.fspath(path)!r}: {why}") from err
