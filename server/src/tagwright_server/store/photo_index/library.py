"""Photos and their vectors, together: changed as the database says, and searched. Not for several threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.columns import grown
from tagwright_server.store.photo_index.photos import Photos
from tagwright_server.store.photo_index.reading import State
from tagwright_server.store.photo_index.records import Entry, Found, Wanted
from tagwright_server.store.photo_index.vectors import EXACT, Vectors

ALL = 1_024  # photos that are all compared, wherever they lie: it takes some milliseconds
BY_CODE = 65_536  # and as many are chosen from by their codes; of more, whole lists are quicker
_LEAST_LOOKED_AT = 8  # for each one that is asked for
BY_CODE_SHARE = 0.05  # of them that is compared: .99 of the nearest twenty are in it (docs/search.md)

Vector = NDArray[np.float32]
Codes = NDArray[np.uint8]


class Coder(Protocol):
    """What gives looks codes, a few bytes each, and says which are close."""

    def codes(self, vectors: Vector) -> Codes:
        """Return the codes, uint8 [n, B], of vectors float32 [n, D] of length 1."""

    def closest(self, code: Codes, codes: Codes, count: int) -> NDArray[np.int64]:
        """Return the places of the `count` codes that are closest to one."""


class Library:
    """The photos of an index, with vectors of `size` numbers, and codes of them where there is a coder."""

    def __init__(self, size: int, coder: Coder | None = None) -> None:
        self.size = size
        self.photos = Photos()
        self.vectors = Vectors(size)
        self._coder = coder
        self._codes: Codes = np.zeros((0, 0), np.uint8)

    def entry(self, slot: int) -> Entry:
        """Return the photo of a slot."""
        return self._entry(slot, self.vector(slot))

    def vector(self, slot: int) -> NDArray[np.float16]:
        """Return the vector of a slot."""
        found: NDArray[np.float16] = self.vectors.of(np.array([slot], np.int32))[0]
        return found

    def apply(self, number: int, state: State | None) -> tuple[Entry | None, Entry | None]:
        """Have a photo as it is in the database, None: not at all; return it as it was and is, None twice if equal."""
        slot = self.photos.slot(number)
        before = None if slot is None else self.entry(slot)
        if slot is not None and before is not None and state is not None:
            moved = not np.array_equal(self.vector(slot), state.vector)
            if not moved and same(before, state):
                return None, None
            self.photos.change(slot, state)
            if moved:
                self.vectors.remove(slot)
                self._put(np.array([slot], np.int32), state.vector[None])
            return before, self._entry(slot, state.vector)
        if slot is not None:
            self.vectors.remove(slot)
            self.photos.remove(slot)
        elif state is not None:
            slot = self.photos.put(state)
            self._put(np.array([slot], np.int32), state.vector[None])
            return None, self._entry(slot, state.vector)
        return before, None

    def add(self, states: Sequence[State]) -> None:
        """Add photos that are not here: quicker than one by one."""
        slots = np.array([self.photos.put(state) for state in states], np.int32)
        if len(slots):
            self._put(slots, np.stack([state.vector for state in states]))

    def fill(self, vectors: Vectors) -> None:
        """Take in the vectors of photos that are here."""
        self.vectors = vectors
        for slots, some in vectors.lists():
            self._encode(slots, some)

    def nearest(self, vector: NDArray[np.float32], *, limit: int, wanted: Wanted) -> tuple[NDArray[np.int32], Vector]:
        """Return the slots of the photos that are nearest to a vector float32 [D], and how similar they are."""
        length = float(np.linalg.norm(vector))
        query = np.asarray(vector / length if length > 0 else vector, np.float32)
        slots, similarities = self._nearest(query, limit, wanted)
        order = np.lexsort((self.photos.numbers(slots), -similarities))  # of those that are equally near, the older
        return slots[order], np.clip(similarities[order], -1.0, 1.0)  # float16 is of length 1 to three digits

    def found(self, slots: NDArray[np.int32], similarities: Vector) -> Found:
        """Return photos with what is known of them."""
        listed = slots.tolist()
        return Found(
            numbers=self.photos.numbers(slots),
            similarities=similarities,
            ids=tuple([self.photos.id(slot) for slot in listed]),
            authors=tuple([self.photos.author(slot) for slot in listed]),
            tags=tuple([self.photos.tags_of(slot) for slot in listed]),
        )

    def _nearest(
        self, query: NDArray[np.float32], limit: int, wanted: Wanted
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        by_slot = self._wanted(wanted)
        few = (
            limit * _LEAST_LOOKED_AT <= ALL
        )  # of what is compared; codes find the nearest twenty, not the next thousand
        if self._coder is None or by_slot is None or wanted.among is None or len(self.vectors) <= EXACT or not few:
            return self.vectors.nearest(query, limit=limit, wanted=by_slot)
        slots = np.flatnonzero(by_slot).astype(np.int32)
        if len(slots) > BY_CODE:
            return self.vectors.nearest(query, limit=limit, wanted=by_slot)
        if len(slots) > ALL:
            count = max(ALL, math.ceil(BY_CODE_SHARE * len(slots)))
            slots = slots[self._coder.closest(self._coder.codes(query[None])[0], self._codes[slots], count)]
        similarities = self.vectors.of(slots).astype(np.float32) @ query if len(slots) else np.zeros(0, np.float32)
        best = np.argsort(-similarities, kind="stable")[:limit]
        return slots[best], similarities[best]

    def _put(self, slots: NDArray[np.int32], vectors: NDArray[np.float16]) -> None:
        self.vectors.put(slots, vectors)
        self._encode(slots, vectors)

    def _encode(self, slots: NDArray[np.int32], vectors: NDArray[np.float16]) -> None:
        if self._coder is not None and len(slots):
            codes = self._coder.codes(vectors.astype(np.float32))
            if not self._codes.size:
                self._codes = np.zeros((0, codes.shape[1]), np.uint8)
            self._codes = grown(self._codes, int(slots.max()) + 1)
            self._codes[slots] = codes

    def count(self, wanted: Wanted) -> int:
        """Return how many photos may be found."""
        by_slot = self._wanted(wanted)
        return self.photos.size if by_slot is None else int(np.count_nonzero(by_slot))

    def _wanted(self, wanted: Wanted) -> NDArray[np.bool_] | None:
        """Return by slot who may be found, None: everybody."""
        photos, visible_to, everywhere = self.photos, wanted.visible_to, slice(0, self.photos.slots_end)
        if wanted.among is not None:
            found = np.zeros(photos.slots_end, np.bool_)
            slots = photos.slots(wanted.among)
            found[slots] = True if visible_to is None else photos.seen(slots, visible_to)
        elif visible_to is None or photos.count(visible_to) == photos.size:
            if wanted.up_to is None:
                return None
            found = photos.held(everywhere)
        else:
            found = photos.seen(everywhere, visible_to)
        return found if wanted.up_to is None else found & (photos.numbers(everywhere) <= wanted.up_to)

    def _entry(self, slot: int, vector: NDArray[np.float16]) -> Entry:
        photos = self.photos
        return Entry(
            number=int(photos.numbers(np.array([slot], np.int32))[0]),
            id=photos.id(slot),
            owner_id=photos.owner(slot),
            shared=photos.shared(slot),
            author=photos.author(slot),
            tags=photos.tags_of(slot),
            vector=vector.astype(np.float32),
        )


def same(entry: Entry, state: State) -> bool:
    """Return whether a photo is as the database has it, but for its vector."""
    mine = (entry.id, entry.owner_id, entry.shared, entry.author, entry.tags)
    return mine == (state.id, state.owner_id, state.shared, state.author, state.tags)
