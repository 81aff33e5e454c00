"""What a query says, as a tree; `str()` of it is a query that reads as the same tree.

The language is that of search_service.proto; `parser` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum

SPECIAL = frozenset('&|!()":')
OPERATORS = frozenset({"and", "or", "not"})
UNTAGGED = "untagged"
FILTERS = ("owner", "author", "date", "taken", "stored", "size")

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class State(Enum):
    """What became of a tag; ANY is suggested or confirmed."""

    ANY = ""
    CONFIRMED = "confirmed"
    SUGGESTED = "suggested"
    REJECTED = "rejected"


class When(Enum):
    """Which of a photo's moments is meant."""

    DATE = "date"  # taken, else stored
    TAKEN = "taken"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Day:
    """A year, a month or a day, as written: 2024, 2024-05, 2024-05-17; in UTC."""

    text: str

    @property
    def begin(self) -> datetime:
        """Its first moment. Raises ValueError where there is no such day."""
        year, month, day = [*map(int, self.text.split("-")), 1, 1][:3]
        return datetime(year, month, day, tzinfo=timezone.utc)

    @property
    def begin_us(self) -> int:
        """Its first moment, in microseconds since 1970."""
        return (self.begin - _EPOCH) // timedelta(microseconds=1)

    @property
    def end_us(self) -> int:
        """The first moment behind it."""
        begin, parts = self.begin, self.text.count("-")
        if parts == 2:
            return self.begin_us + timedelta(days=1) // timedelta(microseconds=1)
        months = begin.month if parts == 1 else 12
        year, month = (begin.year, months + 1) if months < 12 else (begin.year + 1, 1)
        # The year behind the last one that datetime knows has the length of any other.
        if year > 9999:
            return (datetime(9999, 12, 31, tzinfo=timezone.utc) - _EPOCH + timedelta(days=1)) // timedelta(
                microseconds=1
            )
        return (datetime(year, month, 1, tzinfo=timezone.utc) - _EPOCH) // timedelta(microseconds=1)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Span:
    """From one to another, both included; None: open. With `beyond` what lies before `last`, or after `first`."""

    first: Day | int | None
    last: Day | int | None
    beyond: bool = False

    def __str__(self) -> str:
        if self.beyond:
            return f">{self.first}" if self.first is not None else f"<{self.last}"
        if self.first == self.last:
            return str(self.first)
        return f"{'' if self.first is None else self.first}..{'' if self.last is None else self.last}"


class Node:
    """A part of a query."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Everything(Node):
    """All photos: an empty query."""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class TagTerm(Node):
    """Photos with a tag, under the name that tags have."""

    name: str
    state: State = State.ANY

    def __str__(self) -> str:
        if self.state is State.ANY:
            return word(self.name)
        name = quote(self.name) if self.name in FILTERS else word(self.name)
        return f"{name}:{self.state.value}"


@dataclass(frozen=True, slots=True)
class OwnerFilter(Node):
    """Photos that an account stored."""

    name: str

    def __str__(self) -> str:
        return f"owner:{word(self.name)}"


@dataclass(frozen=True, slots=True)
class AuthorFilter(Node):
    """Photos that somebody took."""

    name: str

    def __str__(self) -> str:
        return f"author:{word(self.name)}"


@dataclass(frozen=True, slots=True)
class DateFilter(Node):
    """Photos of a time."""

    when: When
    span: Span

    def __str__(self) -> str:
        return f"{self.when.value}:{self.span}"


@dataclass(frozen=True, slots=True)
class SizeFilter(Node):
    """Photos whose longer side has so many pixels."""

    span: Span

    def __str__(self) -> str:
        return f"size:{self.span}"


@dataclass(frozen=True, slots=True)
class Untagged(Node):
    """Photos that have no tag but rejected ones."""

    def __str__(self) -> str:
        return UNTAGGED


@dataclass(frozen=True, slots=True)
class Not(Node):
    """Photos that a part does not hold for."""

    part: Node

    def __str__(self) -> str:
        inner = str(self.part)
        return f"!({inner})" if isinstance(self.part, And | Or) else f"!{inner}"


@dataclass(frozen=True, slots=True)
class And(Node):
    """Photos that all parts hold for; none of them is an And itself."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " & ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or(Node):
    """Photos that any part holds for; none of them is an Or itself."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " | ".join(str(part) for part in self.parts)


def leaves(node: Node) -> Iterator[Node]:
    """Return the parts that have none themselves, as written."""
    if isinstance(node, And | Or):
        for part in node.parts:
            yield from leaves(part)
    elif isinstance(node, Not):
        yield from leaves(node.part)
    else:
        yield node


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """Return a query with other names of its tags."""
    match node:
        case TagTerm(name, state):
            return TagTerm(names.get(name, name), state)
        case Not(part):
            return Not(renamed(part, names))
        case And(parts):
            return And(tuple(renamed(part, names) for part in parts))
        case Or(parts):
            return Or(tuple(renamed(part, names) for part in parts))
    return node


def word(text: str) -> str:
    """Write a name as it is, in quotes where it would read as something else."""
    plain = text and not any(each in SPECIAL or each.isspace() for each in text)
    return text if plain and text.casefold() not in OPERATORS | {UNTAGGED} else quote(text)


def quote(text: str) -> str:
    """Write a name in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
