"""Columns that grow: texts as small numbers, lists of numbers as slices of one array, and photos' slots by number.

A million photos' tags take a few megabytes. Not for several threads.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_POOL_MIN = 1024
_BLOCK = 1 << 12  # numbers of photos that share a table of slots
_NONE = -1
_VIEWERS = 64  # whose masks are at hand
ALL_SEEING = -2  # a viewer who sees everything


class Names:
    """Texts, each with a number from 0 on."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = list(names)
        self._numbers = {name: number for number, name in enumerate(self._names)}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> str:
        return self._names[number]

    def number(self, name: str) -> int:
        """Return the number of a text, which is new if it is."""
        number = self._numbers.setdefault(name, len(self._names))
        if number == len(self._names):
            self._names.append(name)
        return number

    def find(self, name: str) -> int | None:
        """Return the number of a text that is known."""
        return self._numbers.get(name)

    def all(self) -> list[str]:
        """Return the texts in the order of their numbers."""
        return list(self._names)


class Lists:
    """A list of small numbers for each slot."""

    def __init__(self) -> None:
        self._pool = np.empty(_POOL_MIN, np.int32)
        self._end = 0  # of what is used of the pool
        self._starts = np.zeros(0, np.int64)
        self._lengths = np.zeros(0, np.int32)

    def grow(self, slots: int) -> None:
        """Have room for so many slots."""
        self._starts = grown(self._starts, slots)
        self._lengths = grown(self._lengths, slots)

    def of(self, slot: int) -> list[int]:
        """Return the list of a slot."""
        start = int(self._starts[slot])
        found: list[int] = self._pool[start : start + int(self._lengths[slot])].tolist()
        return found

    def put(self, slot: int, numbers: Sequence[int]) -> None:
        """Set the list of a slot."""
        if self._end + len(numbers) > len(self._pool):
            self._lengths[slot] = 0
            self._make_room(len(numbers))
        self._pool[self._end : self._end + len(numbers)] = numbers
        self._starts[slot], self._lengths[slot] = self._end, len(numbers)
        self._end += len(numbers)

    def packed(self, slots: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the lists of some slots behind each other, and how long each is."""
        starts, lengths = self._starts[slots], self._lengths[slots]
        ends = np.cumsum(lengths, dtype=np.int64)
        places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
        return self._pool[places], lengths

    def fill(self, numbers: NDArray[np.int32], lengths: NDArray[np.int32]) -> None:
        """Set the lists of the first slots to what `packed` made."""
        self.grow(len(lengths))
        self._pool = numbers.copy()
        self._end = len(numbers)
        self._lengths[: len(lengths)] = lengths
        self._starts[: len(lengths)] = np.cumsum(lengths, dtype=np.int64) - lengths

    def _make_room(self, more: int) -> None:
        # What changed or went left holes; they go when the array would have to grow.
        slots = np.flatnonzero(self._lengths).astype(np.int32)
        pool, lengths = self.packed(slots)
        self._starts[slots] = np.cumsum(lengths, dtype=np.int64) - lengths
        self._pool = np.empty(max(_POOL_MIN, 2 * (len(pool) + more)), np.int32)
        self._pool[: len(pool)] = pool
        self._end = len(pool)


class Slots:
    """The slot of each photo's number: a row of a table for each block of numbers that has any photo."""

    def __init__(self) -> None:
        self._row = np.zeros(0, np.int32)  # by block; 0 is the row of blocks without photos
        self._table = np.full((1, _BLOCK), _NONE, np.int32)
        self._rows = 1

    def get(self, number: int) -> int | None:
        """Return the slot of a photo."""
        block = number // _BLOCK
        slot = _NONE if not 0 <= block < len(self._row) else int(self._table[self._row[block], number % _BLOCK])
        return None if slot == _NONE else slot

    def many(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the slots of those of the photos that are here; numbers come once."""
        slots = self.in_order(numbers)
        here: NDArray[np.int32] = slots[slots != _NONE]
        return here

    def in_order(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the slots of photos in the order of what is given, -1 for those that are not here."""
        blocks = numbers // _BLOCK
        known = (blocks >= 0) & (blocks < len(self._row))
        if len(self._row) == 0:
            return np.full(len(numbers), _NONE, np.int32)
        rows = np.where(known, self._row[np.where(known, blocks, 0)], 0)
        found: NDArray[np.int32] = self._table[rows, numbers % _BLOCK]
        return found

    def put(self, number: int, slot: int) -> None:
        """Set the slot of a photo."""
        row = self._row_of(number // _BLOCK)
        self._table[row, number % _BLOCK] = slot

    def remove(self, number: int) -> None:
        """Forget a photo."""
        self.put(number, _NONE)

    def put_many(self, numbers: NDArray[np.int64], slots: range) -> None:
        """Set the slots of photos."""
        blocks = numbers // _BLOCK
        for block in np.unique(blocks).tolist():
            self._row_of(block)
        self._table[self._row[blocks], numbers % _BLOCK] = np.arange(slots.start, slots.stop, dtype=np.int32)

    def _row_of(self, block: int) -> int:
        self._row = grown(self._row, block + 1)
        if not self._row[block]:
            if self._rows == len(self._table):
                table = np.full((max(8, 2 * self._rows), _BLOCK), _NONE, np.int32)
                table[: self._rows] = self._table
                self._table = table
            self._row[block] = self._rows
            self._rows += 1
        return int(self._row[block])


class Sight:
    """Which slots some viewers see, kept at hand for those who asked last: as photos come and go, so do the masks."""

    def __init__(self) -> None:
        self._masks: OrderedDict[int, NDArray[np.bool_]] = OrderedDict()
        self._lock = threading.Lock()  # readers make masks beside each other

    def of(self, viewer: int, make: Callable[[], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return a viewer's mask, which `make` makes where it is not at hand."""
        with self._lock:
            mask = self._masks.get(viewer)
            if mask is None:
                mask = self._masks[viewer] = make()
                if len(self._masks) > _VIEWERS:
                    self._masks.popitem(last=False)
            else:
                self._masks.move_to_end(viewer)
            return mask

    def set(self, slot: int, *, owner: int, shared: bool) -> None:
        """Have a slot hold a photo; -1 is nobody's, and who sees all is the viewer -2."""
        for viewer, mask in self._masks.items():  # seldom any while many photos come
            if slot >= len(mask):
                self._masks.clear()
                return
            mask[slot] = shared or viewer in (owner, ALL_SEEING)

    def clear(self, slot: int) -> None:
        """Have a slot hold none."""
        for mask in self._masks.values():
            if slot < len(mask):
                mask[slot] = False


def grown(array: NDArray[np.generic], length: int, *, least: int = 64) -> NDArray:  # type: ignore[type-arg]
    """Return an array with room for `length`, zeros behind what it holds; by halves, so that it is seldom copied."""
    if length <= len(array):
        return array
    larger = np.zeros((max(length, len(array) * 3 // 2, least), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
