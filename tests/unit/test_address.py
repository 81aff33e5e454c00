"""Addresses: what is one, who can reach it, and why nothing can listen there."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tagwright_server.address import Address, parse_networks


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:8470", True),
        ("127.255.0.3:0", True),
        ("localhost:1", True),
        ("[::1]:65535", True),
        ("unix:/run/t.sock", True),
        ("unix:t.sock", True),
        ("0.0.0.0:8470", False),
        ("[::]:0", False),
        ("192.168.1.2:8470", False),
        ("[2001:db8::1]:1", False),
        ("[fe80::1%eth0]:1", False),
        ("example.org:443", False),
        ("localhost.example.org:1", False),
        ("127.0.0.1.example.org:1", False),
        ("127.1:1", False),  # a name, as far as we know
    ],
)
def test_an_address_is_read_and_written_and_says_whether_others_reach_it(text: str, loopback: bool) -> None:
    address = Address.parse(text)
    assert (str(address), address.loopback) == (text, loopback)


@pytest.mark.parametrize(
    "text",
    [
        *("", "8470", ":8470", "host", "host:", "host:65536", "host:-1", "host:1x"),
        *("::1:1", "[host]:1", "[]:1", "[127.0.0.1]:1", "[::1]"),
        *("a b:1", "a\0b:1", "a/b:1", "ho\nst:1", "hôst:1", "dns:///host:1", "unix:", "unix:a\0b"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Address.parse(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_port_in_use_is_told_and_a_free_one_is_not(host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert Address(host=host, port=port).why_not() == "address already in use"
    assert Address(host=host, port=0).why_not() is None


def test_an_address_of_another_machine_is_told() -> None:
    assert Address(host="192.0.2.1", port=0).why_not() == "cannot assign requested address"


def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert Address(host="nowhere.example", port=0).why_not() == "name or service not known"


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
def test_a_name_that_cannot_be_one_is_told_in_a_few_words(host: str) -> None:
    assert re.search("label (empty )?or too long|label too long", Address(host=host, port=0).why_not() or "")


def test_a_name_listens_where_one_of_its_addresses_can(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_this_machine_and_not(*args: object, **options: object) -> list[tuple[object, ...]]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("192.0.2.1", 0)), (*kind, ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", of_this_machine_and_not)
    assert Address(host="both.example", port=0).why_not() is None


def test_a_socket_in_use_or_without_a_folder_is_told_and_a_left_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        assert Address(path=str(path)).why_not() == "another server listens there"
    assert Address(path=str(path)).why_not() is None
    assert Address(path=str(tmp_path / "none" / "socket")).why_not() == "its folder does not exist"


def test_networks_are_read_from_a_text_or_a_list() -> None:
    assert list(map(str, parse_networks("10.0.0.0/8, ::1,"))) == ["10.0.0.0/8", "::1/128"]
    assert parse_networks(parse_networks(["10.0.0.0/8"])) == parse_networks("10.0.0.0/8")
    assert parse_networks("") == ()


@pytest.mark.parametrize("text", ["10", "10.0.0.1/8", "proxy", "10.0.0.0/33", "0.0.0.0/0", "::/0"])
def test_what_is_no_network_or_everybodys_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no network|would trust everybody"):
        parse_networks(text)
