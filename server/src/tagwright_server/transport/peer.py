"""Who called, as an address that the record of changes and the limits of logins can use.

Promises: never raises, whatever the network says, and never believes a caller's own word: `x-forwarded-for` counts only
as far as it was written by proxies that the settings name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import unquote

from tagwright_server.address import Network

UNIX = "unix"
UNKNOWN = "unknown"

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV6_GROUP_BITS = 64  # what one customer of a network gets at least, so that its addresses count as one caller
_PORT = r"(?::[0-9]{1,5})?"
_BRACKETS = re.compile(rf"\[(?P<ip>[^\[\]]*)\]{_PORT}")
_IPV4 = re.compile(rf"(?P<ip>[0-9.]+){_PORT}")


def peer_of(context_peer: str, forwarded_for: Sequence[str], trusted_proxies: Sequence[Network]) -> str:
    """Return the caller's IP address, `unix` for a socket of this machine, `unknown` for what is neither.

    `context_peer` is grpc's `context.peer()`; `forwarded_for` are the values of `x-forwarded-for`, in the order they
    came in. A trusted proxy adds on the right whom it was called by, so the last one who is not trusted is the caller.
    """
    scheme, _, rest = context_peer.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return UNIX
    peer = _ip(unquote(rest)) if scheme in ("ipv4", "ipv6") else None
    if peer is None:
        return UNKNOWN
    hops = ",".join(forwarded_for).split(",") if _trusted(peer, trusted_proxies) else []
    for hop in reversed(hops):
        came_from = _ip(hop.strip(" \t"))
        if came_from is None:
            break
        peer = came_from
        if not _trusted(peer, trusted_proxies):
            break
    return str(peer)


def throttle_group(peer: str) -> str:
    """Return what `peer` is counted under: an IPv4 address alone, an IPv6 address with its whole /64."""
    ip = _ip(peer)
    if not isinstance(ip, ipaddress.IPv6Address):
        return peer
    return str(ipaddress.IPv6Network((ip, _IPV6_GROUP_BITS), strict=False))


def _trusted(ip: _Ip, trusted_proxies: Sequence[Network]) -> bool:
    return any(ip in network for network in trusted_proxies)


def _ip(text: str) -> _Ip | None:
    """Read an address with or without brackets, port and zone; an IPv4 address in IPv6's clothes is an IPv4 address."""
    match = _BRACKETS.fullmatch(text) or _IPV4.fullmatch(text)
    try:
        ip = ipaddress.ip_address((match["ip"] if match else text).partition("%")[0])
    except ValueError:
        return None
    return ip if ip.version == 4 else ip.ipv4_mapped or ip
