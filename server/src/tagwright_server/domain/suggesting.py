"""Completing tags, and tags that go with a tag: what a caller may be told of are tags of photos that they see."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from tagwright_server.clock import Clock
from tagwright_server.domain.access import Caller
from tagwright_server.domain.deadline import Deadline
from tagwright_server.domain.indexes import KeptIndex
from tagwright_server.domain.keeping import visible_to
from tagwright_server.domain.search_values import RelatedTag, RelatedTags, Suggestion
from tagwright_server.domain.tag_names import tag_name
from tagwright_server.domain.tagging import Timings
from tagwright_server.domain.turns import Turns
from tagwright_server.errors import NotFound
from tagwright_server.search.completion import Completions, Name
from tagwright_server.search.matching import Meaning, Names, matches
from tagwright_server.search.query import TagTerm
from tagwright_server.search.ranking import best, keys
from tagwright_server.search.related import related
from tagwright_server.store.photo_index import PhotoIndex, Wanted
from tagwright_server.store.store import Store
from tagwright_server.store.tag_index import TagIndex
from tagwright_server.store.tags import Tags

_LOOKED_AT = 500  # photos of a tag that say what they look like, and photos that look like them
_LONG_S = 0.1  # that reading names takes; then the next time is after a while
_REST = 20  # times as long


class Suggesting:
    """Suggests tags."""

    def __init__(
        self,
        store: Store,
        tags: KeptIndex[TagIndex],
        looks: KeptIndex[PhotoIndex],
        *,
        turns: Turns,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tags = tags
        self._looks = looks
        self._turns = turns
        self._clock = clock
        self._names = _KnownNames(store.tags, clock)

    def complete(self, prefix: str, *, count: int, deadline: Deadline, by: Caller) -> tuple[list[Suggestion], Timings]:
        """Return the tags that complete what was typed; raises ArgumentInvalid."""
        begun_s = self._clock.monotonic_s()
        begun = tag_name(prefix, field="prefix") if prefix.strip() else ""
        index = self._tags.current(deadline, self._clock)
        with self._turns.take(deadline, "its turn came"):
            return self._complete(begun, index, count, by), self._spent(begun_s)

    def _complete(self, begun: str, index: TagIndex, count: int, by: Caller) -> list[Suggestion]:
        with index.reading() as photos:
            counts = photos.counts(visible_to(by))
        found = self._names.current().of(begun, counts, count=count)
        names = self._store.tags.names([each.name.tag for each in found])
        return [
            Suggestion(names[each.name.tag], int(counts[each.name.tag]), each.name.alias, each.errors)
            for each in found
            if each.name.tag in names
        ]

    def related(self, tag: str, *, count: int, deadline: Deadline, by: Caller) -> tuple[RelatedTags, Timings]:
        """Return the tags that go with a tag; raises NotFound where no photo has it that the caller sees."""
        begun_s = self._clock.monotonic_s()
        name = tag_name(tag, field="tag")
        index = self._tags.current(deadline, self._clock)
        looks = self._looks.current(deadline, self._clock)
        with self._turns.take(deadline, "its turn came"):
            return self._related(name, index, looks, count, by), self._spent(begun_s)

    def _related(self, name: str, index: TagIndex, looks: PhotoIndex, count: int, by: Caller) -> RelatedTags:
        viewer = visible_to(by)
        meaning = self._store.tags.meanings([name])[name]
        names = Names({meaning.name: Meaning(meaning.number)}, {})
        with index.reading() as photos:
            found = matches(TagTerm(meaning.name), photos, names, viewer=viewer)
            if meaning.number is None or not len(found.slots):
                raise NotFound("no photo that you see has that tag")
            best_ones = best(keys(found, newest=False), photos.numbers[found.slots], count=_LOOKED_AT)
            alike = _alike(looks, photos.numbers[found.slots[best_ones]], viewer)
            totals = photos.counts(viewer)
            seen = int(photos.seen(slice(0, photos.end), viewer).sum())
            closest = related(photos, meaning.number, found.slots, photos.slots(alike), totals, seen, count=count)
        entry = self._store.tags.entry(meaning.name, viewer)
        if entry is None:
            raise NotFound("no photo that you see has that tag")
        called = self._store.tags.names([each.tag for each in closest])
        return RelatedTags(
            entry,
            tuple(
                RelatedTag(called[each.tag], each.score, each.cooccurrence, each.look, each.both)
                for each in closest
                if each.tag in called
            ),
        )

    def _spent(self, begun_s: float) -> Timings:
        return Timings(search_s=self._clock.monotonic_s() - begun_s)


class _KnownNames:
    """All names of tags, read anew when they have changed; not too often where that takes long."""

    def __init__(self, tags: Tags, clock: Clock) -> None:
        self._tags = tags
        self._clock = clock
        self._lock = threading.Lock()
        self._state: int | None = None
        self._completions = Completions([])
        self._from_s = 0.0

    def current(self) -> Completions:
        """Return what can be completed to."""
        with self._lock:
            begun_s = self._clock.monotonic_s()
            state = self._tags.names_state()
            if state != self._state and begun_s >= self._from_s:
                names = self._tags.all_names()
                self._completions = Completions([Name(number, name, tag) for number, name, tag in names])
                self._state, took_s = state, self._clock.monotonic_s() - begun_s
                self._from_s = begun_s + (_REST * took_s if took_s > _LONG_S else 0.0)
            return self._completions


def _alike(looks: PhotoIndex, numbers: NDArray[np.int64], viewer: str | None) -> NDArray[np.int64]:
    """Return the photos that look most like the average of some."""
    _, vectors = looks.vectors(numbers)
    if not len(vectors):
        return np.zeros(0, np.int64)
    near, _ = looks.nearest(vectors.mean(axis=0), limit=_LOOKED_AT, wanted=Wanted(viewer))
    return near
