"""Where the server listens and who can reach it there, and the networks of others.

It says what an address is and whether something can listen there. Whether it may is the settings' to say.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_PORT = re.compile(r"\[(?P<v6>[^\]]+)\]:(?P<port6>[0-9]{1,5})|(?P<host>[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """`HOST:PORT` (with brackets around an IPv6 host) or, with `path`, a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `127.0.0.1:8470`, `localhost:0`, `[::]:8470` or `unix:/run/tagwright.sock`; raises ValueError."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").removeprefix("//")
            if not path or "\0" in path:
                raise ValueError("must be unix:PATH with a path")
            return cls(path=path)
        match = _HOST_PORT.fullmatch(text)
        port = int(match["port6"] or match["port"]) if match else 65_536
        if match is None or port > 65_535 or (match["v6"] and not _ipv6(match["v6"])):
            raise ValueError("must be HOST:PORT, with a port of at most 65535, or unix:PATH")
        return cls(host=match["v6"] or match["host"], port=port)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it: 127.0.0.1, [::1], localhost or a Unix socket."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name, which may mean any address
            return False

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
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as err:  # UnicodeError: a name with an empty or an endless part
            return _words(err)
        refusals = [said for family, _, _, _, where in found if (said := _refusal(family, where))]
        taken = [said for said in refusals if said.errno == errno.EADDRINUSE]
        # One of a name's addresses is enough for grpc: localhost is ::1 too, which not every machine has.
        if len(refusals) < len(found) and not taken:
            return None
        return _words((taken or refusals)[0])


def parse_networks(value: str | Iterable[object]) -> tuple[Network, ...]:
    """Read `10.0.0.0/8, 192.168.1.2`, or a list of such; raises ValueError, for everybody's network too."""
    parts = value.split(",") if isinstance(value, str) else map(str, value)
    return tuple(_network(part.strip()) for part in parts if part.strip())


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as err:
        raise ValueError(f"{text!r} is no network, as in 10.0.0.0/8, 192.168.1.2 or 2001:db8::/32") from err
    if network.prefixlen == 0:
        raise ValueError(f"{text} would trust everybody, and let every caller choose the address it seems to have")
    return network


def _refusal(family: int, where: tuple[Any, ...]) -> OSError | None:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as grpc does: old connections do not matter
            probe.bind(where)
    except OSError as err:
        return err
    return None


def _words(err: Exception) -> str:
    return (getattr(err, "strerror", None) or str(err)).lower()


def _ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
