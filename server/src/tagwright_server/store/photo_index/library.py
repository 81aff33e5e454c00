"""Photos and their vectors, together: changed as the database says, and searched. Not for several threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.photo_index.photos import Photos
from tagwright_server.store.photo_index.reading import State
from tagwright_server.store.photo_index.records import Entry, Found
from tagwright_server.store.photo_index.vectors import Vectors


class Library:
    """The photos of an index, with vectors of `size` numbers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.photos = Photos()
        self.vectors = Vectors(size)

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
                self.vectors.put(np.array([slot], np.int32), state.vector[None])
            return before, self._entry(slot, state.vector)
        if slot is not None:
            self.vectors.remove(slot)
            self.photos.remove(slot)
        elif state is not None:
            slot = self.photos.put(state)
            self.vectors.put(np.array([slot], np.int32), state.vector[None])
            return None, self._entry(slot, state.vector)
        return before, None

    def add(self, states: Sequence[State]) -> None:
        """Add photos that are not here: quicker than one by one."""
        slots = np.array([self.photos.put(state) for state in states], np.int32)
        if len(slots):
            self.vectors.put(slots, np.stack([state.vector for state in states]))

    def nearest(
        self, vector: NDArray[np.float32], *, limit: int, visible_to: str | None, among: NDArray[np.int64] | None
    ) -> Found:
        """Return the photos that are nearest to a vector float32 [D]; see PhotoIndex.neighbours."""
        length = float(np.linalg.norm(vector))
        query = np.asarray(vector / length if length > 0 else vector, np.float32)
        slots, similarities = self.vectors.nearest(query, limit=limit, wanted=self._wanted(visible_to, among))
        numbers = self.photos.numbers(slots)
        order = np.lexsort((numbers, -similarities))  # of those that are equally near, the older first
        listed = slots[order].tolist()
        return Found(
            numbers=numbers[order],
            similarities=np.clip(similarities[order], -1.0, 1.0),  # float16 is of length 1 to three digits
            ids=tuple([self.photos.id(slot) for slot in listed]),
            authors=tuple([self.photos.author(slot) for slot in listed]),
            tags=tuple([self.photos.tags_of(slot) for slot in listed]),
        )

    def _wanted(self, visible_to: str | None, among: NDArray[np.int64] | None) -> NDArray[np.bool_] | None:
        """Return by slot who may be found, None: everybody."""
        photos = self.photos
        if among is not None:
            wanted = np.zeros(photos.slots_end, np.bool_)
            slots = photos.slots(among)
            wanted[slots] = True if visible_to is None else photos.seen(slots, visible_to)
            return wanted
        if visible_to is None or photos.count(visible_to) == photos.size:
            return None
        return photos.held(slice(0, photos.slots_end)) & photos.seen(slice(0, photos.slots_end), visible_to)

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
