"""One model's refiner over the photos that this server keeps: what votes, and the statistics of their tags.

The index of the stored photos (`KeptIndex`) follows the database. Until it is open, which takes long only where the
file of a large one was lost, photos of the starter library vote alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tagwright_server.domain.indexes import KeptIndex
from tagwright_server.refinement.artefact import Artefact
from tagwright_server.refinement.batch import BatchThresholds
from tagwright_server.refinement.records import NOBODY, Neighbours, Photo, RefineOptions, TagDecision
from tagwright_server.refinement.refiner import Refiner
from tagwright_server.refinement.starter import StarterLibrary
from tagwright_server.refinement.statistics import Photos, Seen, Statistics, TagStatistics
from tagwright_server.refinement.tag_counts import EVERYBODY, TagCounts
from tagwright_server.store.photo_index import Entries, Entry, PhotoIndex

_PATIENCE_S = 2.0  # that calls wait for the index of a server that has just been started
_BRIEF_S = 0.5  # that a call waits for others who take in changes
_FEW = 500  # changed photos that a call itself takes in: .1 s
_SMALL = 50_000  # photos among which those of a tag are found in a few milliseconds
_DEEPEST = 16  # times as many photos as are to vote, among which so many authors are looked for
_REST = 20  # times as long as tags took to be looked up, until others are
_AT_ONCE = 50  # photos that change their tags while nobody can ask: a few milliseconds


class TagRules(Protocol):
    """What names mean here, and what follows from tags."""

    def aliases(self) -> Mapping[str, str]:
        """Return every alias, and the tag that it means."""

    def parents(self, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the parents of those tags that have any, and of their parents, all the way up."""


class Refinery:
    """A refiner and the photos that vote."""

    def __init__(self, artefact: Artefact, photos: KeptIndex[PhotoIndex], rules: TagRules) -> None:
        self.refiner = Refiner(artefact)
        self._artefact = artefact
        self._rules = rules
        self._aliases: Mapping[str, str] = {}
        self._starter = artefact.starter
        self._statistics = artefact.starter.statistics()
        self._counts = _counted(artefact.starter, ())
        self._photos = photos
        self._lock = threading.Lock()  # over the statistics and the counts
        self._arranging = threading.Lock()  # over what the starter library's tags are called, taken before the other
        self._patience_s = _PATIENCE_S
        self._admit_from_s = 0.0
        photos.on_open(self._begin)
        photos.each_time(self._follow)

    @property
    def opening(self) -> bool:
        """Whether photos that are kept do not vote yet, but are about to."""
        return not self._photos.opened.is_set()

    def refine(
        self, photo: Photo, options: RefineOptions, *, viewer: str | None, but: str = ""
    ) -> tuple[TagDecision, ...]:
        """Judge a photo's tags by the photos that the account `viewer` sees, None: all; `but` is the photo's own id."""
        neighbours = self._neighbours(photo.embedding, viewer, but)
        refiner = self.refiner
        options = replace(options, parents=self._parents(refiner.candidates(photo, neighbours, options), photo))
        with self._lock:
            return tuple(refiner.refine(photo, neighbours, self._told(viewer), options))

    def decide(
        self, photo: Photo, scores: Mapping[str, float], thresholds: BatchThresholds, *, viewer: str | None
    ) -> tuple[TagDecision, ...]:
        """Judge a photo's tags by scores that a batch refiner gave, with its thresholds."""
        parents = self._parents(scores, photo)
        with self._lock:
            return tuple(self.refiner.decide(photo, scores, self._told(viewer), thresholds, parents))

    def size(self, viewer: str | None) -> int:
        """Return how many photos can vote."""
        index = self._photos.index
        return len(self._starter) + (index.count(visible_to=viewer) if index is not None else 0)

    def _parents(self, names: Iterable[str], photo: Photo) -> Mapping[str, tuple[str, ...]]:
        return self._rules.parents(sorted({*names, *photo.confirmed}))

    def _told(self, viewer: str | None) -> Statistics:
        """Return what an account may be told of; call with the lock."""
        if viewer is None:
            return self._statistics
        return Seen(self._statistics, partial(self._counts.seen, viewer))

    def _neighbours(self, vector: NDArray[np.float32], viewer: str | None, but: str) -> Neighbours:
        limit = self.refiner.neighbours
        if not self._photos.opened.wait(self._patience_s):
            self._patience_s = 0.0  # it takes longer: nobody else waits
        index = self._photos.index
        own, photos = NOBODY, 0
        if index is not None:
            # A photo counts from the moment that it was acknowledged, unless many others change just then.
            index.catch_up(patience_s=_BRIEF_S, most=_FEW)
            if self._statistics.ripe and index.size <= _SMALL:
                self._admit(index)
            own = self._nearest(index, vector, limit, viewer).without(but)
            photos = index.count(visible_to=viewer)
        return own.merged(self._starter.neighbours(vector, limit, own_photos=photos), limit)

    def _nearest(self, index: PhotoIndex, vector: NDArray[np.float32], limit: int, viewer: str | None) -> Neighbours:
        """Return photos of so many authors and one more, where there are so many not much farther away."""
        asked = limit + 1
        while True:
            found = index.neighbours(vector, limit=asked, visible_to=viewer)
            known = [author for author in found.authors if author]
            if len(found.ids) - len(known) + len(set(known)) > limit or not len(found.ids) == asked < _DEEPEST * limit:
                weights = np.ones(len(found.ids), np.float32)
                return Neighbours(found.similarities, weights, found.ids, found.authors, found.tags)
            asked *= 4

    def _begin(self, index: PhotoIndex) -> None:
        self._follow_names()

        def photos() -> Photos:
            yield self._starter.vectors, self._starter.tags
            for some in index.entries():
                yield some.vectors, some.tags

        statistics = TagStatistics.of(self._starter.vectors.shape[1], photos)
        counts = _counted(self._starter, index.entries())
        index.subscribe(self._changed)
        with self._lock:
            self._statistics, self._counts = statistics, counts

    def _follow(self) -> None:
        if self._photos.index is not None:
            self._admit(self._photos.index)
        self._follow_names()

    def _admit(self, index: PhotoIndex) -> None:
        """Look up the photos of tags that have become frequent; not too often where it takes long."""
        begun_s = time.monotonic()
        if begun_s < self._admit_from_s:
            return
        with self._arranging, index.still():  # what is counted now is what a column is made of
            with self._lock:
                tags = frozenset(self._statistics.wanted())
            if not tags:
                return
            rows = [row for row, mine in enumerate(self._starter.tags) if not tags.isdisjoint(mine)]
            starter = (self._starter.vectors[rows], [self._starter.tags[row] for row in rows])
            own = [(some.vectors, some.tags) for some in index.with_tags(tags)]
            with self._lock:
                self._statistics.admit(sorted(tags), [starter, *own])
        self._admit_from_s = begun_s + _REST * (time.monotonic() - begun_s)

    def _follow_names(self) -> None:
        """Call tags what they are called here, also those of the starter library and of the model's labels."""
        aliases = self._rules.aliases()
        if aliases == self._aliases:
            return
        refiner, before, after = Refiner(self._artefact, aliases), self._starter, self._artefact.starter.under(aliases)
        changed = [row for row, (old, new) in enumerate(zip(before.tags, after.tags, strict=True)) if old != new]
        with self._arranging:
            for start in range(0, len(changed), _AT_ONCE):
                with self._lock:
                    for row in changed[start : start + _AT_ONCE]:
                        self._remove(before.vectors[row], before.tags[row], EVERYBODY)
                        self._add(after.vectors[row], after.tags[row], EVERYBODY)
            self._starter, self.refiner, self._aliases = after, refiner, aliases

    def _changed(self, before: Entry | None, after: Entry | None) -> None:
        with self._lock:
            if before is not None:
                self._remove(before.vector, before.tags, before.seen_by)
            if after is not None:
                self._add(after.vector, after.tags, after.seen_by)

    def _add(self, vector: NDArray[np.float32], tags: Sequence[str], seen_by: str) -> None:
        self._statistics.add(vector, tags)
        self._counts.add(seen_by, tags)

    def _remove(self, vector: NDArray[np.float32], tags: Sequence[str], seen_by: str) -> None:
        self._statistics.remove(vector, tags)
        self._counts.remove(seen_by, tags)


def _counted(starter: StarterLibrary, entries: Iterable[Entries]) -> TagCounts:
    counts = TagCounts()
    for tags in starter.tags:
        counts.add(EVERYBODY, tags)
    for some in entries:
        for seen_by, tags in zip(some.seen_by, some.tags, strict=True):
            counts.add(seen_by, tags)
    return counts
