"""What an index knows of photos beside their vectors, in columns: about 60 bytes for each photo and 4 for each tag.

A photo has a slot from when it is put until it is removed. Not for several threads: the index has a lock.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tagwright_server.store.columns import Lists, Names, Sight, Slots, grown
from tagwright_server.store.photo_index.reading import State

_ID_BYTES = 16
_NOBODY = -1  # whoever owns no photos


class Photos:
    """The photos of an index."""

    def __init__(self) -> None:
        self.size = 0
        self.tags = Names()
        self._people = Names()  # who owns photos
        self._authors = Names()
        self.slots_end = 0  # of the slots that were ever used
        self._free: list[int] = []
        self._slots = Slots()
        self._sight = Sight()
        self._odd_ids: dict[int, str] = {}  # those that are no UUIDs, by slot
        self._numbers = np.zeros(0, np.int64)  # 0: the slot is free
        self._ids = np.zeros((0, _ID_BYTES), np.uint8)
        self._owners = np.zeros(0, np.int32)
        self._shared = np.zeros(0, np.bool_)
        self._author = np.zeros(0, np.int32)
        self._lists = Lists()
        self._private: dict[int, int] = {}  # photos that nobody else sees, by owner
        self._shared_photos = 0

    def slot(self, number: int) -> int | None:
        """Return the slot of a photo."""
        return self._slots.get(number)

    def slots(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the slots of those of the photos that are here, each once."""
        return self._slots.many(numbers)

    def all(self) -> NDArray[np.int32]:
        """Return all slots that hold a photo."""
        return np.flatnonzero(self.held(slice(0, self.slots_end))).astype(np.int32)

    def slots_with(self, tags: Collection[str]) -> NDArray[np.int32]:
        """Return the slots of photos that have any of the tags."""
        numbers = [number for tag in tags if (number := self.tags.find(tag)) is not None]
        slots = self.all()
        lists, lengths = self._lists.packed(slots)
        has = np.isin(lists, np.array(numbers, np.int32))
        found: NDArray[np.int32] = np.unique(np.repeat(slots, lengths)[has])
        return found

    def held(self, slots: slice) -> NDArray[np.bool_]:
        """Return for each slot whether it holds a photo."""
        held: NDArray[np.bool_] = self._numbers[slots] != 0
        return held

    def put(self, state: State) -> int:
        """Put a photo that is not here, and return its slot."""
        slot = self._free.pop() if self._free else self.slots_end
        if slot == self.slots_end:
            self.slots_end += 1
            self._grow(self.slots_end)
        self._numbers[slot] = state.number
        self._put_id(slot, state.id)
        self._slots.put(state.number, slot)
        self.size += 1
        self._owners[slot], self._shared[slot] = self._people.number(state.owner_id), state.shared
        self._count(slot, 1)
        self.change(slot, state)
        return slot

    def change(self, slot: int, state: State) -> None:
        """Change what can change of a photo, all but its number and id."""
        self._count(slot, -1)
        self._owners[slot], self._shared[slot] = self._people.number(state.owner_id), state.shared
        self._count(slot, 1)
        self._sight.set(slot, owner=int(self._owners[slot]), shared=state.shared)
        self._author[slot] = self._authors.number(state.author)
        self._lists.put(slot, [self.tags.number(tag) for tag in state.tags])

    def remove(self, slot: int) -> None:
        """Remove a photo."""
        number = int(self._numbers[slot])
        self._slots.remove(number)
        self._sight.clear(slot)
        self._count(slot, -1)
        self._lists.put(slot, ())
        self._odd_ids.pop(slot, None)
        self._numbers[slot] = 0
        self._free.append(slot)
        self.size -= 1

    def count(self, visible_to: str | None) -> int:
        """Return how many photos an account sees, None: an administrator."""
        if visible_to is None:
            return self.size
        owner = self._people.find(visible_to)
        return self._shared_photos + (0 if owner is None else self._private.get(owner, 0))

    def seen(self, slots: NDArray[np.int32] | slice, visible_to: str) -> NDArray[np.bool_]:
        """Return for each slot whether it holds a photo that an account sees."""
        owner = self._people.find(visible_to)
        viewer = _NOBODY if owner is None else owner
        found: NDArray[np.bool_] = self._sight.of(viewer, lambda: self._all_seen(viewer))[slots]
        return found

    def numbers(self, slots: NDArray[np.int32] | slice) -> NDArray[np.int64]:
        """Return the photos' numbers."""
        return self._numbers[slots]

    def id(self, slot: int) -> str:
        """Return a photo's id."""
        return self._odd_ids.get(slot) or self._ids[slot].tobytes().hex()

    def owner(self, slot: int) -> str:
        """Return the id of a photo's account."""
        return self._people[int(self._owners[slot])]

    def shared(self, slot: int) -> bool:
        """Return whether everybody sees a photo."""
        return bool(self._shared[slot])

    def author(self, slot: int) -> str:
        """Return a photo's author."""
        return self._authors[int(self._author[slot])]

    def tags_of(self, slot: int) -> tuple[str, ...]:
        """Return a photo's tags."""
        return tuple([self.tags[tag] for tag in self._lists.of(slot)])

    def packed(self, slots: NDArray[np.int32]) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
        """Return some photos as arrays and texts, those of slots 0, 1, 2... when `fill` has them."""
        lists, lengths = self._lists.packed(slots)
        tags, lists = _compact(self.tags, lists)
        people, owners = _compact(self._people, self._owners[slots])
        authors, author = _compact(self._authors, self._author[slots])
        odd = {slot: place for place, slot in enumerate(slots.tolist()) if slot in self._odd_ids}
        arrays: dict[str, NDArray[Any]] = {
            "numbers": self._numbers[slots],
            "ids": self._ids[slots],
            "owners": owners,
            "shared": self._shared[slots],
            "author": author,
            "tags": lists,
            "tag_counts": lengths,
            "odd_ids": np.array(list(odd.values()), np.int32),
        }
        return arrays, {"tags": tags, "people": people, "authors": authors, "odd_ids": [self._odd_ids[s] for s in odd]}

    def fill(self, arrays: dict[str, NDArray[Any]], texts: dict[str, list[str]]) -> None:
        """Take in what `packed` made, as the first photos of all; raise ValueError where it cannot be so."""
        size = len(arrays["numbers"])
        for name, names, most in (("owners", "people", size), ("author", "authors", size), ("tags", "tags", None)):
            numbers = arrays[name]
            if (most is not None and len(numbers) != most) or _outside(numbers, len(texts[names])):
                raise ValueError("its columns do not fit together")
        if len(arrays["tag_counts"]) != size or int(arrays["tag_counts"].sum()) != len(arrays["tags"]):
            raise ValueError("its tags do not fit together")
        self._grow(size)
        self.slots_end = self.size = size
        self.tags, self._people, self._authors = Names(texts["tags"]), Names(texts["people"]), Names(texts["authors"])
        self._numbers[:size], self._ids[:size] = arrays["numbers"], arrays["ids"]
        self._owners[:size], self._author[:size] = arrays["owners"], arrays["author"]
        self._shared[:size] = arrays["shared"]
        self._lists.fill(arrays["tags"], arrays["tag_counts"])
        self._odd_ids = dict(zip(arrays["odd_ids"].tolist(), texts["odd_ids"], strict=True))
        self._shared_photos = int(self._shared[:size].sum())
        private = self._owners[:size][~self._shared[:size]]
        self._private = dict(enumerate(np.bincount(private, minlength=len(self._people)).tolist()))
        self._slots.put_many(self._numbers[:size], range(size))

    def _all_seen(self, viewer: int) -> NDArray[np.bool_]:
        seen: NDArray[np.bool_] = (self._numbers != 0) & (self._shared | (self._owners == viewer))
        return seen

    def _grow(self, slots: int) -> None:
        if slots > len(self._numbers):
            self._numbers, self._ids = grown(self._numbers, slots), grown(self._ids, slots)
            self._owners, self._shared = grown(self._owners, slots), grown(self._shared, slots)
            self._author = grown(self._author, slots)
            self._lists.grow(len(self._numbers))

    def _put_id(self, slot: int, id: str) -> None:
        try:
            raw = bytes.fromhex(id)
        except ValueError:
            raw = b""
        if len(raw) == _ID_BYTES and raw.hex() == id:
            self._ids[slot] = np.frombuffer(raw, np.uint8)
        else:
            self._odd_ids[slot] = id

    def _count(self, slot: int, more: int) -> None:
        if self._shared[slot]:
            self._shared_photos += more
        else:
            owner = int(self._owners[slot])
            self._private[owner] = self._private.get(owner, 0) + more


def _compact(names: Names, numbers: NDArray[np.int32]) -> tuple[list[str], NDArray[np.int32]]:
    """Return the names that are in use, and the numbers that they have among those."""
    used = np.unique(numbers)
    return [names[number] for number in used.tolist()], np.searchsorted(used, numbers).astype(np.int32)


def _outside(numbers: NDArray[np.int32], length: int) -> bool:
    return len(numbers) > 0 and (int(numbers.min()) < 0 or int(numbers.max()) >= length)
