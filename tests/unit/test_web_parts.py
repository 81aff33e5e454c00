"""Parts of the web pages by themselves: queries that they build, tokens of forms, clients that they keep."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagwright_client import ArgumentInvalid, TokenInvalid
from tagwright_server.domain.tag_names import tag_name
from tagwright_server.errors import ArgumentInvalid as Refused
from tagwright_server.errors import QueryInvalid
from tagwright_server.search import parser
from tagwright_server.search import query as server
from tagwright_server.search.query import And, Not, Or, TagTerm
from tagwright_web import sessions
from tagwright_web.clients import Clients
from tagwright_web.pages import bytes_in_words, here, percent, segment
from tagwright_web.queries import narrowed, word

DOG, CAT, SEA = TagTerm("dog"), TagTerm("cat"), TagTerm("sea")
TRIES = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=12)


def read(text: str) -> server.Node:
    return parser.parse(text, tag_name=partial(tag_name, field="query"))


@TRIES
@given(NAMES)
def test_a_tag_is_written_as_the_server_writes_it(name: str) -> None:
    assert word(name) == server.word(name)


@pytest.mark.parametrize(
    ("query", "without", "tree"),
    [
        ("", False, DOG),
        ("", True, Not(DOG)),
        ("cat", False, And((CAT, DOG))),
        ("cat sea", True, And((CAT, SEA, Not(DOG)))),
        ("cat | sea", False, And((Or((CAT, SEA)), DOG))),
        ("cat OR sea", True, And((Or((CAT, SEA)), Not(DOG)))),
        ("(cat | sea)", False, And((Or((CAT, SEA)), DOG))),
        ('"cat | sea"', False, And((TagTerm("cat | sea"), DOG))),
        ('"cat \\" | sea"', False, And((TagTerm('cat " | sea'), DOG))),
        ("(cat)or(sea)", False, And((Or((CAT, SEA)), DOG))),
        ('"cat"OR sea', False, And((Or((CAT, SEA)), DOG))),
    ],
)
def test_one_more_tag_narrows_all_of_a_query(query: str, without: bool, tree: server.Node) -> None:
    assert read(narrowed(query, "dog", without=without)) == tree


@TRIES
@given(st.lists(st.sampled_from([*'ab|&!() "\\', "or"]), max_size=16).map("".join), NAMES)
def test_what_narrows_a_query_that_can_be_read_can_be_read_and_means_both(query: str, name: str) -> None:
    try:
        before, term = read(query), read(word(name))
    except (QueryInvalid, Refused):
        return
    after = read(narrowed(query, name))
    if isinstance(before, server.Everything):
        assert after == term
    else:
        parts = before.parts if isinstance(before, And) else (before,)
        assert after == read(str(And((*parts, term))))


def test_a_form_token_holds_for_one_secret_alone() -> None:
    token = sessions.form_token("secret")
    assert sessions.is_form_token("secret", token)
    assert not sessions.is_form_token("another", token)
    assert sessions.form_token("secret") != token
    for forged in ("", ".", token[:-1], token + "0", "x" + token, token.replace(".", ""), "é.é", "\ud800.x"):
        assert not sessions.is_form_token("secret", forged)


@dataclass
class FakeClient:
    """A client that only knows whether it is open."""

    token: str | None
    closed: bool = False

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Door:
    """Opens clients, and remembers them."""

    opened: list[FakeClient] = field(default_factory=list)

    def connect(self, token: str | None, address: str | None) -> FakeClient:
        if token == "rubbish":
            raise ArgumentInvalid("the token is none of Tagwright's")
        self.opened.append(FakeClient(token))
        return self.opened[-1]


def _clients(door: Door, **options: int) -> Clients:
    return Clients(door.connect, **options)  # type: ignore[arg-type]  # all that it uses of a client


def test_a_client_is_kept_for_a_token_and_an_address() -> None:
    door = Door()
    clients = _clients(door)
    with clients.lend("a", "1") as first, clients.lend("a", "1") as again, clients.lend("a", "2") as elsewhere:
        assert first is again
        assert first is not elsewhere
    with clients.lend("a", "1") as later:
        assert later is first
    clients.close()
    assert [each.closed for each in door.opened] == [True, True]


def test_without_a_token_everybody_has_a_client_of_their_own() -> None:
    door = Door()
    with _clients(door).lend(None, "1"):
        assert not door.opened[0].closed
    assert door.opened[0].closed


def test_a_token_that_can_be_none_is_a_session_that_ended() -> None:
    with pytest.raises(TokenInvalid), _clients(Door()).lend("rubbish", "1"):
        pytest.fail("lent")


def test_the_ones_used_last_are_kept_and_none_is_closed_in_use() -> None:
    door = Door()
    clients = _clients(door, most=2)
    with clients.lend("a", None):
        for token in ("b", "c", "d"):
            with clients.lend(token, None):
                pass
        assert [each.token for each in door.opened if each.closed] == ["b", "c"]
    assert not door.opened[0].closed


def test_a_client_that_is_not_wanted_any_more_is_closed_when_its_call_is_over() -> None:
    door = Door()
    clients = _clients(door)
    with clients.lend("a", None):
        clients.forget("a")
        with clients.lend("a", None):
            assert [each.closed for each in door.opened] == [False, False]
    assert [each.closed for each in door.opened] == [True, False]


def test_threads_share_them() -> None:
    door = Door()
    clients = _clients(door, most=3)

    def use(number: int) -> None:
        for turn in range(50):
            with clients.lend(f"t{(number + turn) % 6}", None) as client:
                assert not client.closed  # type: ignore[attr-defined]

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clients.close()
    assert all(each.closed for each in door.opened)


def test_words_and_addresses() -> None:
    assert [percent(score) for score in (None, 0.0, 0.004, 0.996, 1.0)] == ["not judged", "0 %", "0 %", "99 %", "100 %"]
    assert [bytes_in_words(size) for size in (999, 2048, 3 * 1024**3)] == ["999 bytes", "2.0 KiB", "3.0 GiB"]
    assert here("/search", q="a & b", order=None, like="") == "/search?q=a+%26+b"
    assert segment("a/b ?#") == "a%2Fb%20%3F%23"
