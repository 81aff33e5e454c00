"""The index of a model's photos: it follows the database, and finds those that look alike."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.changes import Mark, MarkTooOld
from tagwright_server.store.following import Follower
from tagwright_server.store.photo_index import snapshot
from tagwright_server.store.photo_index.library import Coder, Library
from tagwright_server.store.photo_index.reading import Reading, State
from tagwright_server.store.photo_index.records import Entries, Entry, Found, Wanted
from tagwright_server.store.sharing import SharedLock
from tagwright_server.store.store import Store

_log = logging.getLogger(__name__)

_AT_A_TIME = 2000  # photos that are read together
_WRITTEN = 50  # photos that are taken in while nobody can search: a millisecond or two
_OLD_US = 24 * 3600 * 1_000_000
_SAID_EVERY = 100_000  # photos of a rebuild

Listener = Callable[["Entry | None", "Entry | None"], None]


class PhotoIndex(Follower):
    """All stored photos that a model, `name@version`, has looked at; its embeddings have `embedding_size` numbers.

    Each process has its own. It is in memory, and in a file of `folder` between runs; the truth is in the database.
    Made from that file, or from the database where there is none that fits. Any number of threads may use it. With a
    coder, of large libraries codes choose which photos are compared, where few of them are asked for.
    """

    def __init__(
        self, store: Store, model_version: str, embedding_size: int, folder: Path, coder: Coder | None = None
    ) -> None:
        super().__init__(store.changes)
        self._reading = Reading(store.database, model_version, embedding_size)
        self._model_version = model_version
        self._embedding_size = embedding_size
        self._coder = coder
        self._file = snapshot.file_of(folder, model_version)
        self._listeners: list[Listener] = []
        self._lock = SharedLock()  # over the library
        self._library = Library(embedding_size, coder)
        self._saved: Mark | None = None
        self._mark = self._open()

    def neighbours(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        visible_to: str | None,
        among: NDArray[np.int64] | None = None,
    ) -> Found:
        """Return up to `limit` photos that are nearest to a vector float32 [D] of any length, the nearest first.

        Of those that the account `visible_to` sees (its own and the shared ones; None: all), and, where `among` is
        given, of the photos with those numbers. Up to 32,768 such photos it is exact, of more it finds nearly all, and
        so of a few of them in a larger library, where a coder chooses whom to compare.
        It knows what `catch_up` has seen.
        """
        with self._lock.reading():
            near = self._library.nearest(vector, limit=limit, wanted=Wanted(visible_to, among))
            return self._library.found(*near)

    def nearest(
        self, vector: NDArray[np.float32], *, limit: int, wanted: Wanted
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the numbers alone of the photos that `neighbours` finds, and how similar they are."""
        with self._lock.reading():
            slots, similarities = self._library.nearest(vector, limit=limit, wanted=wanted)
            return self._library.photos.numbers(slots), similarities

    def vectors(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return those of some photos that are here, in the order of their numbers, with their vectors [n, D]."""
        with self._lock.reading():
            slots = self._library.photos.slots(numbers)
            if not len(slots):
                return np.zeros(0, np.int64), np.zeros((0, self._embedding_size), np.float32)
            return self._library.photos.numbers(slots), self._library.vectors.of(slots).astype(np.float32)

    def how_many(self, wanted: Wanted) -> int:
        """Return how many photos may be found."""
        with self._lock.reading():
            return self._library.count(wanted)

    def count(self, *, visible_to: str | None) -> int:
        """Return how many photos an account sees, None: all of them."""
        with self._lock.reading():
            return self._library.photos.count(visible_to)

    @property
    def size(self) -> int:
        """How many photos there are."""
        return self.count(visible_to=None)

    def subscribe(self, listener: Listener) -> None:
        """Have a function called with each photo that changes from now on: as it was and as it is.

        None is a photo that is not there. It is called in the thread that catches up, and must not use the index.
        """
        self._listeners.append(listener)

    def entries(self) -> Iterator[Entries]:
        """Return all photos, some at a time; let nothing change meanwhile."""
        for slots, vectors in self._library.vectors.lists():
            if len(slots):
                yield self._entries(slots, vectors)

    def with_tags(self, tags: Collection[str]) -> Iterator[Entries]:
        """Return the photos that have any of the tags, some at a time; let nothing change meanwhile."""
        slots = self._library.photos.slots_with(tags)
        for start in range(0, len(slots), _AT_A_TIME):
            some = slots[start : start + _AT_A_TIME]
            yield self._entries(some, self._library.vectors.of(some))

    def save(self) -> None:
        """Write the file that the next start begins with, where anything is new. Raises OSError."""
        with self._catching_up:
            if not _saved(self._saved, self._mark):
                with self._lock.reading():
                    snapshot.save(self._file, self._library, self._model_version, self._mark)
                self._saved = self._mark

    def close(self) -> None:
        """Save it; where that cannot be, the next start takes longer."""
        try:
            self.save()
        except OSError as err:
            _log.warning("the index of %s is not saved: %s", self._model_version, err)

    def _entries(self, slots: NDArray[np.int32], vectors: NDArray[np.float16]) -> Entries:
        photos, listed = self._library.photos, slots.tolist()
        return Entries(
            vectors.astype(np.float32),
            [photos.tags_of(slot) for slot in listed],
            ["" if photos.shared(slot) else photos.owner(slot) for slot in listed],
        )

    def _open(self) -> Mark:
        try:
            self._library, mark = snapshot.load(self._file, self._model_version, self._embedding_size, self._coder)
            self._changes.check(mark)
        except FileNotFoundError:
            why = "there is no file of it"
        except MarkTooOld:
            why = "its file is too old, or of another database"
        except (OSError, ValueError, KeyError, TypeError) as err:
            why = f"its file cannot be used: {err}"
        else:
            self._saved = self._mark = mark
            self.catch_up()
            return self._mark
        if self._reading.count():
            _log.info("the index of %s is made from the database: %s", self._model_version, why)
        self._library = Library(self._embedding_size, self._coder)
        return self._read_anew()

    def _read_anew(self) -> Mark:
        if self._library.photos.size:
            _log.warning("the index of %s was left behind; it is read anew", self._model_version)
        mark = self._changes.mark()
        photos = self._library.photos
        fresh = not photos.size
        total, done, seen = self._reading.count(), 0, [np.zeros(0, np.int64)]
        for states in self._reading.all(at_a_time=_AT_A_TIME):
            numbers = [state.number for state in states]
            seen.append(np.array(numbers, np.int64))
            if fresh and not self._listeners:
                with self._lock.writing():
                    self._library.add(states)
            else:
                self._apply(numbers, states)
            self._regroup()
            if (done + len(states)) // _SAID_EVERY > done // _SAID_EVERY:
                _log.info("the index of %s: %s of %s photos", self._model_version, f"{done:,}", f"{total:,}")
            done += len(states)
        here = photos.numbers(photos.all())
        self._apply(np.setdiff1d(here, np.concatenate(seen)).tolist(), [])
        return mark

    def _take_in(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), _AT_A_TIME):
            some = numbers[start : start + _AT_A_TIME]
            self._apply(some, self._reading.photos(some))

    def _tidy(self) -> None:
        self._regroup()

    def _regroup(self) -> None:
        """Give the vectors new lists once they have outgrown theirs: some seconds, seldom; who searches goes on."""
        if self._library.vectors.outgrown:
            regrouped = self._library.vectors.regrouped()  # nobody but who catches up changes any
            with self._lock.writing():
                self._library.vectors = regrouped

    def _apply(self, numbers: Sequence[int], states: Sequence[State]) -> None:
        """Have those photos as the database has them; the ones without a state are gone."""
        by_number = {state.number: state for state in states}
        for start in range(0, len(numbers), _WRITTEN):
            with self._lock.writing():
                some = numbers[start : start + _WRITTEN]
                changed = [self._library.apply(number, by_number.get(number)) for number in some]
            for before, after in changed:
                if before is not None or after is not None:
                    for listener in self._listeners:
                        listener(before, after)


def _saved(saved: Mark | None, mark: Mark) -> bool:
    """Whether a file with one mark is as good as one with the other; an old one would be too old one day."""
    return saved is not None and saved.number == mark.number and mark.taken_us - saved.taken_us < _OLD_US
