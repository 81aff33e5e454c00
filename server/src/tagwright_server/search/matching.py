"""Which photos a query holds for, and how well: the query's tree over the lists of the tag index.

A part of a query is either a list of photos (`Some`) or a test that photos pass (`Where`), as what lies under NOT; of
parts with AND the lists are cut with each other first, and the tests see what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

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
)
from tagwright_server.store.tag_index import NO_POSITION, NOBODY, NOT_KNOWN, Posting, TaggedPhotos, folded

_MUCH_SHORTER = 16  # then looking each one up is quicker than going through the longer list

Slots = NDArray[np.int32]
Which = Slots | slice
Test = Callable[[Which], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a tag of a query means: itself and all tags below it, by number; `tag` is None where there is none."""

    tag: int | None
    below: tuple[int, ...] = ()

    @property
    def tags(self) -> tuple[int, ...]:
        """All of them."""
        return self.below if self.tag is None else (self.tag, *self.below)


@dataclass(frozen=True, slots=True)
class Names:
    """What the names in a query mean: tags by name, and accounts' ids, None for those that there are not."""

    tags: Mapping[str, Meaning]
    owners: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Some:
    """Photos: slots int32 [n] ascending, how likely the query holds for each, float [n], and the least place of a tag
    that matched among the owner's, uint16 [n].
    """

    slots: Slots
    scores: NDArray[np.floating]  # type: ignore[type-arg]  # float32 of one tag, float64 of products
    positions: NDArray[np.uint16]

    def at(self, places: NDArray[np.int64] | NDArray[np.bool_]) -> Some:
        """Return those at some places."""
        if places.dtype == np.bool_:
            places = np.flatnonzero(places)  # what is taken by places is quicker than by bits
        return Some(self.slots[places], self.scores[places], self.positions[places])


@dataclass(frozen=True, slots=True)
class Where:
    """Photos that pass a test."""

    passes: Test


def matches(query: Node, photos: TaggedPhotos, names: Names, *, viewer: str | None, up_to: int | None = None) -> Some:
    """Return the photos that a query holds for, of those that an account sees, None: an administrator.

    `up_to` leaves out photos with greater numbers.
    """
    found = _Matcher(photos, names).of(query)
    if isinstance(found, Where):
        there = photos.seen(slice(0, photos.end), viewer) & found.passes(slice(0, photos.end))
        found = _all(np.flatnonzero(there).astype(np.int32))
    else:
        seen = photos.seen(found.slots, viewer)
        if not seen.all():
            found = found.at(seen)
    if up_to is not None and up_to < photos.last_number:
        found = found.at(photos.numbers[found.slots] <= up_to)
    return Some(found.slots, found.scores.astype(np.float32, copy=False), found.positions)


class _Matcher:
    def __init__(self, photos: TaggedPhotos, names: Names) -> None:
        self._photos = photos
        self._names = names

    def of(self, node: Node) -> Some | Where:
        match node:
            case TagTerm(name, state):
                return self._tag(self._names.tags[name], state)
            case And(parts):
                return self._and([self.of(part) for part in parts])
            case Or(parts):
                return self._or([self.of(part) for part in parts])
            case Not(part):
                return self._not(self.of(part))
            case Untagged():
                return Where(lambda slots: self._photos.untagged(slots))
            case OwnerFilter(name):
                account = self._names.owners[name]
                owner = NOBODY if account is None else self._photos.owner(account)
                return Where(lambda slots: self._photos.owners[slots] == owner)
            case AuthorFilter(name):
                author = self._photos.authors.find(folded(name))
                if author is None:
                    return _all(np.zeros(0, np.int32))
                return Where(lambda slots: self._photos.author[slots] == author)
            case DateFilter(when, span):
                return Where(_within_time(self._moments(when), span))
            case SizeFilter(span):
                return Where(_within(lambda slots: self._photos.sides[slots], span))
            case Everything():
                return Where(lambda slots: self._photos.live[slots])
        raise AssertionError(node)

    def _tag(self, meaning: Meaning, state: State) -> Some:
        if state is State.REJECTED:  # of that very tag: a photo without dogs may well show an animal
            lists = [] if meaning.tag is None else [self._photos.rejected.of(meaning.tag)]
            return self._union([_all(posting.slots) for posting in lists])
        return self._union([_stated(self._photos.postings.of(tag), state) for tag in meaning.tags])

    def _and(self, parts: Sequence[Some | Where]) -> Some | Where:
        lists = [part for part in parts if isinstance(part, Some)]
        tests = [part.passes for part in parts if isinstance(part, Where)]
        if not lists:
            return Where(lambda slots: reduce(np.logical_and, (test(slots) for test in tests)))
        if len(lists) == 1:
            found = lists[0]
            for test in tests:
                found = found.at(test(found.slots))
            return found
        common = reduce(lambda slots, other: slots[self._has(other.slots, slots)], *_shortest_first(lists))
        for test in tests:
            common = common[test(common)]
        aligned = [part.at(self._places(part.slots, common)) for part in lists]  # in the order of the query
        scores = reduce(np.multiply, [part.scores.astype(np.float64) for part in aligned])
        positions = reduce(np.minimum, [part.positions for part in aligned])
        return Some(common, scores, positions)

    def _or(self, parts: Sequence[Some | Where]) -> Some | Where:
        lists = [part for part in parts if isinstance(part, Some)]
        tests = [part.passes for part in parts if isinstance(part, Where)]
        if not tests:
            return self._union(lists)

        def passes(slots: Which) -> NDArray[np.bool_]:
            return reduce(np.logical_or, (test(slots) for test in tests))

        if not lists:
            return Where(passes)
        there = np.flatnonzero(passes(slice(0, self._photos.end))).astype(np.int32)
        return self._union([*lists, _all(there)])

    def _not(self, part: Some | Where) -> Where:
        if isinstance(part, Where):
            return Where(lambda slots: ~part.passes(slots))
        has = self._mask(part.slots)
        return Where(lambda slots: ~has[slots])

    def _union(self, parts: Sequence[Some]) -> Some:
        """Return the photos of any part, with the greatest score and the least place that they have in one."""
        parts = [part for part in parts if len(part.slots)]
        if len(parts) < 2:
            return parts[0] if parts else _all(np.zeros(0, np.int32))
        if sum(len(part.slots) for part in parts) * _MUCH_SHORTER < self._photos.end:
            return _merged(parts)
        scores = np.full(self._photos.end, -1, np.result_type(*[part.scores.dtype for part in parts]))
        positions = np.full(self._photos.end, NO_POSITION, np.uint16)
        for part in parts:
            scores[part.slots] = np.maximum(scores[part.slots], part.scores)
            positions[part.slots] = np.minimum(positions[part.slots], part.positions)
        slots = np.flatnonzero(scores >= 0).astype(np.int32)
        return Some(slots, scores[slots], positions[slots])

    def _moments(self, when: When) -> Callable[[Which], NDArray[np.int64]]:
        photos = self._photos
        if when is When.STORED:
            return lambda slots: photos.created_us[slots]
        if when is When.TAKEN:
            return lambda slots: photos.captured_us[slots]

        def date(slots: Which) -> NDArray[np.int64]:
            captured = photos.captured_us[slots]
            return np.where(captured == NOT_KNOWN, photos.created_us[slots], captured)

        return date

    def _mask(self, slots: Slots) -> NDArray[np.bool_]:
        mask = np.zeros(self._photos.end, np.bool_)
        mask[slots] = True
        return mask

    def _has(self, longer: Slots, slots: Slots) -> NDArray[np.bool_]:
        """Return for each of some slots whether it is in a list."""
        if len(slots) * _MUCH_SHORTER > len(longer):
            return self._mask(longer)[slots]
        places = np.searchsorted(longer, slots)
        places[places == len(longer)] = 0
        found: NDArray[np.bool_] = longer[places] == slots if len(longer) else np.zeros(len(slots), np.bool_)
        return found

    def _places(self, longer: Slots, slots: Slots) -> NDArray[np.int64]:
        """Return the places of some slots in a list that has all of them."""
        if len(slots) * _MUCH_SHORTER > len(longer):
            return np.flatnonzero(self._mask(slots)[longer])
        return np.searchsorted(longer, slots)


def _shortest_first(lists: Sequence[Some]) -> tuple[Sequence[Some], Slots]:
    first, *others = sorted(lists, key=lambda part: len(part.slots))
    return others, first.slots


def _all(slots: Slots) -> Some:
    return Some(slots, np.ones(len(slots), np.float32), np.full(len(slots), NO_POSITION, np.uint16))


def _stated(posting: Posting, state: State) -> Some:
    found = Some(posting.slots, posting.weights, posting.positions)
    if state is State.ANY:
        return found
    return found.at(posting.confirmed if state is State.CONFIRMED else ~posting.confirmed)


def _merged(parts: Sequence[Some]) -> Some:
    slots = np.concatenate([part.slots for part in parts])
    order = np.argsort(slots, kind="stable")  # runs that are in order already: they are merged
    ordered = slots[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    scores = np.concatenate([part.scores for part in parts])[order]
    positions = np.concatenate([part.positions for part in parts])[order]
    return Some(ordered[begins], np.maximum.reduceat(scores, begins), np.minimum.reduceat(positions, begins))


def _within(column: Callable[[Which], NDArray[np.int32]], span: Span) -> Test:
    first, last = span.first, span.last
    assert not isinstance(first, Day)
    assert not isinstance(last, Day)
    if span.beyond:
        first, last = None if first is None else first + 1, None if last is None else last - 1
    return _between(column, first, None if last is None else last + 1)


def _within_time(column: Callable[[Which], NDArray[np.int64]], span: Span) -> Test:
    first, last = span.first, span.last
    assert not isinstance(first, int)
    assert not isinstance(last, int)
    if span.beyond:
        begin, end = (None if first is None else first.end_us), (None if last is None else last.begin_us)
    else:
        begin, end = (None if first is None else first.begin_us), (None if last is None else last.end_us)
    return _between(column, NOT_KNOWN + 1 if begin is None else begin, end)


def _between(
    column: Callable[[Which], NDArray[np.int32] | NDArray[np.int64]], begin: int | None, end: int | None
) -> Test:
    def test(slots: Which) -> NDArray[np.bool_]:
        values = column(slots)
        passes = np.ones(len(values), np.bool_)
        if begin is not None:
            passes &= values >= begin
        if end is not None:
            passes &= values < end
        return passes

    return test
