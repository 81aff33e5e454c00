"""When two tags are the same, and what may be one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagwright_server.domain.tag_names import LONGEST, MOST, tag_name, tag_names, usable_names
from tagwright_server.errors import ArgumentInvalid


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("dog", "dog"),
        ("  Plant   Life ", "plant life"),
        ("plant_life", "plant_life"),
        ("DOG", "dog"),
        ("one\u00a0two\u2003three", "one two three"),
        ("one\ttwo\nthree", "one two three"),
        ("Cafe\u0301", "café"),
        ("ﬁsh", "fish"),
        ("ＤＯＧ", "dog"),
        ("Straße", "straße"),
        ("🐕", "🐕"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("שלום עולם", "שלום עולם"),
        ("كلب", "كلب"),
        ("犬", "犬"),
        ("<script>", "<script>"),
        ("'; DROP TABLE tag; --", "'; drop table tag; --"),
        ("100%", "100%"),
        ("_", "_"),
        ("..", ".."),
    ],
)
def test_names_that_differ_in_case_form_and_space_alone_are_equal(written: str, name: str) -> None:
    assert tag_name(written, field="tag") == name


@pytest.mark.parametrize("written", ["", " ", "\t\n", "\u00a0", "\u3000"])
def test_a_tag_without_letters_is_refused(written: str) -> None:
    with pytest.raises(ArgumentInvalid, match="empty") as refused:
        tag_name(written, field="add[3]")
    assert refused.value.field == "add[3]"


@pytest.mark.parametrize("written", ["\0", "do\0g", "do\x1bg", "do\x7fg", "do\x85\x9bg", "\ud800"])
def test_control_characters_are_refused(written: str) -> None:
    with pytest.raises(ArgumentInvalid, match="control") as refused:
        tag_name(written, field="tag")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("mark", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_marks_that_turn_text_round_are_refused(mark: str) -> None:
    with pytest.raises(ArgumentInvalid, match="control"):
        tag_name(f"do{mark}g", field="tag")


def test_a_tag_has_as_many_characters_as_it_may_once_it_is_folded() -> None:
    assert tag_name("x" * LONGEST, field="tag") == "x" * LONGEST
    assert tag_name(f"x{' ' * 500}y", field="tag") == "x y"
    assert tag_name("🐕" * LONGEST, field="tag") == "🐕" * LONGEST
    for written in ("x" * (LONGEST + 1), "x" * 10_000, "ﷺ" * 20, "\u0301" * 1_000_000, " " * 1_000_000):
        with pytest.raises(ArgumentInvalid):
            tag_name(written, field="tag")


def test_the_text_of_a_refusal_is_short_and_printable() -> None:
    with pytest.raises(ArgumentInvalid) as refused:
        tag_name("\x1b" + "é" * 100, field="tag")
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 400


def test_several_names_stand_in_their_order_each_once() -> None:
    assert tag_names(["Dog", "cat", " dog ", "ape", "CAT"], field="add") == ("dog", "cat", "ape")
    assert tag_names([], field="add") == ()


def test_which_of_several_is_wrong_is_said() -> None:
    with pytest.raises(ArgumentInvalid) as refused:
        tag_names(["dog", "", "cat"], field="add")
    assert refused.value.field == "add[1]"


def test_more_than_there_may_be_are_refused_even_where_all_are_the_same() -> None:
    assert len(tag_names([str(number) for number in range(MOST)], field="add")) == MOST
    with pytest.raises(ArgumentInvalid) as refused:
        tag_names(["dog"] * (MOST + 1), field="add")
    assert refused.value.field == "add"
    with pytest.raises(ArgumentInvalid):
        tag_names(["dog", "cat"], field="add", most=1)


def test_what_a_photo_carries_is_used_as_far_as_it_can_be() -> None:
    carried = ["Dog", "", "\0", "x" * 129, "dog", "cat", "\u202e", "ape"]
    assert usable_names(carried, most=10) == ("dog", "cat", "ape")
    assert usable_names(carried, most=2) == ("dog", "cat")
    assert usable_names(carried, most=0) == ()


@given(st.text(max_size=40))
def test_a_name_is_its_own_name(written: str) -> None:
    try:
        name = tag_name(written, field="tag")
    except ArgumentInvalid:
        return
    assert tag_name(name, field="tag") == name
    assert name == name.strip()
    assert 1 <= len(name) <= LONGEST
