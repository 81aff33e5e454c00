"""Photos and their vectors, together: changed as the database says, and searched. Not for several threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.photo_index.cells import Cells, Wanted
from tagwright_server.store.photo_index.photos import Photos
from tagwright_server.store.photo_index.reading import SCALE, State
from tagwright_server.store.photo_index.records import Entry, Found

EXACT = 32_768  # photos among which every one is looked at: it takes a few milliseconds
LOOKED_AT = 16_384  # of more photos, those of the nearest cells until there are so many
_PER_FOUND = 16  # and so many for each one that is asked for


class Library:
    """The photos of an index, with vectors of `size` numbers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.photos = Photos()
        self.cells = Cells(size)

    def entry(self, slot: int) -> Entry:
        """Return the photo of a slot."""
        return self._entry(slot, self.cells.vectors(np.array([slot], np.int32))[0])

    def apply(self, number: int, state: State | None) -> tuple[Entry | None, Entry | None]:
        """Have a photo as it is in the database, None: not at all; return it as it was and is, None twice if equal."""
        slot = self.photos.slot(number)
        before = None if slot is None else self.entry(slot)
        if slot is not None and before is not None and state is not None:
            moved = not np.array_equal(self.cells.vectors(np.array([slot], np.int32))[0], state.vector)
            if not moved and same(before, state):
                return None, None
            self.photos.change(slot, state)
            if moved:
                self.cells.remove(slot)
                self.cells.put(np.array([slot], np.int32), state.vector[None])
            return before, self._entry(slot, state.vector)
        if slot is not None:
            self.cells.remove(slot)
            self.photos.remove(slot)
        elif state is not None:
            slot = self.photos.put(state)
            self.cells.put(np.array([slot], np.int32), state.vector[None])
            return None, self._entry(slot, state.vector)
        return before, None

    def add(self, states: Sequence[State]) -> None:
        """Add photos that are not here: quicker than one by one."""
        slots = np.array([self.photos.put(state) for state in states], np.int32)
        if len(slots):
            self.cells.put(slots, np.stack([state.vector for state in states]))

    def nearest(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        visible_to: str | None,
        among: NDArray[np.int64] | None,
        exact: bool = False,
    ) -> Found:
        """Return the photos that are nearest to a vector float32 [D]; see PhotoIndex.neighbours."""
        length = float(np.linalg.norm(vector))
        query = np.asarray(vector / length if length > 0 else vector, np.float32)
        slots, similarities = self._candidates(query, limit, visible_to, among, exact=exact)
        if len(slots) > limit:
            best = np.argpartition(-similarities, limit - 1)[:limit] if limit else slots[:0]
            slots, similarities = slots[best], similarities[best]
        numbers = self.photos.numbers(slots)
        order = np.lexsort((numbers, -similarities))
        listed = slots[order].tolist()
        return Found(
            numbers=numbers[order],
            similarities=similarities[order],
            ids=tuple([self.photos.id(slot) for slot in listed]),
            authors=tuple([self.photos.author(slot) for slot in listed]),
            tags=tuple([self.photos.tags_of(slot) for slot in listed]),
        )

    def _candidates(
        self,
        query: NDArray[np.float32],
        limit: int,
        visible_to: str | None,
        among: NDArray[np.int64] | None,
        *,
        exact: bool,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        photos, cells = self.photos, self.cells
        if among is not None:
            slots = photos.slots(among)
            if visible_to is not None:
                slots = slots[photos.seen(slots, visible_to)]
            if exact or len(slots) <= EXACT:
                return slots, cells.score(query, slots)
            mask = np.zeros(photos.slots_end, np.bool_)
            mask[slots] = True
            return cells.nearest(query, wanted=lambda some: mask[some], enough=_enough(limit))
        count = photos.count(visible_to)
        wanted: Wanted | None = None
        if visible_to is not None and count < photos.size:
            viewer = visible_to
            wanted = lambda some: photos.seen(some, viewer)  # noqa: E731 - one of two
            if count <= EXACT < photos.size:
                slots = photos.all()
                slots = slots[photos.seen(slots, viewer)]
                return slots, cells.score(query, slots)
        enough = None if exact or count <= EXACT else _enough(limit)
        return cells.nearest(query, wanted=wanted, enough=enough)

    def _entry(self, slot: int, vector: NDArray[np.int16]) -> Entry:
        photos = self.photos
        return Entry(
            number=int(photos.numbers(np.array([slot], np.int32))[0]),
            id=photos.id(slot),
            owner_id=photos.owner(slot),
            shared=photos.shared(slot),
            author=photos.author(slot),
            tags=photos.tags_of(slot),
            vector=unscaled(vector),
        )


def unscaled(vectors: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return vectors as float32, of length 1."""
    return vectors.astype(np.float32) / np.float32(SCALE)


def _enough(limit: int) -> int:
    return max(LOOKED_AT, _PER_FOUND * limit)


def same(entry: Entry, state: State) -> bool:
    """Return whether a photo is as the database has it, but for its vector."""
    mine = (entry.id, entry.owner_id, entry.shared, entry.author, entry.tags)
    return mine == (state.id, state.owner_id, state.shared, state.author, state.tags)
