"""Reads a query (search_service.proto) into a tree, or says where it cannot and what it expected there.

    or   = and { "|" and }          "|" or OR
    and  = not { ["&"] not }        "&" or AND, or nothing
    not  = { "!" } atom             "!" or NOT
    atom = "(" or ")" | name [":" state] | filter ":" value | "untagged"

Total: any text gives a tree or QueryInvalid, in time that grows with its length, and no deeper than DEEPEST.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tagwright_server.errors import ArgumentInvalid, QueryInvalid
from tagwright_server.search.query import (
    FILTERS,
    OPERATORS,
    SPECIAL,
    UNTAGGED,
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
)

LONGEST = 4096  # characters; all three as the contract says (search_service.proto)
MOST_TERMS = 64
DEEPEST = 16

_SHOWN = 40  # characters of what was found
_SYMBOLS = {"&": "and", "|": "or", "!": "not"}
_STATES = {state.value: state for state in State if state.value}
_DAY = re.compile(r"[0-9]{4}(-[0-9]{2}){0,2}", re.ASCII)
_PIXELS = re.compile(r"[0-9]{1,9}", re.ASCII)
_A_TERM = 'a tag, a filter, "!" or "("'
_MORE = 'another tag or filter, "&", "|" or the end'
_A_DAY = "a year, month or day such as 2024, 2024-05 or 2024-05-17"
_A_SIZE = "a number of pixels"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # and, or, not, (, ), :, word, quoted, end
    text: str
    at: int
    end: int


def parse(text: str, *, tag_name: Callable[[str], str]) -> Node:
    """Read a query; `tag_name` returns the name that tags have for one as it is written, or raises ArgumentInvalid.

    Raises QueryInvalid.
    """
    if len(text) > LONGEST:
        raise QueryInvalid(f"{len(text):,}", position=LONGEST, expected=f"the end of a query of at most {LONGEST:,}")
    return _Parser(text, tag_name).parse()


class _Parser:
    def __init__(self, text: str, tag_name: Callable[[str], str]) -> None:
        self._text = text
        self._tag_name = tag_name
        self._terms = 0
        self._token = self._read(0)

    def parse(self) -> Node:
        if self._token.kind == "end":
            return Everything()
        node = self._or(depth=0)
        if self._token.kind != "end":
            raise self._wrong(_MORE)
        return node

    def _or(self, depth: int) -> Node:
        parts = [self._and(depth)]
        while self._token.kind == "or":
            self._next()
            parts.append(self._and(depth))
        flat = [each for part in parts for each in (part.parts if isinstance(part, Or) else (part,))]
        return flat[0] if len(flat) == 1 else Or(tuple(flat))

    def _and(self, depth: int) -> Node:
        parts = [self._not(depth)]
        while self._token.kind in ("and", "not", "(", "word", "quoted"):
            if self._token.kind == "and":
                self._next()
            parts.append(self._not(depth))
        flat = [each for part in parts for each in (part.parts if isinstance(part, And) else (part,))]
        return flat[0] if len(flat) == 1 else And(tuple(flat))

    def _not(self, depth: int) -> Node:
        negated = False
        while self._token.kind == "not":
            self._next()
            negated = not negated
        node = self._atom(depth)
        if not negated:
            return node
        return node.part if isinstance(node, Not) else Not(node)

    def _atom(self, depth: int) -> Node:
        token = self._token
        if token.kind == "(":
            if depth == DEEPEST:
                raise self._wrong(f"a tag or a filter: parentheses go {DEEPEST} deep")
            self._next()
            node = self._or(depth + 1)
            if self._token.kind != ")":
                raise self._wrong('")", or another tag or filter')
            self._next()
            return node
        if token.kind not in ("word", "quoted"):
            raise self._wrong(_A_TERM)
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise self._wrong(f"the end: a query has at most {MOST_TERMS} tags and filters")
        self._next()
        if self._token.kind == ":" and self._token.at == token.end:
            return self._with_colon(token)
        if token.kind == "word" and token.text.casefold() == UNTAGGED:
            return Untagged()
        return TagTerm(self._tag(token))

    def _with_colon(self, name: _Token) -> Node:
        value = self._value(self._token.end)
        self._token = self._read(value.end)
        filter = name.text.casefold()
        if name.kind == "word" and filter in FILTERS:
            return self._filter(filter, value)
        state = _STATES.get(value.text.casefold()) if value.kind == "word" else None
        if state is None:
            known = ", ".join(f"{each}:" for each in FILTERS)
            expected = f"{', '.join(_STATES)}, or one of {known} before it"
            raise QueryInvalid(_shown(value), position=value.at, expected=expected)
        return TagTerm(self._tag(name), state)

    def _filter(self, filter: str, value: _Token) -> Node:
        if filter in ("owner", "author"):
            if not value.text.strip():
                raise QueryInvalid(_shown(value), position=value.at, expected="a name")
            return OwnerFilter(value.text) if filter == "owner" else AuthorFilter(value.text)
        if filter == "size":
            return SizeFilter(_span(value, _pixels, _A_SIZE))
        return DateFilter(When(filter), _span(value, _day, _A_DAY))

    def _tag(self, token: _Token) -> str:
        try:
            return self._tag_name(token.text)
        except ArgumentInvalid as err:
            raise QueryInvalid(f"{_shown(token)}, which {err}", position=token.at, expected="a tag") from err

    def _next(self) -> None:
        self._token = self._read(self._token.end)

    def _read(self, at: int) -> _Token:
        text = self._text
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return _Token("end", "", at, at)
        if text[at] in _SYMBOLS:
            return _Token(_SYMBOLS[text[at]], text[at], at, at + 1)
        if text[at] in "():":
            return _Token(text[at], text[at], at, at + 1)
        if text[at] == '"':
            return self._quoted(at)
        end = at
        while end < len(text) and text[end] not in SPECIAL and not text[end].isspace():
            end += 1
        word = text[at:end]
        operator = word.casefold() in OPERATORS and text[end : end + 1] != ":"
        return _Token(word.casefold() if operator else "word", word, at, end)

    def _value(self, at: int) -> _Token:
        """Read what stands right behind a colon: a name in quotes, or all up to a space or a special character."""
        if self._text[at : at + 1] == '"':
            return self._quoted(at)
        end = at
        while end < len(self._text) and self._text[end] not in SPECIAL and not self._text[end].isspace():
            end += 1
        return _Token("word" if end > at else "end", self._text[at:end], at, end)

    def _quoted(self, at: int) -> _Token:
        found: list[str] = []
        place = at + 1
        while place < len(self._text):
            letter = self._text[place]
            if letter == '"':
                return _Token("quoted", "".join(found), at, place + 1)
            if letter == "\\":
                place += 1
                letter = self._text[place : place + 1]
                if letter not in ('"', "\\"):
                    shown = _shown(_Token("word" if letter else "end", letter, place, place))
                    raise QueryInvalid(shown, position=place, expected='" or \\ behind a \\')
            found.append(letter)
            place += 1
        raise QueryInvalid("the end", position=len(self._text), expected='" to end what began with one')

    def _wrong(self, expected: str) -> QueryInvalid:
        return QueryInvalid(_shown(self._token), position=self._token.at, expected=expected)


def _span(value: _Token, read: Callable[[str], Day | int | None], expected: str) -> Span:
    def end(text: str, offset: int) -> Day | int:
        found = read(text)
        if found is None:
            shown = _Token("word" if text else "end", text, value.at, value.at)
            raise QueryInvalid(_shown(shown), position=value.at + offset, expected=expected)
        return found

    text = value.text if value.kind == "word" else ""
    for sign in ("<=", ">=", "<", ">"):
        if text.startswith(sign):
            bound = end(text[len(sign) :], len(sign))
            upwards = sign.startswith(">")
            return Span(bound if upwards else None, None if upwards else bound, beyond=len(sign) == 1)
    first, dots, last = text.partition("..")
    if not dots:
        bound = end(first, 0)
        return Span(bound, bound)
    if not first and not last:
        raise QueryInvalid(_shown(value), position=value.at, expected=expected)
    return Span(
        end(first, 0) if first else None,
        end(last, len(first) + len(dots)) if last else None,
    )


def _pixels(text: str) -> int | None:
    return int(text) if _PIXELS.fullmatch(text) else None


def _day(text: str) -> Day | None:
    if not _DAY.fullmatch(text):
        return None
    try:
        _ = Day(text).begin
    except ValueError:
        return None
    return Day(text)


def _shown(token: _Token) -> str:
    if token.kind == "end" or not token.text:
        return "the end" if token.kind == "end" else "nothing"
    printable = "".join(letter if letter.isprintable() else "\ufffd" for letter in token.text[:_SHOWN])
    return f'"{printable}"'
