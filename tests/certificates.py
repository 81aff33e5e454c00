"""Certificates that tests make themselves, as the files that an operator has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme


@dataclass(frozen=True)
class Files:
    """A certificate and its key."""

    certificate: Path
    key: Path

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that name them."""
        return {"tls_certificate": self.certificate, "tls_key": self.key}

    def renew(self, leaf: trustme.LeafCert) -> None:
        """Put another certificate and its key in their place, as programs do that renew them."""
        replace(self.certificate, b"".join(part.bytes() for part in leaf.cert_chain_pems))
        replace(self.key, leaf.private_key_pem.bytes())


def issue(ca: trustme.CA, **options: Any) -> trustme.LeafCert:
    """A certificate for this machine."""
    return ca.issue_cert("localhost", "127.0.0.1", "::1", **options)


def write(folder: Path, leaf: trustme.LeafCert) -> Files:
    """Write the files, the key for nobody but us."""
    files = Files(folder / "server.pem", folder / "server.key")
    files.renew(leaf)
    return files


def write_ca(folder: Path, ca: trustme.CA) -> Path:
    """Write an authority's certificate."""
    path = folder / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


def replace(path: Path, content: bytes) -> None:
    """Put a new file of mode 0600 in a file's place at once."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(0o600)
    os.replace(new, path)
