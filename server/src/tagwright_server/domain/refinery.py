"""One model's refiner over the photos that this server keeps: what votes, and the statistics of their tags.

A thread of its own opens the index of the stored photos, follows the database, and saves the index now and then. Until
it is open, which takes long only where the file of a large one was lost, photos of the starter library vote alone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from tagwright_server.errors import ComeBack
from tagwright_server.refinement.artefact import Artefact
from tagwright_server.refinement.batch import BatchThresholds
from tagwright_server.refinement.records import NOBODY, Neighbours, Photo, RefineOptions, TagDecision
from tagwright_server.refinement.refiner import Refiner
from tagwright_server.store.photo_index import Entry, PhotoIndex

log = logging.getLogger(__name__)

_PATIENCE_S = 2.0  # that a call waits for the index of a server that has just been started
_LOOK_EVERY_S = 1.0  # so that a call finds little to catch up with
_AT_ONCE = 50  # photos that change their tags while nobody can ask: a few milliseconds
_SAVE_EVERY_S = 600.0  # what a start after a kill has to read again


OpenIndex = Callable[[], PhotoIndex]


class Refinery:
    """A refiner, the photos that vote, and the thread that keeps up with them; `start` and `stop` it."""

    def __init__(self, artefact: Artefact, index: OpenIndex, aliases: Callable[[], Mapping[str, str]] = dict) -> None:
        """`aliases` returns the other names that tags have here, and the tags that they mean."""
        self.refiner = Refiner(artefact)
        self._artefact = artefact
        self._find_aliases = aliases
        self._aliases: Mapping[str, str] = {}
        self._starter = artefact.starter
        self._statistics = artefact.starter.statistics()
        self._open_index = index
        self._index: PhotoIndex | None = None
        self._lock = threading.Lock()  # over the statistics
        self._opened = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refinery", daemon=True)

    def start(self) -> None:
        """Open the index and follow the database."""
        self._thread.start()

    def stop(self) -> None:
        """End, and save the index."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._index is not None:
            self._index.close()

    def refine(
        self, photo: Photo, options: RefineOptions, *, viewer: str | None, but: str = ""
    ) -> tuple[TagDecision, ...]:
        """Judge a photo's tags by the photos that the account `viewer` sees, None: all; `but` is the photo's own id."""
        neighbours = self._neighbours(photo.embedding, viewer, but)
        with self._lock:
            return tuple(self.refiner.refine(photo, neighbours, self._statistics, options))

    def decide(self, photo: Photo, scores: Mapping[str, float], thresholds: BatchThresholds) -> tuple[TagDecision, ...]:
        """Judge a photo's tags by scores that a batch refiner gave, with its thresholds."""
        with self._lock:
            return tuple(self.refiner.decide(photo, scores, self._statistics, thresholds))

    def size(self, viewer: str | None) -> int:
        """Return how many photos can vote."""
        index = self._index
        return len(self._starter) + (index.count(visible_to=viewer) if index is not None else 0)

    def _neighbours(self, vector: NDArray[np.float32], viewer: str | None, but: str) -> Neighbours:
        limit = self.refiner.neighbours
        self._opened.wait(_PATIENCE_S)
        index = self._index
        own, photos = NOBODY, 0
        if index is not None:
            index.catch_up()  # a photo counts from the moment that it was acknowledged
            found = index.neighbours(vector, limit=limit + 1, visible_to=viewer)
            weights = np.ones(len(found.ids), np.float32)
            own = Neighbours(found.similarities, weights, found.ids, found.authors, found.tags).without(but)
            photos = index.count(visible_to=viewer)
        return own.merged(self._starter.neighbours(vector, limit, own_photos=photos), limit)

    def _run(self) -> None:
        while not self._stop.is_set() and self._index is None:
            try:
                self._open()
            except ComeBack as err:
                log.warning("the index of photos is not open yet: %s", err)
                self._stop.wait(err.retry_after_s)
            except Exception:
                log.exception("the index of photos cannot be opened; photos of the starter library vote alone")
                return
        unsaved_s = 0.0
        while not self._stop.wait(_LOOK_EVERY_S):
            unsaved_s += _LOOK_EVERY_S
            try:
                self._follow(save=unsaved_s >= _SAVE_EVERY_S)
            except ComeBack as err:
                log.info("the index of photos keeps up later: %s", err)
            except Exception:
                log.exception("the index of photos could not keep up; it tries again")
            if unsaved_s >= _SAVE_EVERY_S:
                unsaved_s = 0.0

    def _open(self) -> None:
        self._follow_names()
        index = self._open_index()
        statistics = self._starter.statistics()
        for vectors, tags in index.entries():
            statistics.add_many(vectors, tags)
        index.subscribe(self._changed)
        with self._lock:
            self._statistics = statistics
        self._index = index
        self._opened.set()

    def _follow(self, *, save: bool) -> None:
        if self._index is not None:
            self._index.catch_up()
            if save:
                self._index.save()
        self._follow_names()

    def _follow_names(self) -> None:
        """Call tags what they are called here, also those of the starter library and of the model's labels."""
        aliases = self._find_aliases()
        if aliases == self._aliases:
            return
        refiner, before, after = Refiner(self._artefact, aliases), self._starter, self._artefact.starter.under(aliases)
        changed = [row for row, (old, new) in enumerate(zip(before.tags, after.tags, strict=True)) if old != new]
        for start in range(0, len(changed), _AT_ONCE):
            with self._lock:
                for row in changed[start : start + _AT_ONCE]:
                    self._statistics.remove(before.vectors[row], before.tags[row])
                    self._statistics.add(after.vectors[row], after.tags[row])
        self._starter, self.refiner, self._aliases = after, refiner, aliases

    def _changed(self, before: Entry | None, after: Entry | None) -> None:
        with self._lock:
            if before is not None:
                self._statistics.remove(before.vector, before.tags)
            if after is not None:
                self._statistics.add(after.vector, after.tags)
