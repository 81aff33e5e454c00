"""Who called: grpc's own words for it, and what proxies add, believed only as far as they are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwright_server.address import Network, parse_networks
from tagwright_server.transport.peer import peer_of, throttle_group

TRUSTED = parse_networks("10.0.0.0/8,2001:db8:ff::/48")
FROM_PROXY = "ipv4:10.0.0.1:5"


@pytest.mark.parametrize(
    ("context_peer", "peer"),
    [
        ("ipv4:192.0.2.7:50123", "192.0.2.7"),
        ("ipv6:%5B::1%5D:50123", "::1"),
        ("ipv6:[::1]:50123", "::1"),
        ("ipv6:%5B2001:DB8:0:0::1%5D:5", "2001:db8::1"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:5", "192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D:5", "fe80::1"),
        ("unix:", "unix"),
        ("unix:/run/t.sock", "unix"),
        ("unix-abstract:name", "unix"),
    ],
)
def test_grpcs_words_for_a_peer_become_its_address(context_peer: str, peer: str) -> None:
    assert peer_of(context_peer, [], ()) == peer


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        ":",
        "ipv4:",
        "ipv4:1.2.3",
        "ipv6:%5B%5D:1",
        "ipv6:[::1",
        "vsock:1:2",
        "ipv4:1.2.3.4:5:6",
        "ipv4:%00",
        "unixx:",
    ],
)
def test_what_is_no_peer_is_unknown(nonsense: str) -> None:
    assert peer_of(nonsense, ["192.0.2.7"], TRUSTED) == "unknown"


@pytest.mark.parametrize("context_peer", ["ipv4:192.0.2.7:5", "ipv4:11.0.0.1:5", "ipv6:%5B::ffff:192.0.2.7%5D:5"])
@pytest.mark.parametrize("trusted", [(), TRUSTED])
def test_a_caller_who_is_no_trusted_proxy_cannot_choose_its_address(
    context_peer: str, trusted: Sequence[Network]
) -> None:
    assert peer_of(context_peer, ["203.0.113.9"], trusted) == peer_of(context_peer, [], ())


def test_without_trusted_proxies_not_even_loopback_or_a_socket_can_choose() -> None:
    assert peer_of("ipv4:127.0.0.1:5", ["203.0.113.9"], ()) == "127.0.0.1"
    assert peer_of("unix:", ["203.0.113.9"], TRUSTED) == "unix"


@pytest.mark.parametrize(
    ("forwarded_for", "peer"),
    [
        ([], "10.0.0.1"),
        (["192.0.2.7"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7"], "192.0.2.7"),  # the left one is what the caller itself claimed
        (["203.0.113.9", "192.0.2.7"], "192.0.2.7"),  # the same as two headers
        (["203.0.113.9, 192.0.2.7, 10.9.9.9"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7, 2001:db8:ff::2, 10.9.9.9"], "192.0.2.7"),
        (["10.3.3.3, 10.2.2.2"], "10.3.3.3"),  # nobody but proxies: the one farthest away
        (["192.0.2.7, nonsense"], "10.0.0.1"),
        (["192.0.2.7, nonsense, 10.2.2.2"], "10.2.2.2"),
        (["192.0.2.7,"], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["unknown"], "10.0.0.1"),
        (["192.0.2.7:4711"], "192.0.2.7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["::ffff:10.2.2.2"], "10.2.2.2"),  # trusted, whatever it wears
        (["fe80::1%made-up"], "fe80::1"),
    ],
)
def test_behind_trusted_proxies_the_last_untrusted_hop_is_the_caller(forwarded_for: list[str], peer: str) -> None:
    assert peer_of(FROM_PROXY, forwarded_for, TRUSTED) == peer


@given(claimed=st.text(max_size=40), seen=st.ip_addresses(v=4).filter(lambda ip: ip not in TRUSTED[0]))
def test_nothing_a_caller_writes_into_the_header_changes_what_the_proxy_saw(claimed: str, seen: IPv4Address) -> None:
    assert peer_of(FROM_PROXY, [f"{claimed}, {seen}"], TRUSTED) == str(seen)
    assert peer_of(FROM_PROXY, [claimed, str(seen)], TRUSTED) == str(seen)


@given(context_peer=st.text(), forwarded_for=st.lists(st.text(), max_size=4))
def test_nonsense_never_raises(context_peer: str, forwarded_for: list[str]) -> None:
    for scheme in ("", "ipv4:", "ipv6:", "unix:"):
        peer = peer_of(scheme + context_peer, forwarded_for, TRUSTED)
        assert throttle_group(peer)
    assert peer_of(FROM_PROXY, forwarded_for, TRUSTED)


@pytest.mark.parametrize(
    ("peer", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("unix", "unix"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_an_ipv6_network_of_64_bits_counts_as_one_caller(peer: str, group: str) -> None:
    assert throttle_group(peer) == group
