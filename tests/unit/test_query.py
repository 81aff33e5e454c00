"""The query language: what reads as what, and that any text at all is either read or refused at a place."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tagwright_server.domain.tag_names import tag_name
from tagwright_server.errors import ArgumentInvalid, QueryInvalid
from tagwright_server.search import parser
from tagwright_server.search.query import (
    And,
    AuthorFilter,
    DateFilter,
    Day,
    Everything,
    Node,
    Not,
    Or,
    OwnerFilter,
    SizeFilter,
    Span,
    State,
    TagTerm,
    Untagged,
    When,
    leaves,
)

TRIES = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
DOG, CAT, SEA = TagTerm("dog"), TagTerm("cat"), TagTerm("sea")


def read(text: str) -> Node:
    return parser.parse(text, tag_name=partial(tag_name, field="query"))


def refused(text: str) -> QueryInvalid:
    with pytest.raises(QueryInvalid) as raised:
        read(text)
    see_refusal(raised.value, text)
    return raised.value


def see_refusal(error: QueryInvalid, text: str) -> None:
    """Fail where a refusal does not say where in the text, and what was expected there."""
    assert 0 <= error.position <= len(text)
    assert error.expected
    assert error.metadata == {"field": "query", "position": str(error.position), "expected": error.expected}
    assert str(error).isprintable()
    assert len(str(error)) < 700


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", Everything()),
        (" \t\n\u3000", Everything()),
        ("dog", DOG),
        ("  DOG ", DOG),
        ('"black  Cat"', TagTerm("black cat")),
        ("dog cat", And((DOG, CAT))),
        ("dog & cat", And((DOG, CAT))),
        ("dog&cat", And((DOG, CAT))),
        ("dog AND cat and sea", And((DOG, CAT, SEA))),
        ("dog | cat", Or((DOG, CAT))),
        ("dog or cat OR sea", Or((DOG, CAT, SEA))),
        ("!dog", Not(DOG)),
        ("NOT dog", Not(DOG)),
        ("dog !cat", And((DOG, Not(CAT)))),
        ("!dog cat", And((Not(DOG), CAT))),
        ("!!dog", DOG),
        ("!!!dog", Not(DOG)),
        ("dog | cat & sea", Or((DOG, And((CAT, SEA))))),
        ("dog & cat | sea", Or((And((DOG, CAT)), SEA))),
        ("dog cat | sea", Or((And((DOG, CAT)), SEA))),
        ("(dog | cat) sea", And((Or((DOG, CAT)), SEA))),
        ("!(dog | cat) & sea", And((Not(Or((DOG, CAT))), SEA))),
        ("dog & (cat & sea)", And((DOG, CAT, SEA))),
        ("((((dog))))", DOG),
        ("dog & (beach | sea) & !people", And((DOG, Or((TagTerm("beach"), SEA)), Not(TagTerm("people"))))),
        ("dog:confirmed", TagTerm("dog", State.CONFIRMED)),
        ("Dog:SUGGESTED", TagTerm("dog", State.SUGGESTED)),
        ('"black cat":rejected', TagTerm("black cat", State.REJECTED)),
        ('"owner":confirmed', TagTerm("owner", State.CONFIRMED)),
        ("untagged", Untagged()),
        ("UNTAGGED", Untagged()),
        ('"untagged"', TagTerm("untagged")),
        ('"and" "OR" "not"', And((TagTerm("and"), TagTerm("or"), TagTerm("not")))),
        ("owner:Ann-1_x", OwnerFilter("Ann-1_x")),
        ('OWNER:"Ann B."', OwnerFilter("Ann B.")),
        ('author:"O\\"Neill \\\\ Sons"', AuthorFilter('O"Neill \\ Sons')),
        ("date:2024-05-17", DateFilter(When.DATE, Span(Day("2024-05-17"), Day("2024-05-17")))),
        ("taken:2024", DateFilter(When.TAKEN, Span(Day("2024"), Day("2024")))),
        ("stored:2024-05..2024-06-01", DateFilter(When.STORED, Span(Day("2024-05"), Day("2024-06-01")))),
        ("date:..2024", DateFilter(When.DATE, Span(None, Day("2024")))),
        ("date:2024..", DateFilter(When.DATE, Span(Day("2024"), None))),
        ("Date:<2024", DateFilter(When.DATE, Span(None, Day("2024"), beyond=True))),
        ("date:>2024", DateFilter(When.DATE, Span(Day("2024"), None, beyond=True))),
        ("date:<=2024", DateFilter(When.DATE, Span(None, Day("2024")))),
        ("date:>=2024", DateFilter(When.DATE, Span(Day("2024"), None))),
        ("size:>1000", SizeFilter(Span(1000, None, beyond=True))),
        ("size:1000", SizeFilter(Span(1000, 1000))),
        ("size:640..1000", SizeFilter(Span(640, 1000))),
        ("dog-house", TagTerm("dog-house")),
        ("o'brien; drop table tag; --", And(tuple(map(TagTerm, ["o'brien;", "drop", "table", "tag;", "--"])))),
        ("100% _ * ?", And(tuple(map(TagTerm, ["100%", "_", "*", "?"])))),
        ("🐕 שלום", And((TagTerm("🐕"), TagTerm("שלום")))),
        ('"say \\"hi\\""', TagTerm('say "hi"')),
    ],
)
def test_a_query_reads_as_the_contract_says(text: str, tree: Node) -> None:
    assert read(text) == tree


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("dog &", 5),
        ("& dog", 0),
        ("dog | | cat", 6),
        ("dog !", 5),
        ("(dog", 4),
        ("dog)", 3),
        ("()", 1),
        ("dog :confirmed", 4),
        ("dog: confirmed", 4),
        ("dog:", 4),
        ("dog:perhaps", 4),
        (":confirmed", 0),
        ('"dog', 4),
        ('"dog\\', 5),
        ('"do\\g"', 4),
        ('dog ""', 4),
        ('dog "  "', 4),
        ('owner:""', 6),
        ("owner:", 6),
        ("owner: ann", 6),
        ("date:today", 5),
        ("date:2024-13", 5),
        ("date:2023-02-29", 5),
        ("date:0000", 5),
        ("date:2024-1-1", 5),
        ("date:..", 5),
        ("date:2024..x", 11),
        ("date:>", 6),
        ("date:>2024..2025", 6),
        ('date:"2024"', 5),
        ("date:٢٠٢٤", 5),
        ("size:big", 5),
        ("size:-1", 5),
        ("size:1.5", 5),
        ("size:9999999999", 5),
        ("size:>=", 7),
        ("untagged:2024", 9),
        ("do\0g", 0),
        ("cat do\ud800g", 4),
        ("cat \u202edog", 4),
        ("x" * 129, 0),
        ("a" * 4097, 4096),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_is_wrong(text: str, position: int) -> None:
    assert refused(text).position == position


def test_the_text_of_a_refusal_counts_from_one_and_says_what_was_expected() -> None:
    assert str(refused("dog & | cat")) == 'at character 7, a tag, a filter, "!" or "(" was expected, not "|"'


def test_a_query_has_as_many_tags_and_filters_as_it_may() -> None:
    assert len(list(leaves(read(" ".join(["dog"] * 64))))) == 64
    most = " | ".join(["dog", "size:1"] * 32)
    assert len(list(leaves(read(most)))) == 64
    assert refused(f"{most} cat").position == len(most) + 1
    assert refused(" ".join(["d"] * 2048)).position == 128


def test_parentheses_go_as_deep_as_they_may() -> None:
    assert read("(" * 16 + "dog" + ")" * 16) == DOG
    assert refused("(" * 17 + "dog" + ")" * 17).position == 16
    beside = " ".join("(" * 16 + f"t{number}" + ")" * 16 for number in range(60))
    assert len(list(leaves(read(beside)))) == 60


@pytest.mark.parametrize(
    "text",
    [
        "!" * 4096,
        "(" * 4096,
        ")" * 4096,
        '"' * 4095,
        "\\" * 4096,
        ":" * 4096,
        "&" * 4096,
        "dog:" * 1024,
        "((" * 1000 + "dog" + "))" * 1000,
        "NOT " * 1024,
        '"' + "\\" * 4094,
        "a " * 2048,
        "(a|" * 1365,
        "." * 4096,
        "date:" + "." * 4000,
        "\u0301" * 4096,
        "ﷺ" * 4096,
        "x " * 5_000,
        "(" * 100_000,
        "a" * 10_000_000,
    ],
)
def test_what_is_meant_to_take_long_is_refused_after_a_glance(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    look = parser._Parser._read

    def counted(self: parser._Parser, at: int) -> parser._Token:
        nonlocal steps
        steps += 1
        return look(self, at)

    monkeypatch.setattr(parser._Parser, "_read", counted)
    refused(text)
    assert steps <= 4097


def test_any_number_of_nots_are_one_or_none() -> None:
    assert read("!" * 4092 + "dog") == DOG
    assert read("!" * 4093 + "dog") == Not(DOG)


DAYS = st.sampled_from(["2024", "2024-05", "2024-05-17", "0001", "9999-12-31", "1969-12"]).map(Day)
SIDES = st.integers(0, 999_999_999)
STATES = st.sampled_from(State)


def spans(ends: st.SearchStrategy[Day] | st.SearchStrategy[int]) -> st.SearchStrategy[Span]:
    return st.one_of(
        st.builds(Span, ends, ends),
        st.builds(lambda end: Span(end, end), ends),
        st.builds(lambda end, beyond: Span(end, None, beyond), ends, st.booleans()),
        st.builds(lambda end, beyond: Span(None, end, beyond), ends, st.booleans()),
    )


def is_name(text: str) -> bool:
    try:
        return tag_name(text, field="") == text
    except ArgumentInvalid:
        return False


KEYWORDS = ["and", "or", "not", "untagged", "owner", "author", "date", "taken", "stored", "size", "confirmed"]
TAG_NAMES = st.one_of(
    st.sampled_from([*KEYWORDS, 'a"b', "a\\b", "a:b", "a & b", "(", "!", "\\", '\\"', "black cat", "..", "<2024", "%"]),
    st.text(min_size=1, max_size=12).map(lambda text: " ".join(text.lower().split())).filter(is_name),
)
PERSONS = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip())) | st.sampled_from(KEYWORDS)
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(TagTerm, TAG_NAMES, STATES),
    st.builds(OwnerFilter, PERSONS),
    st.builds(AuthorFilter, PERSONS),
    st.builds(DateFilter, st.sampled_from(When), spans(DAYS)),
    st.builds(SizeFilter, spans(SIDES)),
    st.just(Untagged()),
)


def grouped(kind: type[And] | type[Or]) -> st.SearchStrategy[Node]:
    """Several parts, none of the same kind: as it would be read."""

    def flat(parts: list[Node]) -> Node:
        found: list[Node] = []
        for part in parts:
            found += part.parts if isinstance(part, kind) else [part]
        return kind(tuple(found))

    return st.deferred(lambda: st.lists(TREES, min_size=2, max_size=4).map(flat))


TREES: st.SearchStrategy[Node] = st.one_of(
    LEAVES,
    LEAVES,
    grouped(And),
    grouped(Or),
    st.deferred(lambda: TREES.map(lambda part: part.part if isinstance(part, Not) else Not(part))),
)


def depth(node: Node) -> int:
    """How deep its parentheses go."""
    if isinstance(node, Not):
        return depth(node.part) + isinstance(node.part, And | Or)
    if isinstance(node, And | Or):
        return max(depth(part) + (isinstance(node, And) and isinstance(part, Or)) for part in node.parts)
    return 0


@TRIES
@given(TREES)
def test_what_is_written_out_reads_as_the_same_tree(tree: Node) -> None:
    text = str(tree)
    if len(list(leaves(tree))) <= 64 and depth(tree) <= 16 and len(text) <= 4096:
        assert read(text) == tree


HOSTILE = st.lists(
    st.sampled_from(["&", "|", "!", "(", ")", '"', ":", "\\", " ", "dog", "NOT", "or", "date:", "..", "2024", "\0"]),
    max_size=40,
).map("".join)
ANY_TEXT = st.text(max_size=60) | st.text(st.characters(), max_size=60) | HOSTILE


@settings(TRIES, max_examples=1500)
@given(ANY_TEXT)
@example("\ud800")
@example('"\ud800"')
@example("owner:\ud800")
@example("\u202e\u2066!\u0301")
@example("dog:\u200b")
@example("ſize:1")
@example("ﬁsh:ﬁsh")
@example("\x1c\x1d\x1e\x1f\x85")
def test_any_text_is_read_or_refused_at_a_place(text: str) -> None:
    try:
        tree = read(text)
    except QueryInvalid as error:
        see_refusal(error, text)
        return
    written = str(tree)
    again = read(written)
    assert again == tree
    assert str(again) == written
