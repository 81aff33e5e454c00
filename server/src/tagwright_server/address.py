"""Where the server listens: on this machine only, until there are accounts.

Everyone who reaches the server may use all of it, so an address that other machines can reach is refused.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass

_HOST_PORT = re.compile(r"\[(?P<v6>[^\]]+)\]:(?P<port6>[0-9]{1,5})|(?P<host>[^:\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """`HOST:PORT` (with brackets around an IPv6 host) or, with `path`, a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `127.0.0.1:8470`, `localhost:0`, `[::1]:8470` or `unix:/run/tagwright.sock`; raises ValueError."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").removeprefix("//")
            if not path or "\0" in path:
                raise ValueError("must be unix:PATH with a path")
            return cls(path=path)
        match = _HOST_PORT.fullmatch(text)
        port = int(match["port6"] or match["port"]) if match else 65_536
        if match is None or port > 65_535:
            raise ValueError("must be HOST:PORT, with a port of at most 65535, or unix:PATH")
        host = match["v6"] or match["host"]
        if not _loopback(host):
            raise ValueError(
                f"{host} can be reached from other machines, and until there are accounts Tagwright listens on this "
                "machine only: 127.0.0.1, [::1], localhost or unix:PATH"
            )
        return cls(host=host, port=port)

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def why_not(self) -> str | None:
        """Return in a few words why nothing can listen there just now; None where it can.

        grpc says no more than "failed to bind", and quietly takes a Unix socket away from who listens on it.
        """
        return self._why_not_path() if self.path else self._why_not_port()

    def _why_not_path(self) -> str | None:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.path)
            except FileNotFoundError:
                folder = os.path.dirname(os.path.abspath(self.path))
                return None if os.path.isdir(folder) else "its folder does not exist"
            except ConnectionRefusedError:  # left behind by a server that is gone: grpc replaces it
                return None
            except OSError as err:
                return _words(err)
        return "another server listens there"

    def _why_not_port(self) -> str | None:
        with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as grpc does: old connections do not matter
            try:
                probe.bind((self.host, self.port))
            except OSError as err:
                return _words(err)
        return None


def _words(err: OSError) -> str:
    return (err.strerror or str(err)).lower()


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
