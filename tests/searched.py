"""What searches should find, worked out the long way: plain Python over plain lists, after search_service.proto.

A query is a tree that a test makes and prints; nothing here reads one.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import numpy as np

from tagwright_server.store.image_records import TagState

NO_POSITION = math.inf
UNJUDGED = 0.85
POOL = 300
BURST = timedelta(minutes=10)
SAME_BITS = 3
NEARLY = 2e-6  # the server reckons in float32
SUITING = {TagState.SUGGESTED, TagState.CONFIRMED}


@dataclass(frozen=True)
class Given:
    """A tag of a photo."""

    state: TagState
    score: float | None
    position: int | None

    @property
    def weight(self) -> float:
        """What it counts."""
        if self.state is TagState.CONFIRMED:
            return 1.0
        score = UNJUDGED if self.score is None else self.score
        return float(min(np.float32(score), np.nextafter(np.float32(1), np.float32(0))))


@dataclass
class Shot:
    """A stored photo; `vector` is float16 of length 1, as numbers, None where no model has looked."""

    number: int
    id: str
    owner: str
    shared: bool
    author: str
    captured: datetime | None
    created: datetime
    side: int
    hash: int
    tags: dict[str, Given]
    vector: tuple[float, ...] | None

    def seen_by(self, viewer: str | None) -> bool:
        """Whether an account sees it; None: an administrator."""
        return viewer is None or self.shared or self.owner == viewer

    def names(self) -> set[str]:
        """Its tags that count."""
        return {name for name, tag in self.tags.items() if tag.state in SUITING}


@dataclass
class Rules:
    """What names mean."""

    aliases: dict[str, str] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def tag(self, name: str) -> str:
        return self.aliases.get(name, name)

    def meant(self, name: str) -> set[str]:
        """A tag and all below it."""
        found = {self.tag(name)}
        while more := {tag for tag, above in self.parents.items() if found & set(above)} - found:
            found |= more
        return found


Mark = tuple[float, float]  # a score, and the least place of a tag among the owner's


class Part:
    """A part of a query: what it says of a photo, None where it does not hold, and how it is written."""

    def of(self, shot: Shot, rules: Rules) -> Mark | None:
        raise NotImplementedError

    def text(self, draw: random.Random) -> str:
        raise NotImplementedError

    def tags(self, *, matching: bool = False) -> Iterator[Tag]:
        """The tags in it, in order; those alone that a photo may be in the result for."""
        return iter(())


@dataclass(frozen=True)
class Everything(Part):
    def of(self, shot: Shot, rules: Rules) -> Mark | None:
        return 1.0, NO_POSITION

    def text(self, draw: random.Random) -> str:
        return draw.choice(["", " ", "\n"])


@dataclass(frozen=True)
class Tag(Part):
    name: str
    state: str = ""

    def fits(self, shot: Shot, rules: Rules) -> dict[str, Given]:
        """The photo's tags that match."""
        if self.state == "rejected":
            meant, states = {rules.tag(self.name)}, {TagState.REJECTED}
        else:
            meant = rules.meant(self.name)
            states = {TagState(self.state)} if self.state else SUITING
        return {name: tag for name, tag in shot.tags.items() if name in meant and tag.state in states}

    def of(self, shot: Shot, rules: Rules) -> Mark | None:
        fits = self.fits(shot, rules).values()
        if not fits:
            return None
        if self.state == "rejected":
            return 1.0, NO_POSITION
        places = [NO_POSITION if tag.position is None else tag.position for tag in fits]
        return max(tag.weight for tag in fits), min(places)

    def text(self, draw: random.Random) -> str:
        name = written(self.name, draw)
        state = draw.choice([self.state, self.state.upper()])
        return f"{name}:{state}" if self.state else name

    def tags(self, *, matching: bool = False) -> Iterator[Tag]:
        yield self


@dataclass(frozen=True)
class Filter(Part):
    """What holds for a photo or not, of which the tree knows the words."""

    said: str
    holds: Callable[[Shot], bool] = field(repr=False)

    def of(self, shot: Shot, rules: Rules) -> Mark | None:
        return (1.0, NO_POSITION) if self.holds(shot) else None

    def text(self, draw: random.Random) -> str:
        name, colon, value = self.said.partition(":")
        return f"{draw.choice([name, name.upper()])}{colon}{value}"


@dataclass(frozen=True)
class Negated(Part):
    part: Part

    def of(self, shot: Shot, rules: Rules) -> Mark | None:
        if isinstance(self.part, Negated):
            return self.part.part.of(shot, rules)
        return (1.0, NO_POSITION) if self.part.of(shot, rules) is None else None

    def text(self, draw: random.Random) -> str:
        inner = self.part.text(draw)
        grouped = isinstance(self.part, All | Any) or not draw.randrange(4)
        return draw.choice(["!", "! ", "NOT ", "not "]) + (f"({inner})" if grouped else inner)

    def tags(self, *, matching: bool = False) -> Iterator[Tag]:
        if not matching:
            yield from self.part.tags()
        elif isinstance(self.part, Negated):
            yield from self.part.part.tags(matching=True)


@dataclass(frozen=True)
class Several(Part):
    parts: tuple[Part, ...]

    def tags(self, *, matching: bool = False) -> Iterator[Tag]:
        for part in self.parts:
            yield from part.tags(matching=matching)


@dataclass(frozen=True)
class All(Several):
    def of(self, shot: Shot, rules: Rules) -> Mark | None:
        marks = []
        for part in self.factors():
            mark = part.of(shot, rules)
            if mark is None:
                return None
            marks.append(mark)
        product = 1.0
        for score, _ in marks:  # in the order of the query
            product *= score
        return product, min(place for _, place in marks)

    def factors(self) -> Iterator[Part]:
        for part in self.parts:
            while isinstance(part, Negated) and isinstance(part.part, Negated):
                part = part.part.part
            if isinstance(part, All):
                yield from part.factors()
            else:
                yield part

    def text(self, draw: random.Random) -> str:
        texts = [f"({part.text(draw)})" if isinstance(part, Any) else part.text(draw) for part in self.parts]
        return joined(texts, [" & ", "&", " ", " AND ", " and "], draw)


@dataclass(frozen=True)
class Any(Several):
    def of(self, shot: Shot, rules: Rules) -> Mark | None:
        marks = [mark for part in self.parts if (mark := part.of(shot, rules)) is not None]
        return (max(score for score, _ in marks), min(place for _, place in marks)) if marks else None

    def text(self, draw: random.Random) -> str:
        texts = [f"({part.text(draw)})" if not draw.randrange(3) else part.text(draw) for part in self.parts]
        return joined(texts, [" | ", "|", " OR ", " or "], draw)


def joined(texts: Sequence[str], between: Sequence[str], draw: random.Random) -> str:
    found = texts[0]
    for text in texts[1:]:
        found += draw.choice(between) + text
    return found


def quoted(name: str) -> str:
    """A name in quotes."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(name: str, draw: random.Random) -> str:
    """A tag as somebody may write it."""
    words = ("and", "or", "not", "untagged", "owner", "author", "date", "taken", "stored", "size")
    if any(letter in '&|!()": ' for letter in name) or name in words or not draw.randrange(3):
        return quoted(draw.choice([name, name.upper(), f" {name}  "]) if name.isascii() else name)
    return draw.choice([name, name.capitalize()])


def span(what: str, form: str, moment: Callable[[Shot], datetime | None], first: str, last: str) -> Filter:
    """A filter by time, written in one of the forms of the contract; days, months or years."""
    (begin, end), (other_begin, other_end) = around(first), around(last)
    holds: Mapping[str, Callable[[datetime], bool]] = {
        "{0}": lambda at: begin <= at < end,
        "{0}..{1}": lambda at: begin <= at < other_end,
        "{0}..": lambda at: begin <= at,
        "..{0}": lambda at: at < end,
        "<{0}": lambda at: at < begin,
        "<={0}": lambda at: at < end,
        ">{0}": lambda at: at >= end,
        ">={0}": lambda at: at >= begin,
    }
    assert other_begin < other_end

    def passes(shot: Shot) -> bool:
        at = moment(shot)
        return at is not None and holds[form](at)

    return Filter(f"{what}:{form.format(first, last)}", passes)


def sizes(form: str, first: int, last: int) -> Filter:
    """A filter by size."""
    holds: Mapping[str, Callable[[int], bool]] = {
        "{0}": lambda side: side == first,
        "{0}..{1}": lambda side: first <= side <= last,
        "{0}..": lambda side: first <= side,
        "..{0}": lambda side: side <= first,
        "<{0}": lambda side: side < first,
        "<={0}": lambda side: side <= first,
        ">{0}": lambda side: side > first,
        ">={0}": lambda side: side >= first,
    }
    return Filter(f"size:{form.format(first, last)}", lambda shot: holds[form](shot.side))


FORMS = ("{0}", "{0}..{1}", "{0}..", "..{0}", "<{0}", "<={0}", ">{0}", ">={0}")


def around(day: str) -> tuple[datetime, datetime]:
    """The first moment of a day, month or year, and the first one behind it."""
    numbers = [int(part) for part in day.split("-")]
    begin = datetime(*[*numbers, 1, 1][:3], tzinfo=timezone.utc)  # type: ignore[misc, arg-type]
    if len(numbers) == 3:
        return begin, begin + timedelta(days=1)
    some = begin + timedelta(days=370 if len(numbers) == 1 else 32)
    return begin, some.replace(month=1, day=1) if len(numbers) == 1 else some.replace(day=1)


@dataclass(frozen=True)
class Hit:
    """A photo that a query holds for."""

    shot: Shot
    score: float
    position: float


def found(shots: Sequence[Shot], query: Part, rules: Rules, *, viewer: str | None) -> list[Hit]:
    """The photos of a query, the most relevant first."""
    hits = []
    for shot in shots:
        mark = query.of(shot, rules) if shot.seen_by(viewer) else None
        if mark is not None:
            hits.append(Hit(shot, float(np.float32(mark[0])), mark[1]))
    return sorted(hits, key=lambda hit: (-hit.score, hit.position, -hit.shot.number))


def alike(shots: Sequence[Shot], vector: Sequence[float], *, but: str = "") -> dict[str, float]:
    """How much photos look like a vector: their cosines, at most 1, by their ids."""
    length = math.sqrt(dot(vector, vector))
    return {
        shot.id: min(1.0, dot(shot.vector, vector) / length)
        for shot in shots
        if shot.vector is not None and shot.id != but
    }


def see_in_order(ids: Sequence[str], cosines: Mapping[str, float], shots: Mapping[str, Shot]) -> None:
    """Fail where photos are not in the order of their looks, those stored last first where those are the same."""
    for one, other in pairwise(ids):
        assert cosines[one] >= cosines[other] - NEARLY
        if shots[one].vector == shots[other].vector:
            assert shots[one].number > shots[other].number


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def facets(shots: Sequence[Shot], query: Part, rules: Rules, order: Mapping[str, int]) -> list[tuple[str, int]]:
    """The tags of photos but the query's, the commonest first; `order` is that in which they were first used."""
    own = set().union(*(rules.meant(tag.name) for tag in query.tags()))
    counts = Counter(name for shot in shots for name in shot.names() - own)
    return sorted(counts.items(), key=lambda each: (-each[1], order[each[0]]))


def grouped(shots: Sequence[Shot]) -> dict[str, list[str]]:
    """Photos, the most relevant first, put together: by those that stand for others, in their order."""
    stand: list[Shot] = []
    behind: dict[str, list[str]] = {}
    for shot in shots:
        for first in stand:
            if same(first, shot):
                behind[first.id].append(shot.id)
                break
        else:
            stand.append(shot)
            behind[shot.id] = []
    return behind


def same(one: Shot, other: Shot) -> bool:
    """Whether two photos look the same, or are of a burst."""
    if (one.hash ^ other.hash).bit_count() <= SAME_BITS:
        return True
    if not one.author or " ".join(one.author.split()).casefold() != " ".join(other.author.split()).casefold():
        return False
    return one.captured is not None and other.captured is not None and abs(one.captured - other.captured) <= BURST
