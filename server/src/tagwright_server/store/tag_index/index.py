"""The tag index of a database, which it follows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from tagwright_server.store.changes import Mark
from tagwright_server.store.following import Follower
from tagwright_server.store.sharing import SharedLock
from tagwright_server.store.store import Store
from tagwright_server.store.tag_index.photos import TaggedPhotos
from tagwright_server.store.tag_index.reading import PhotoFacts, PhotoTags, Reading

_log = logging.getLogger(__name__)

_AT_A_TIME = 2000  # photos that are read together
_WRITTEN = 50  # photos that are taken in while nobody can search: a few milliseconds
_SAID_EVERY = 100_000  # photos of a rebuild


class TagIndex(Follower):
    """All stored photos by their tags. Any number of threads may use it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.changes)
        self._reading = Reading(store.database)
        self._lock = SharedLock()  # over the photos
        self._photos = TaggedPhotos()
        self._mark = self._read_anew()

    @contextmanager
    def reading(self) -> Iterator[TaggedPhotos]:
        """Give the photos as they are, and have them stay so meanwhile. It knows what `catch_up` has seen."""
        with self._lock.reading():
            yield self._photos

    @property
    def size(self) -> int:
        """How many photos there are."""
        return self._photos.size

    def _take_in(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), _AT_A_TIME):
            some = numbers[start : start + _AT_A_TIME]
            photos, tags = self._reading.photos(some)
            for begin in range(0, len(some), _WRITTEN):
                few = some[begin : begin + _WRITTEN]
                there, its = photos.of(few), tags.of(few)
                with self._lock.writing():
                    self._photos.remove(np.setdiff1d(few, there.numbers).tolist())
                    self._photos.put(there, its)

    def _tidy(self) -> None:
        if self._photos.outgrown:
            compacted = self._photos.compacted()  # nobody but who catches up changes any
            with self._lock.writing():
                self._photos = compacted

    def _read_anew(self) -> Mark:
        mark = self._changes.mark()
        photos = TaggedPhotos.of(self._said(self._reading.all(at_a_time=_AT_A_TIME)))
        with self._lock.writing():
            self._photos = photos
        return mark

    def _said(self, parts: Iterator[tuple[PhotoFacts, PhotoTags]]) -> Iterator[tuple[PhotoFacts, PhotoTags]]:
        done = 0
        for photos, tags in parts:
            size = len(photos.numbers)
            if (done + size) // _SAID_EVERY > done // _SAID_EVERY:
                _log.info("the tag index: %s photos", f"{done:,}")
            done += size
            yield photos, tags
