"""Photos and their vectors, together: changed as the database says, and searched. Not for several threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.photo_index.photos import Photos
from tagwright_server.store.photo_index.reading import State
from tagwright_server.store.photo_index.records import Entry, Found, Wanted
from tagwright_server.store.photo_index.vectors import Vectors

Vector = NDArray[np.float32]


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

    def nearest(self, vector: NDArray[np.float32], *, limit: int, wanted: Wanted) -> tuple[NDArray[np.int32], Vector]:
        """Return the slots of the photos that are nearest to a vector float32 [D], and how similar they are."""
        length = float(np.linalg.norm(vector))
        query = np.asarray(vector / length if length > 0 else vector, np.float32)
        slots, similarities = self.vectors.nearest(query, limit=limit, wanted=self._wanted(wanted))
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
            found = photos.held(everywhere) & photos.seen(everywhere, visible_to)
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
